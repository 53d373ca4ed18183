"""How a training's metrics reach MLflow: from a journal on disk, by a thread of their own, so that a tracker that is
slow or gone costs training nothing.

In: a journal, and how the training's run is begun. Out: the run, with every point of the journal once. Sending a point
twice is safe: MLflow keeps one row a name, step and time, and the journal fixes all three.
"""

from __future__ import annotations

import contextvars
import dataclasses
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from cxr_core.errors import TrackingError
from cxr_core.train.journal import Journal
from cxr_core.train.progress import EpochResult
from tasks.adapters.runlog import Run as Log
from tasks.adapters.store import is_away, one_attempt
from tasks.events import note

__all__ = ["Publisher"]

_RETRY_SECONDS = 2.0
_PATIENCE_SECONDS = 600.0
_SAMPLE_SECONDS = 5.0
# How long a training that failed waits for its run to be begun, so that the failure can be told there.
_FAIL_SECONDS = 20.0

Result = TypeVar("Result")


class Publisher:
    """Begins a training's run and keeps it up to date while the body of its ``with`` trains.

    Args:
        journal: What is to be sent; points written by an earlier process are sent first.
        begin: Begins the run, or goes on with it; called until it succeeds, so calling it again must be safe.
        fail: Marks the run where the body raised.
        stage: Whose progress it is, for the note that a tracker is gone.
    """

    def __init__(
        self, journal: Journal, *, begin: Callable[[], Log], fail: Callable[[Log, BaseException], None], stage: str
    ) -> None:
        self._journal = journal
        self._begin, self._fail = begin, fail
        self._stage = stage
        self._waiting = list(journal.points)
        self._changed = threading.Condition()
        self._closed = False
        self._log: Log | None = None
        self._sample: Callable[[], None] | None = None
        self._away: TrackingError | None = None
        self._refusal: Exception | None = None
        # A thread has no context of its own: Prefect tells by it whose notes these are.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name=f"metrics of {stage}", daemon=True)

    def __enter__(self) -> Publisher:
        """Start sending."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sending; what has not arrived stays in the journal."""
        with self._changed:
            if error is not None:
                self._changed.wait_for(lambda: self._log or self._away or self._refusal, timeout=_FAIL_SECONDS)
            self._closed = True
            self._changed.notify_all()
        if error is not None and self._log is not None:
            with one_attempt():
                self._fail(self._log, error)

    def add(self, result: EpochResult) -> None:
        """Write an epoch to the journal, flushed, then hand it to the thread. Never waits for the tracker.

        Raises:
            TrackingError: The tracker is there and refused.
            OSError: The disk did not take what belongs to the run.
        """
        values = dataclasses.asdict(result)
        epoch = int(values.pop("epoch"))
        known = {point.epoch for point in self._journal.points}
        point = self._journal.add(epoch, {name: value for name, value in values.items() if value is not None})
        with self._changed:
            if self._refusal is not None:
                raise self._refusal
            if epoch not in known:
                self._waiting.append(point)
                self._changed.notify_all()

    def finish(self, last: Callable[[Log], Result], *, seconds: float = _PATIENCE_SECONDS) -> Result:
        """Wait until every point has arrived, then do what is left to do with the run.

        Args:
            last: Called again where the tracker goes away meanwhile, so it must log the same again.
            seconds: How long a tracker may be away.

        Raises:
            TrackingError: The tracker refused, or was away for so long; the points are in the journal.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            self._changed.wait_for(
                lambda: self._refusal is not None or (self._log is not None and not self._waiting), timeout=seconds
            )
            if self._refusal is not None:
                raise self._refusal
            if self._log is None or self._waiting:
                raise self._gone(seconds)
            log = self._log
        while True:
            try:
                with one_attempt():
                    return last(log)
            except TrackingError as error:
                if not is_away(error) or time.monotonic() > deadline:
                    raise
                self._tell_once(error)
                time.sleep(_RETRY_SECONDS)

    def _gone(self, seconds: float) -> TrackingError:
        return TrackingError(
            f"MLflow did not take the metrics of {len(self._waiting)} epochs within {seconds:.0f} s"
            f"{f': {self._away.message}' if self._away else ''}.",
            reason="tracker_gone",
            hint="Nothing is lost: start the server, then run the same command again.",
        )

    def _work(self) -> None:
        """The thread: begin the run, then send what waits, and between whiles how busy the machine is."""
        try:
            self._send()
        except Exception as error:  # noqa: BLE001 - a full disk, a fault of ours: told by who trains, not lost with the thread
            with self._changed:
                self._refusal = error
                self._changed.notify_all()

    def _send(self) -> None:
        while True:
            try:
                with one_attempt():
                    if not self._one_thing():
                        return
                self._away = None
            except TrackingError as error:
                with self._changed:
                    if not is_away(error):
                        self._refusal = error
                    self._changed.notify_all()
                self._tell_once(error)
                with self._changed:
                    if self._refusal is not None:
                        return
                    if self._changed.wait_for(lambda: self._closed, timeout=_RETRY_SECONDS):
                        return

    def _one_thing(self) -> bool:
        """Do what is next; False where nothing will be."""
        if self._log is None:
            log = self._begin()
            self._sample = log.sampler()
            self._sample()
            with self._changed:
                self._log = log
                self._changed.notify_all()
            return True
        with self._changed:
            idle = not self._changed.wait_for(lambda: self._waiting or self._closed, timeout=_SAMPLE_SECONDS)
            point = self._waiting[0] if self._waiting else None
        if idle:
            assert self._sample is not None
            self._sample()
        elif point is None:
            return False
        else:
            self._log.metrics(point.values, step=point.epoch, timestamp_ms=point.timestamp_ms)
            with self._changed:
                self._waiting.pop(0)
                self._changed.notify_all()
        return True

    def _tell_once(self, error: TrackingError) -> None:
        if self._away is None and is_away(error):
            note(self._stage, f"MLflow does not answer ({error.reason}); training goes on, its metrics stay on disk")
        self._away = error
