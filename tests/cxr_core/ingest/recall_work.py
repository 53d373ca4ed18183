"""What stands in for ``examine`` in the tests of recall: importable by name, as fresh processes need it."""

import os
from pathlib import Path

from cxr_core.imaging.faults import ImageFault
from cxr_core.ingest.examine import Examined, Task, Unusable, examine


def told(task: Task) -> Examined | Unusable:
    """Examine, and say the path in the file that ``TOLD`` names."""
    with Path(os.environ["TOLD"]).open("a") as file:
        file.write(f"{task.path}\n")
    return examine(task)


def surprised(_task: Task) -> Unusable:
    return Unusable(reason=ImageFault.DECODER_FAILED.value, detail="The decoder stopped on OSError.")
