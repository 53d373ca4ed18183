"""How a training outlives its process: a folder of its own, held by one process, with states and a journal.

In: a training's identity. Out: ``Held``: where its states go, which MLflow run it already has, and its journal. Laws:
the folder is named by what is trained and where, so trainings on different machines or with different libraries never
mix; one that was stopped elsewhere is gone on with only where ``CXR_RESUME_CHANGED`` names everything that has changed,
and then says so for ever.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from cxr_core.digests import digest_value
from cxr_core.errors import SettingError
from cxr_core.files import read_json, write_json
from cxr_core.train.fold import Resumable
from cxr_core.train.journal import Journal
from cxr_core.train.key import MACHINE
from cxr_core.train.progress import Position
from tasks.adapters.runlog import Run as Log
from tasks.events import note
from tasks.settings import Home

__all__ = ["Held", "hold", "may_change"]

_STATE_SECONDS = "CXR_STATE_SECONDS"
# A ResNet-34's state is 255 MB and takes a good second: less than one per cent of three minutes.
_DEFAULT_STATE_SECONDS = 180.0
_CHANGED = "CXR_RESUME_CHANGED"
_STATES, _RUN, _IDENTITY, _CHANGES = "states", "run.json", "identity.json", "changed.json"
_NAME_DIGITS = 16
_KEEP_DAYS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A training's folder, held by this process.

    Attributes:
        folder: States, journal and the name of the MLflow run.
        identity: Whose it is.
        stage: Whose progress it is, for notes.
    """

    folder: Path
    identity: Mapping[str, str]
    stage: str

    @property
    def run_id(self) -> str | None:
        """The MLflow run that an earlier process began for this training; None where there is none."""
        path = self.folder / _RUN
        return str(read_json(path)["run_id"]) if path.is_file() else None

    @property
    def changes(self) -> dict[str, str]:
        """What was another where this training began, by its name: ``2 → 1``; empty where it never moved."""
        path = self.folder / _CHANGES
        return dict(read_json(path)) if path.is_file() else {}

    def belongs_to(self, log: Log) -> None:
        """Write down which run this training's metrics go to."""
        write_json(self.folder / _RUN, {"run_id": log.id})

    def journal(self) -> Journal:
        """This training's journal."""
        return Journal(self.folder / "journal.jsonl")

    def resumable(self) -> Resumable:
        """Where the core keeps this training's states; what becomes of them is told as notes.

        Raises:
            SettingError: ``CXR_STATE_SECONDS`` is no number of seconds.
        """

        def resumed(position: Position) -> None:
            note(self.stage, f"goes on after step {position.step} of epoch {position.epoch}, where it was stopped")

        return Resumable(
            folder=self.folder / _STATES,
            identity=self.identity,
            may_differ=frozenset(self.changes),
            seconds=_state_seconds(),
            on_resumed=resumed,
            on_refused=lambda words: note(self.stage, words),
        )

    def done(self) -> None:
        """Let go of everything: the training is in MLflow, whole. What was stopped elsewhere is of no use now."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for other in _relatives(self.folder):
            with _at_once(other) as free:
                if free:
                    shutil.rmtree(other, ignore_errors=True)


@contextmanager
def hold(home: Home, identity: Mapping[str, str], stage: str) -> Generator[Held]:
    """Hold a training's folder; where another process trains the same, wait until it has ended.

    Args:
        home: Where folders are.
        identity: As ``identity_of`` says.
        stage: Whose progress it is, for notes.

    Raises:
        SettingError: ``CXR_RESUME_CHANGED`` names something that is no part of a machine.
    """
    folder = home.checkpoints / _name(identity)
    home.checkpoints.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(stage, "another process trains the same; waiting for it")
        lock.acquire()
    try:
        folder.mkdir(exist_ok=True)
        held = Held(folder=folder, identity=identity, stage=stage)
        if not (folder / _STATES).is_dir():
            _look_elsewhere(held)
        _forget_old(held)
        write_json(folder / _IDENTITY, dict(identity))
        yield held
    finally:
        lock.release()


def may_change() -> frozenset[str]:
    """Names of what may change under a stopped training, from ``CXR_RESUME_CHANGED``; by default none.

    Raises:
        SettingError: It names something else.
    """
    names = frozenset(name.strip() for name in os.environ.get(_CHANGED, "").split(",") if name.strip())
    if unknown := sorted(names.difference(MACHINE)):
        raise SettingError(
            f"{_CHANGED} should name what may change under a stopped training, of {', '.join(MACHINE)}; found "
            f"{', '.join(unknown)}.",
            reason="bad_resume_changed",
            hint=f"Set it to such as {MACHINE[0]},{MACHINE[-1]}, or unset it.",
        )
    return names


def _look_elsewhere(held: Held) -> None:
    """Where the same was stopped on another machine or with other libraries: go on with it if asked to, else say so."""
    for other in _relatives(held.folder):
        with _at_once(other) as free:
            if not free or not (other / _IDENTITY).is_file() or not (other / _STATES).is_dir():
                continue
            began: dict[str, str] = read_json(other / _IDENTITY)
            changes = {
                name: f"{began.get(name)} → {held.identity[name]}"
                for name in MACHINE
                if began.get(name) != held.identity[name]
            }
            words = "; ".join(f"{name}: {change}" for name, change in changes.items())
            if not may_change().issuperset(changes):
                note(
                    held.stage,
                    f"the same training was stopped before something changed ({words}); it starts anew, for its bits "
                    f"would be neither's. {_CHANGED}={','.join(changes)} goes on with it instead",
                )
                continue
            earlier = Held(folder=other, identity=began, stage=held.stage).changes
            # Before it moves: whoever finds the states must know that they are another machine's.
            write_json(other / _CHANGES, {**changes, **earlier})
            # All at once, so that states never stand without their journal and their MLflow run.
            shutil.rmtree(held.folder)
            other.rename(held.folder)
            note(held.stage, f"goes on with what was stopped before something changed ({words})")
            return


def _forget_old(held: Held) -> None:
    """Remove what other trainings left that nobody went on with: each may hold half a gigabyte."""
    kept = {held.folder, *_relatives(held.folder)}
    for folder in sorted(path for path in held.folder.parent.iterdir() if path.is_dir() and path not in kept):
        with _at_once(folder) as free, suppress(OSError):
            days = (time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))) / 86400
            if free and days > _KEEP_DAYS:
                shutil.rmtree(folder)
                note(held.stage, f"removed the states of a training that was stopped {days:.0f} days ago")


def _name(identity: Mapping[str, str]) -> str:
    """What is trained, then where: trainings of the same differ in the second part alone."""
    parts = (
        {name: value for name, value in identity.items() if name not in MACHINE},
        {name: identity[name] for name in MACHINE},
    )
    return "-".join(digest_value(part).removeprefix("sha256:")[:_NAME_DIGITS] for part in parts)


def _relatives(folder: Path) -> list[Path]:
    same = folder.name.partition("-")[0]
    return sorted(path for path in folder.parent.glob(f"{same}-*") if path.is_dir() and path != folder)


def _lock(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f"{folder.name}.lock"))


@contextmanager
def _at_once(folder: Path) -> Generator[bool]:
    """Hold another training's folder if nobody does."""
    lock = _lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _state_seconds() -> float:
    text = os.environ.get(_STATE_SECONDS)
    if not text:
        return _DEFAULT_STATE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise SettingError(
            f"{_STATE_SECONDS} should be seconds between two saved states of a training; found {text!r}.",
            reason="bad_state_seconds",
            hint=f"Set it to a number such as {_DEFAULT_STATE_SECONDS:.0f}, or unset it.",
        )
    return seconds
