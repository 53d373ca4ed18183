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

from cxr_core.train.progress import Progress
from tasks.events import Event, listening
from tasks.events import progress as tell

__all__ = ["Steps", "progress_bar", "time_left", "words_of"]

_EVERY_SECONDS = 5.0
# How long the end of a training waits for its last bar.
_LAST_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Steps:
    """Tells each step of a training as an event: epoch, loss, speed and how long it still takes.

    Args:
        stage: Whose progress it is.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._began: tuple[float, int] | None = None

    def tell(self, step: Progress) -> None:
        """After a step; costs no more than a log line."""
        now = time.monotonic()
        if self._began is None:
            # The first step of a process also chooses kernels: what is left is told from the steps after it.
            self._began = (now, step.done)
        since, first = self._began
        words = words_of(step)
        left = time_left(step, seconds=now - since, steps=step.done - first)
        tell(self._stage, step.done, step.total, words if left is None else f"{words}, {left}")


def words_of(step: Progress) -> str:
    """``epoch 3 of 10, loss 0.412, 29 images/s``."""
    return f"epoch {step.epoch} of {step.epochs}, loss {step.loss:.3f}, {step.images_per_second:.0f} images/s"


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
