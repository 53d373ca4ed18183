"""The textbook loop that ``prepare`` is held against: every file of a cohort to one array, in one process, by Pillow.

It does the least that gives the same array: open, to grey, resize, stack, save. It checks no digest, flushes nothing to
the disk and keeps no index. It imports what it needs and none of the project's code, so that its start is as short as
it can be.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame

SIZE = 224


def main(workspace: Path) -> None:
    """Write ``plain.npy``."""
    pictures = []
    with (workspace / "data/cohort/cohort.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            path = workspace / "data/raw" / row["source"] / "files" / row["name"].partition(":")[2]
            file: Any = path
            if path.suffix == ".dcm":
                file = io.BytesIO(get_frame(dcmread(path).PixelData, 0, number_of_frames=1))
            with Image.open(file) as image:
                pictures.append(np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)))
    np.save(workspace / "plain.npy", np.stack(pictures))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
