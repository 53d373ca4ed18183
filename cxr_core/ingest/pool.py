"""Work on many items in worker processes: in order, each item under limits, surviving what an item does to its worker.

Hostile bytes can end a decoder's process, hang it, or fill the memory. Laws: one outcome an item, in the items' order,
whatever the number of workers; an item that ends its worker gives ``Died`` with a reason, and costs no other item its
result; no item is blamed for one bad moment of the machine, since it is tried again with no other worker busy.

Each worker has a pipe of its own and the parent waits on all of them, so that nothing shared can be left locked by the
one that dies. ``ProcessPoolExecutor`` gives up at a death; pebble's pool keeps time by the message and not by the item,
and its workers share a pipe under locks.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import selectors
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from cxr_core.errors import SettingError
from cxr_core.ingest.faults import DecoderFault
from cxr_core.ingest.pool_worker import TIMEOUT_SIGNALS, Answer, Begun, Limits, serve

__all__ = ["Died", "Limits", "head_start", "map_in_order", "processors"]

T = TypeVar("T")
R = TypeVar("R")

# So many items a message: small enough to spread, large enough that waiting for the next message costs nothing.
_CHUNK_ITEMS = 16
# Chunks a worker may be ahead of the item that is wanted next: what waits in memory is bounded.
_AHEAD_CHUNKS = 8
# Past its own clocks a worker must have ended; one that has not (stopped, or waiting for a disk) is killed.
_GRACE_SECONDS = 10.0
_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Died:
    """The outcome of an item that ended its worker, twice."""

    reason: DecoderFault


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or a scheduler may have lent us fewer than there are.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(
    function: Callable[[T], R], items: Sequence[T], *, workers: int, limits: Limits | None = None
) -> Iterator[R | Died]:
    """Yield ``function(item)`` for each item, in order, computed by ``workers`` processes.

    Args:
        function: Importable by name: workers are started fresh (``spawn``), since forking a process with threads is
            not safe. What it raises is raised here, except ``MemoryError``, which is an outcome. It may be called
            again for an item, where an item beside it ended their worker.
        items: What to work on; items and results are pickled.
        workers: How many processes, at least 1.
        limits: What one item may take; None takes those a picture needs.

    Raises:
        SettingError: Workers cannot start (``workers_cannot_start``).
    """
    if items:
        with head_start(function, workers=workers, limits=limits) as mapped:
            yield from mapped(items)


@contextmanager
def head_start(
    function: Callable[[T], R], *, workers: int, limits: Limits | None = None
) -> Generator[Callable[[Sequence[T]], Iterator[R | Died]]]:
    """Start a worker now, for items that are found meanwhile; what is given maps them, once, as ``map_in_order`` does.

    A worker takes half a second to load its libraries.
    """
    crew = _Crew(function, size=workers, limits=limits or Limits())
    try:
        yield crew.map_in_order
    finally:
        crew.end()


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, its pipe, and the places of the items it has not answered yet."""

    process: SpawnProcess
    connection: Connection
    begun: Begun
    deadline: float
    ready: bool = False
    chunk: range = range(0)
    places: deque[int] = field(default_factory=deque[int])

    @property
    def culprit(self) -> int | None:
        """The place of the item it began last."""
        return self.chunk[self.begun.value - 1] if self.begun.value else None


