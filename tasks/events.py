"""How work tells what it is doing: log records with a structured part.

A terminal can draw them, Prefect's UI list them, a server keep them as text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

__all__ = ["LOGGER", "Event", "listening", "note", "progress", "stage_done", "stage_started", "tell_listeners"]

LOGGER = logging.getLogger("cxr")
_listeners: list[Callable[[Event], None]] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What a log record carries as ``record.cxr_event``.

    Args:
        kind: ``started`` and ``done`` frame a stage; ``progress`` counts inside one; ``note`` stands alone.
        stage: The stage word, with a part where it has several: ``ingest``, ``train 2/5``.
        text: What a person reads.
        done: Steps done, of ``total``; both 0 where nothing is counted.
        total: Steps in all.
    """

    kind: Literal["started", "progress", "done", "note"]
    stage: str
    text: str
    done: int = 0
    total: int = 0


def stage_started(stage: str, text: str = "") -> None:
    """A stage begins."""
    _emit(Event(kind="started", stage=stage, text=text), logging.DEBUG)


def progress(stage: str, done: int, total: int, text: str = "") -> None:
    """A stage has done ``done`` of ``total`` steps."""
    _emit(Event(kind="progress", stage=stage, text=text, done=done, total=total), logging.DEBUG)


def stage_done(stage: str, text: str) -> None:
    """A stage ended well; ``text`` says with what."""
    _emit(Event(kind="done", stage=stage, text=text), logging.INFO)


def note(stage: str, text: str) -> None:
    """Something a person should know."""
    _emit(Event(kind="note", stage=stage, text=text), logging.WARNING)


@contextmanager
def listening(listener: Callable[[Event], None]) -> Generator[None]:
    """Have every event of the block told to a function too, at whatever level logs are kept; it must be quick."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell_listeners(record: logging.LogRecord) -> None:
    """Tell this process's listeners an event that another process has told."""
    event = getattr(record, "cxr_event", None)
    if isinstance(event, Event):
        for listener in (*_listeners,):
            listener(event)


def _emit(event: Event, level: int) -> None:
    for listener in (*_listeners,):
        listener(event)
    LOGGER.log(level, "%s: %s", event.stage, event.text, extra={"cxr_event": event})
