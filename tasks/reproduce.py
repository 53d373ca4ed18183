"""How a stage word becomes a DVC stage: its targets run in the workspace, their progress told as events."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cxr_core.cli import PROGRESS_MARK
from tasks.adapters import dvc
from tasks.events import progress
from tasks.run import Run
from tasks.settings import patient_key

__all__ = ["outcome_words", "reproduce"]

_WORDS: dict[dvc.StageOutcome, str] = {"ran": "", "restored": "from the cache", "unchanged": "unchanged"}


def reproduce(run: Run, word: str, targets: Sequence[str]) -> dict[str, dvc.StageOutcome]:
    """Bring DVC stages up to date in the run's workspace.

    Raises:
        VersioningError: A stage failed, in its own words.
    """

    def listen(line: str) -> None:
        if line.startswith(PROGRESS_MARK):
            *name, done, total = line.removeprefix(PROGRESS_MARK).split()
            progress(word, int(done), int(total), " ".join(name[1:]))
        elif announced := dvc.announced_stage(line):
            progress(word, 0, 0, announced[0].removeprefix("ingest@"))

    environment = {
        "CXR_PATIENT_KEY": patient_key(run.home).decode(),
        "CXR_PROGRESS": "lines",
        **{name: value for name, value in os.environ.items() if name.startswith("CXR_SOURCE")},
    }
    return dvc.repro(run.path, [*targets], environment=environment, on_line=listen)


def outcome_words(outcomes: Sequence[dvc.StageOutcome]) -> str:
    """``; unchanged`` where nothing ran, else nothing."""
    kinds = set(outcomes)
    return f"; {_WORDS[kinds.pop()]}" if len(kinds) == 1 and "ran" not in kinds else ""
