"""What a run looks like in a terminal: one line a finished stage, a bar for the stage at work, nothing else.

Draws the events of ``tasks.events``. Where there is no terminal (a log file, CI) only the finished lines appear; with
``--json`` they go to stderr, so that stdout holds one object.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from tasks.events import LOGGER, Event

__all__ = ["show_events"]

_WORD_WIDTH = 10


@contextmanager
def show_events(console: Console) -> Generator[None]:
    """Draw events on a console while the block runs."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[stage]}", style="bold"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
    handler = _EventHandler(console, progress)
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    try:
        with progress:
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


class _EventHandler(logging.Handler):
    """Turns records that carry an event into lines and bars; folds report from several threads, hence the lock."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__()
        self._console = console
        self._progress = progress
        self._bars: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._draw = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "cxr_event", None)
        if not isinstance(event, Event):
            return
        with self._draw:
            match event.kind:
                case "started":
                    self._start(event)
                case "progress":
                    self._start(event)
                    total = event.total or None
                    self._progress.update(
                        self._bars[event.stage], completed=event.done, total=total, description=event.text
                    )
                case "done":
                    self._finish(event)
                case "note":
                    self._console.print(_line(event, "", "yellow"), soft_wrap=True)

    def _start(self, event: Event) -> None:
        if event.stage not in self._bars:
            self._started[event.stage] = time.monotonic()
            self._bars[event.stage] = self._progress.add_task(event.text, stage=event.stage, total=None)

    def _finish(self, event: Event) -> None:
        bar = self._bars.pop(event.stage, None)
        if bar is not None:
            self._progress.remove_task(bar)
        started = self._started.pop(event.stage, None)
        seconds = "" if started is None else f"{time.monotonic() - started:.1f} s"
        self._console.print(_line(event, seconds, "green"), soft_wrap=True)


def _line(event: Event, seconds: str, colour: str) -> Text:
    line = Text("  ")
    line.append(event.stage.ljust(_WORD_WIDTH), style=f"bold {colour}")
    line.append(" ")
    line.append(event.text)
    if seconds:
        line.append(f"  {seconds}", style="dim")
    return line
