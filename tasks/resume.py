"""How a training outlives its process and its tracker: a folder a key, held by one process, with states and a journal.

In: a training's key. Out: ``Held``: where its states go, which MLflow run it already has, and a journal whose points
reach MLflow from a thread of their own, so that a tracker that is slow or gone costs training nothing.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from cxr_core.errors import SettingError, TrackingError
from cxr_core.files import read_json, write_json
from cxr_core.train.fold import Resumable
from cxr_core.train.journal import Journal
from cxr_core.train.progress import EpochResult, Position
from tasks.adapters.runlog import Run as Log
from tasks.events import note
from tasks.settings import Home

__all__ = ["Held", "Publisher", "hold"]

_STATE_SECONDS = "CXR_STATE_SECONDS"
# A ResNet-34's state is 255 MB and takes a good second: one per cent of two minutes.
_DEFAULT_STATE_SECONDS = 120.0
_RETRY_SECONDS = 2.0
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A training's folder, held by this process.

    Attributes:
        folder: States, journal and the name of the MLflow run.
        key: The training's key.
    """

    folder: Path
    key: str

    @property
    def run_id(self) -> str | None:
        """The MLflow run that an earlier process began for this training; None where there is none."""
        path = self.folder / "run.json"
        return str(read_json(path)["run_id"]) if path.is_file() else None

    def belongs_to(self, log: Log) -> None:
        """Write down which run this training's metrics go to."""
        write_json(self.folder / "run.json", {"run_id": log.id})

    def journal(self) -> Journal:
        """This training's journal."""
        return Journal(self.folder / "journal.jsonl")

    def resumable(self, stage: str) -> Resumable:
        """Where the core keeps this training's states; what becomes of them is told as notes.

        Raises:
            SettingError: ``CXR_STATE_SECONDS`` is no number of seconds.
        """

        def resumed(position: Position) -> None:
            note(stage, f"goes on after step {position.step} of epoch {position.epoch}, where it was stopped")

        return Resumable(
            folder=self.folder / "states",
            key=self.key,
            seconds=_state_seconds(),
            on_resumed=resumed,
            on_refused=lambda words: note(stage, words),
        )

    def done(self) -> None:
        """Let go of everything: the training is in MLflow, whole."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def hold(home: Home, key: str, stage: str) -> Generator[Held]:
    """Hold a training's folder; where another process trains the same, wait until it has ended."""
    name = key.removeprefix("sha256:")[:32]
    home.checkpoints.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.checkpoints / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(stage, "another process trains the same; waiting for it")
        lock.acquire()
    try:
        folder = home.checkpoints / name
        folder.mkdir(exist_ok=True)
        yield Held(folder=folder, key=key)
    finally:
        lock.release()


class Publisher:
    """Sends a journal's points to an MLflow run from a thread of its own, again and again until each has arrived.

    Sending a point twice is safe: MLflow keeps one row a name, step and time, and the journal fixes all three.

    Args:
        journal: What is to be sent; points written by an earlier process are sent first.
        log: The run.
        stage: Whose progress it is, for the note that a tracker is gone.
    """

    def __init__(self, journal: Journal, log: Log, stage: str) -> None:
        self._journal = journal
        self._log = log
        self._stage = stage
        self._waiting = list(journal.points)
        self._changed = threading.Condition()
        self._closed = False
        self._error: TrackingError | None = None
        self._thread = threading.Thread(target=self._send_all, name=f"metrics of {stage}", daemon=True)

    def __enter__(self) -> Publisher:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sending; what has not arrived stays in the journal."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def add(self, result: EpochResult) -> None:
        """Write an epoch to the journal, flushed, then hand it to the thread. Never waits for the tracker."""
        values = dataclasses.asdict(result)
        epoch = int(values.pop("epoch"))
        known = {point.epoch for point in self._journal.points}
        point = self._journal.add(epoch, {name: value for name, value in values.items() if value is not None})
        if epoch not in known:
            with self._changed:
                self._waiting.append(point)
                self._changed.notify_all()

    def drain(self, *, seconds: float = _PATIENCE_SECONDS) -> None:
        """Wait until every point has arrived.

        Raises:
            TrackingError: The tracker did not take them for so long; they are in the journal.
        """
        with self._changed:
            if self._changed.wait_for(lambda: not self._waiting, timeout=seconds):
                return
        raise TrackingError(
            f"{len(self._waiting)} epochs' metrics did not reach MLflow within {seconds:.0f} s"
            f"{f': {self._error.message}' if self._error else ''}.",
            reason="tracker_gone",
            hint="Nothing is lost: start the server, then run the same command again.",
        )

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting or (self._closed and self._error):
                    return
                point = self._waiting[0]
            try:
                self._log.metrics(point.values, step=point.epoch, timestamp_ms=point.timestamp_ms)
            except TrackingError as error:
                self._complain(error)
                continue
            with self._changed:
                self._error = None
                self._waiting.pop(0)
                self._changed.notify_all()

    def _complain(self, error: TrackingError) -> None:
        if self._error is None:
            note(
                self._stage, f"MLflow does not take metrics ({error.reason}); training goes on, the journal keeps them"
            )
        with self._changed:
            self._error = error
            self._changed.wait_for(lambda: self._closed, timeout=_RETRY_SECONDS)


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
