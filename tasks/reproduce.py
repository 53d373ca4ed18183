"""How a stage word becomes a DVC stage: its targets run in the workspace, their progress told as events."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from cxr_core.cli import PROGRESS_MARK
from cxr_core.errors import VersioningError
from cxr_core.files import write_text
from cxr_core.ingest.key import with_key_identity
from cxr_core.ingest.pins import PINS_PATH
from tasks.adapters import dvc
from tasks.events import progress
from tasks.run import Run
from tasks.settings import patient_key

__all__ = ["note_settled", "outcome_words", "reproduce"]

_WORDS: dict[dvc.StageOutcome, str] = {"ran": "", "restored": "from the cache", "unchanged": "unchanged"}

# Runs, by id, in whose workspace every stage is up to date.
_settled: set[str] = set()


def reproduce(
    run: Run, word: str, targets: Sequence[str], *, variables: Mapping[str, str] | None = None
) -> dict[str, dvc.StageOutcome]:
    """Bring DVC stages up to date in the run's workspace.

    Args:
        run: Whose workspace.
        word: The stage word, as events name it.
        targets: DVC's names of the stages.
        variables: For the stages' environment, over this process's: the folders of fetched sources, say.

    Raises:
        VersioningError: A stage failed, in its own words.
    """
    if run.id in _settled:
        return dict.fromkeys(targets, "unchanged")

    def listen(line: str) -> None:
        if line.startswith(PROGRESS_MARK):
            *name, done, total = line.removeprefix(PROGRESS_MARK).split()
            progress(word, int(done), int(total), " ".join(name[1:]))
        elif announced := dvc.announced_stage(line):
            progress(word, 0, 0, announced[0].removeprefix("ingest@"))

    key = patient_key(run.home)
    _name_key(run, key)
    environment = {
        "CXR_CACHE": str(run.home.root / "cache"),
        "CXR_PATIENT_KEY": key.decode(),
        "CXR_PROGRESS": "lines",
        "CXR_QUARANTINE": str(run.home.root / "quarantine"),
        **{name: value for name, value in os.environ.items() if name.startswith("CXR_SOURCE")},
        **(variables or {}),
    }
    return dvc.repro(run.path, [*targets], environment=environment, on_line=listen)


def note_settled(run: Run) -> None:
    """Ask DVC once whether anything is to be done at all, which spares each later stage a DVC that finds it is not.

    The workspace is the run's own as long as it lasts: what is up to date now stays so.
    """
    # Where DVC cannot say, the stages will.
    with suppress(VersioningError):
        if not dvc.status(run.path):
            _settled.add(run.id)


def outcome_words(outcomes: Sequence[dvc.StageOutcome]) -> str:
    """``; unchanged`` where nothing ran, else nothing."""
    kinds = set(outcomes)
    return f"; {_WORDS[kinds.pop()]}" if len(kinds) == 1 and "ran" not in kinds else ""


def _name_key(run: Run, key: bytes) -> None:
    """Say in the workspace's lock file which key its patients' digests are made with: another one makes DVC ingest."""
    path = run.path / PINS_PATH
    text = path.read_text(encoding="utf-8")
    if (named := with_key_identity(text, key)) != text:
        write_text(path, named)
