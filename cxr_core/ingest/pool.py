"""Work on many items in worker processes, in order, surviving a worker's death.

Hostile bytes can end a decoder's process (a crash in C code, memory run out). Laws: one outcome an item, in the items'
order, whatever the number of workers; an item that ends its worker gives ``Died``, and costs no other item its result.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TypeVar

from cxr_core.errors import SettingError

__all__ = ["Died", "map_in_order", "processors"]

T = TypeVar("T")
R = TypeVar("R")

# So many items a message: small enough to spread, large enough that messages cost nothing.
_CHUNK_ITEMS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Died:
    """The outcome of an item whose worker ended without a word."""


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or a scheduler may have lent us fewer than there are.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(function: Callable[[T], R], items: Sequence[T], *, workers: int) -> Iterator[R | Died]:
    """Yield ``function(item)`` for each item, in order, computed by ``workers`` processes.

    Args:
        function: Importable by name: workers are started fresh (``spawn``), since forking a process with threads is
            not safe. What it raises is raised here.
        items: What to work on; items and results are pickled.
        workers: How many processes, at least 1.

    Raises:
        SettingError: Workers cannot start (``workers_cannot_start``).
    """
    chunks = [items[start : start + _CHUNK_ITEMS] for start in range(0, len(items), _CHUNK_ITEMS)]
    while chunks:
        done, futures = 0, list[Future[list[R]]]()
        with _pool(min(workers, len(chunks))) as pool:
            try:
                futures += [pool.submit(_each, function, chunk) for chunk in chunks]
                for future in futures:
                    yield from future.result()
                    done += 1
            except BrokenProcessPool:
                pass
            finally:
                _cancel(futures)
        chunks = chunks[done:]
        # Chunks start in order, so the one that ended its worker is among the first `workers` that are not done.
        suspects, chunks = chunks[:workers], chunks[workers:]
        for chunk in suspects:
            yield from _one_by_one(function, chunk)


def _one_by_one(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R | Died]:
    """Each item alone in a worker, so that a death has one culprit."""
    pool = _pool(1)
    try:
        for item in items:
            try:
                yield pool.submit(function, item).result()
            except BrokenProcessPool:
                yield Died()
                pool.shutdown()
                pool = _pool(1)
                _check_start(pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _check_start(pool: ProcessPoolExecutor) -> None:
    """Tell a worker that an item ended from workers that never start: else every item would be called deadly."""
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise SettingError(
            "Worker processes end as soon as they start.",
            reason="workers_cannot_start",
            hint="Free some memory, and guard the script that calls this with `if __name__ == '__main__':`.",
        ) from error


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=workers, mp_context=multiprocessing.get_context("spawn"))


def _cancel(futures: Sequence[Future[list[R]]]) -> None:
    for future in futures:
        future.cancel()


def _each(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [function(item) for item in items]
