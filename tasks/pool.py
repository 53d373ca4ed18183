"""Worker processes that train: a fold in, what ``train_here`` gives out, with what it tells on its way.

Laws: a worker trains one fold at a time; it dies with the process that started it, however that one died; its events
reach this process's log as if they had been told here; an error comes back as it was raised.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Any, Self

from tasks.data import DataVersion
from tasks.events import LOGGER, tell_listeners
from tasks.plan import Plan
from tasks.run import Run
from tasks.train import train_here
from tasks.trained import Trained

__all__ = ["TrainingPool"]


class TrainingPool:
    """Worker processes, started when they are first needed.

    Args:
        workers: How many.
        gpus: The GPU that each may see; empty hides none.
    """

    def __init__(self, *, workers: int, gpus: Sequence[int] = ()) -> None:
        # Not forked: a fork would inherit torch's threads, MLflow's connections and Prefect's.
        spawn = multiprocessing.get_context("spawn")
        slots = spawn.SimpleQueue()
        for gpu in gpus:
            slots.put(gpu)
        events: Any = spawn.Queue()
        self._listener = logging.handlers.QueueListener(events, _Retold())
        self._pool = ProcessPoolExecutor(
            workers, mp_context=spawn, initializer=_begin, initargs=(events, slots if gpus else None)
        )

    def __enter__(self) -> Self:
        """Begin to pass events on."""
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the workers go; after an error what has not begun is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        self._listener.stop()

    def train(
        self, run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None, epochs: int | None = None
    ) -> Trained:
        """Train a fold, or find it trained, in a worker; waits for it."""
        return self._pool.submit(train_here, run, plan, data, parent, fold, epochs).result()


class _Retold(logging.Handler):
    """A worker's record, handled here."""

    def emit(self, record: logging.LogRecord) -> None:
        tell_listeners(record)
        if LOGGER.isEnabledFor(record.levelno):
            LOGGER.handle(record)


def _begin(events: Any, slots: Any) -> None:
    """A worker's first act."""
    if slots is not None:
        names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        slot = slots.get()
        # Before CUDA is first used, so that the training sees one GPU, whose number is 0 to it.
        os.environ["CUDA_VISIBLE_DEVICES"] = names[slot] if names else str(slot)
    LOGGER.addHandler(logging.handlers.QueueHandler(events))
    LOGGER.setLevel(logging.DEBUG)
    LOGGER.propagate = False
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        # What is saved is saved; the next start goes on from there.
        os._exit(1)