class _Crew:
    """The workers, the chunks that nobody has been given yet, and the answers that nobody has asked for yet."""

    def __init__(self, function: Callable[[Any], Any], *, size: int, limits: Limits) -> None:
        self._pickled = pickle.dumps(function)
        self._size, self._limits = size, limits
        self._items: Sequence[Any] = ()
        self._chunks: deque[range] = deque()
        self._answers: dict[int, tuple[Answer, Any]] = {}
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._start()

    def map_in_order(self, items: Sequence[Any]) -> Iterator[Any]:
        """Yield what comes of each item; with other workers beside the first, where there is work for them."""
        step = max(1, min(_CHUNK_ITEMS, len(items) // (4 * self._size)))
        self._items = items
        self._chunks.extend(range(start, min(start + step, len(items))) for start in range(0, len(items), step))
        for _ in range(len(self._workers), min(self._size, len(self._chunks))):
            self._start()
        for place in range(len(items)):
            answer, value = self.first_answer(place, ahead=step * self._size * _AHEAD_CHUNKS)
            if answer is Answer.DIED:
                answer, value = self.second_answer(place)
            if answer is Answer.RAISED:
                raise value
            yield Died(reason=value) if answer is Answer.DIED else value

    def first_answer(self, place: int, *, ahead: int) -> tuple[Answer, Any]:
        """What came of an item, while idle workers get chunks that begin less than ``ahead`` places behind it."""
        while place not in self._answers:
            for worker in self._workers:
                if worker.ready and not worker.places and self._chunks and self._chunks[0].start < place + ahead:
                    self._give(worker, self._chunks.popleft(), self._limits.memory_bytes)
            self._listen()
        return self._answers.pop(place)

    def second_answer(self, place: int) -> tuple[Answer, Any]:
        """What comes of an item that is tried again once every worker is idle, with as much memory as it may have."""
        while any(worker.places or not worker.ready for worker in self._workers):
            self._listen()
        self._give(self._workers[0], range(place, place + 1), self._limits.alone_bytes)
        while place not in self._answers:
            self._listen()
        return self._answers.pop(place)

    def end(self) -> None:
        """Kill the workers: nothing that they still do is wanted."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self._bury(worker)
        self._selector.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        begun = context.RawValue("i", 0)
        process = context.Process(target=serve, args=(theirs, begun, self._pickled, self._limits), daemon=True)
        process.start()
        # Closed here, so that the end of the process is the end of the pipe.
        theirs.close()
        deadline = time.monotonic() + _START_SECONDS
        worker = _Worker(process=process, connection=ours, begun=begun, deadline=deadline)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _give(self, worker: _Worker, places: range, memory_bytes: int) -> None:
        worker.chunk, worker.begun.value = places, 0
        worker.places.extend(places)
        self._set_deadline(worker)
        # A worker that died while it was idle shows as the end of its pipe, in `_listen`.
        with suppress(OSError):
            worker.connection.send((memory_bytes, [self._items[place] for place in places]))

    def _listen(self) -> None:
        """Wait until a worker says something, ends or is late, and keep what it said."""
        patience = min(worker.deadline for worker in self._workers) - time.monotonic()
        heard = [key.data for key, _ in self._selector.select(None if patience == math.inf else max(0.0, patience))]
        for worker in heard:
            try:
                answers: list[tuple[Answer, Any]] = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker, late=False)
                continue
            for answer, value in answers:
                if answer is Answer.READY:
                    worker.ready = True
                elif answer is Answer.OUT_OF_MEMORY:
                    self._answers[worker.places.popleft()] = Answer.DIED, DecoderFault.OUT_OF_MEMORY
                else:
                    self._answers[worker.places.popleft()] = answer, value
            self._set_deadline(worker)
        now = time.monotonic()
        for worker in [each for each in self._workers if each.deadline < now and each not in heard]:
            worker.process.kill()
            self._replace(worker, late=True)

    def _replace(self, worker: _Worker, *, late: bool) -> None:
        """Blame the item that a dead worker was at, give back those it had not begun, and start another worker."""
        self._bury(worker)
        if not worker.ready:
            raise SettingError(
                "Worker processes end as soon as they start.",
                reason="workers_cannot_start",
                hint="Free some memory, and guard the script that calls this with `if __name__ == '__main__':`.",
            )
        if worker.places:
            late = late or -(worker.process.exitcode or 0) in TIMEOUT_SIGNALS
            # At none of them where it ended between two items, or before the first.
            culprit = worker.culprit if worker.culprit in worker.places else None
            if culprit is not None:
                self._answers[culprit] = Answer.DIED, DecoderFault.TIMEOUT if late else DecoderFault.DIED
            # Answers that it had found and not sent are found again.
            self._chunks.extendleft(range(place, place + 1) for place in reversed(worker.places) if place != culprit)
        self._start()

    def _bury(self, worker: _Worker) -> None:
        self._selector.unregister(worker.connection)
        worker.connection.close()
        worker.process.join()
        self._workers.remove(worker)

    def _set_deadline(self, worker: _Worker) -> None:
        seconds = self._limits.wall_seconds + _GRACE_SECONDS
        worker.deadline = time.monotonic() + seconds if worker.places else math.inf
