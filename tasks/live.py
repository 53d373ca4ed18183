"""A training's progress: words for each step, and a bar in Prefect's UI that is renewed every few seconds.

The bar is a courtesy: where Prefect does not take it, training goes on and nothing is said. It is drawn from the events
that training tells, so a training in a worker process has one too.
"""

from __future__ import annotations

import contextvars
import logging
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from cxr_core.params import TrainParams
from cxr_core.train.progress import Progress
from tasks.events import Event, listening, note
from tasks.events import progress as tell

__all__ = ["Steps", "crowded", "progress_bar", "time_left", "words_of"]

_EVERY_SECONDS = 5.0
# How long the end of a training waits for its last bar.
_LAST_SECONDS = 2.0
# How long a training is watched before it is said that it has too few cores, and the least part of them it has alone.
_WATCHED_SECONDS, _ENOUGH = 10.0, 0.7
_log = logging.getLogger(__name__)


class Steps:
    """Tells each step of a training as an event: epoch, loss, speed and how long it still takes; and, once, that its
    threads do not get the cores they ask for.

    Args:
        stage: Whose progress it is.
        params: How it is trained, the device by its name.
    """

    def __init__(self, stage: str, params: TrainParams) -> None:
        self._stage = stage
        # Time and processor time at the first step told, and its number.
        self._began: tuple[float, float, int] | None = None
        self._threads = params.threads
        # Steps on a GPU wait for no core, and a thread alone for no other.
        self._watched = params.device == "cpu" and params.threads > 1

    def tell(self, step: Progress) -> None:
        """After a step; costs no more than a log line."""
        now = time.monotonic()
        if self._began is None:
            # The first step of a process also chooses kernels: what is left is told from the steps after it.
            self._began = (now, time.process_time(), step.done)
        since, used, first = self._began
        words = words_of(step)
        left = time_left(step, seconds=now - since, steps=step.done - first)
        tell(self._stage, step.done, step.total, words if left is None else f"{words}, {left}")
        if self._watched and now - since >= _WATCHED_SECONDS:
            self._watched = False
            if text := crowded(time.process_time() - used, seconds=now - since, threads=self._threads):
                note(self._stage, text)


def words_of(step: Progress) -> str:
    """``epoch 3 of 10, loss 0.412, 29 images/s``."""
    return f"epoch {step.epoch} of {step.epochs}, loss {step.loss:.3f}, {step.images_per_second:.0f} images/s"


def crowded(processor_seconds: float, *, seconds: float, threads: int) -> str | None:
    """What to know where a training's threads do not get the cores they ask for; None where they do.

    Threads wait for each other after every layer, some of them without letting go of their core. Where another program
    holds one back the others wait a slice of the scheduler each time, so that such a training takes several times as
    long as its share of the machine explains; on one thread it does not.

    Args:
        processor_seconds: What the training's process used.
        seconds: In how long.
        threads: CPU threads that it trains on.
    """
    cores = processor_seconds / seconds
    if cores >= _ENOUGH * threads:
        return None
    return (
        f"gets {cores:.1f} of {threads} cores, for something else uses them, and threads that wait for each other take "
        "several times as long then; beside other programs --set train.threads=1 is faster, though its weights are "
        "others, so that no finished fold is reused"
    )


def time_left(step: Progress, *, seconds: float, steps: int) -> str | None:
    """How long the rest of a training takes at the pace of some steps: ``4 min left``; None before there is a pace."""
    if steps <= 0:
        return None
    left = seconds / steps * (step.total - step.done)
    return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"


@contextmanager
def progress_bar(stage: str, *, every: float = _EVERY_SECONDS) -> Generator[None]:
    """Show a stage's progress at the Prefect task that runs; outside of one nothing is shown.

    Args:
        stage: Whose events are shown.
        every: Seconds between two updates.
    """
    if TaskRunContext.get() is None:
        yield
        return
    newest: list[Event] = []
    closed = threading.Event()

    def hear(event: Event) -> None:
        if event.kind == "progress" and event.stage == stage:
            newest[:] = [event]

    # A thread has no context of its own: Prefect tells by it which task run the bar belongs to.
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=context.run, args=(_renew, newest, closed, every), name=f"bar of {stage}", daemon=True
    )
    thread.start()
    try:
        with listening(hear):
            yield
    finally:
        closed.set()
        thread.join(_LAST_SECONDS)


def _renew(newest: list[Event], closed: threading.Event, every: float) -> None:
    bar: UUID | None = None
    shown: Event | None = None
    while True:
        ends = closed.wait(every)
        event = newest[0] if newest else None
        if event is not None and event != shown:
            try:
                bar = _show(bar, event)
            except Exception as error:  # noqa: BLE001 - a bar that cannot be drawn must not end a training
                _log.debug("no progress bar for %s: %s", event.stage, error)
            shown = event
        if ends:
            return


def _show(bar: UUID | None, event: Event) -> UUID:
    percent, words = 100.0 * event.done / max(event.total, 1), f"{event.stage}: {event.text}"
    if bar is None:
        key = re.sub(r"[^a-z0-9]+", "-", event.stage.lower()).strip("-")
        return cast(UUID, create_progress_artifact(progress=percent, key=key, description=words))
    update_progress_artifact(bar, progress=percent, description=words)
    return bar
