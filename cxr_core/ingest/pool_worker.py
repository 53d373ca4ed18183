"""The inside of a worker process: items in, one answer an item out, under limits that the kernel keeps.

Laws: which item it is at stands in memory that the parent sees, so that a worker's death has one culprit; time is kept
by the kernel's own clocks, so that a hang inside C code, where no Python runs, ends as well.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

__all__ = ["TIMEOUT_SIGNALS", "Answer", "Begun", "Limits", "serve"]

# What the kernel sends when a clock of `_clocks` runs out; nobody catches them, so they end the process.
TIMEOUT_SIGNALS = frozenset({signal.SIGALRM, signal.SIGPROF})

_MIB = 1024 * 1024
# Answers wait so long for others to go with: a message for each of many small items would cost a tenth of the speed.
_TOGETHER_SECONDS = 0.05
# Libraries that a decoder loads at its first item: what they take counts as what the worker began with.
_LIBRARIES_BYTES = 128 * _MIB
# Address space beside data: code, and what is set aside and not used.
_ADDRESSES_BYTES = 512 * _MIB
# glibc's numbers. Left alone, it keeps blocks of up to 32 MiB for later; a worker that waits would keep hundreds of
# MiB that it counts, and the machine misses.
_M_MMAP_THRESHOLD, _KEPT_BYTES = -3, _MIB
# One thread a worker: the workers are the parallelism, and each thread of a BLAS takes its own buffers.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one item may take in its worker.

    Attributes:
        memory_bytes: Data beyond what the worker has between items, while other workers run. Two workers, their
            parent and what all three begin with stay under 1 GB together.
        alone_bytes: The same for an item that is tried again with no other worker busy. A picture of 64 million
            pixels needs up to 500 MB in colour, and 720 MB as a DICOM file of 16 bits, which is written anew.
        cpu_seconds: Processor time; a picture of 64 million pixels needs about 5.
        wall_seconds: Time on the wall, longer, since the machine may be busy.
        file_bytes: Size of any file it writes.
    """

    memory_bytes: int = 320 * _MIB
    alone_bytes: int = 768 * _MIB
    cpu_seconds: float = 60
    wall_seconds: float = 300
    file_bytes: int = 512 * _MIB


class Answer(IntEnum):
    """What a worker says: first that it is ready, then one answer an item. Only its parent can say that it died."""

    READY = 0
    RESULT = 1
    RAISED = 2
    OUT_OF_MEMORY = 3
    DIED = 4


class Begun(Protocol):
    """A number in memory shared with the parent: how many items of its chunk a worker has begun."""

    value: int


def serve(connection: Connection, begun: Begun, pickled: bytes, limits: Limits) -> None:
    """Answer chunks of items until the parent closes the connection.

    Args:
        connection: Gives ``(memory_bytes, items)``, takes lists of ``(Answer, value)``.
        begun: Set before each item.
        pickled: The function, pickled, so that what it imports is imported after the threads are set.
        limits: Kept for each item.
    """
    # The parent alone answers Ctrl-C: it ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, "1")
    function: Callable[[Any], Any] = pickle.loads(pickled)  # noqa: S301 (from the process that started this one)
    _set_limits(limits)
    _return_memory()
    began = base = _memory_bytes()
    connection.send([(Answer.READY, None)])
    while True:
        try:
            memory_bytes, items = connection.recv()
        except EOFError:
            return
        _limit_memory(base, memory_bytes)
        _answer_each(connection, begun, function, items, limits)
        base = tuple(min(now, first + _LIBRARIES_BYTES) for now, first in zip(_memory_bytes(), began, strict=True))


def _answer_each(
    connection: Connection, begun: Begun, function: Callable[[Any], Any], items: Sequence[Any], limits: Limits
) -> None:
    answers: list[tuple[Answer, Any]] = []
    sent = time.monotonic()
    for number, item in enumerate(items, 1):
        begun.value = number
        answers.append(_answer(function, item, limits))
        if number == len(items) or time.monotonic() - sent > _TOGETHER_SECONDS:
            connection.send_bytes(_pickled(answers))
            answers.clear()
            sent = time.monotonic()


def _answer(function: Callable[[Any], Any], item: Any, limits: Limits) -> tuple[Answer, Any]:
    _clocks(wall_seconds=limits.wall_seconds, cpu_seconds=limits.cpu_seconds)
    try:
        return Answer.RESULT, function(item)
    except MemoryError:
        return Answer.OUT_OF_MEMORY, None
    except Exception as error:  # noqa: BLE001 (raised again in the parent, as if no process lay between)
        error.add_note("In a worker process:\n" + traceback.format_exc())
        return Answer.RAISED, error
    finally:
        _clocks(wall_seconds=0, cpu_seconds=0)


def _pickled(answers: Sequence[tuple[Answer, Any]]) -> bytes:
    """The answers; where one cannot travel, it is replaced by the error that says so."""
    try:
        return pickle.dumps(answers, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        if len(answers) == 1:
            return pickle.dumps([(Answer.RAISED, TypeError(f"An item's result cannot be pickled: {error}"))])
        return pickle.dumps([pickle.loads(_pickled([answer]))[0] for answer in answers])  # noqa: S301 (our own)


def _set_limits(limits: Limits) -> None:
    """No core dumps, no endless files, and signals that end the process whatever the parent did with them."""
    # Python ignores SIGXFSZ; as an error a file that is too large would look like the disk's fault.
    for number in (*TIMEOUT_SIGNALS, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TIMEOUT_SIGNALS | {signal.SIGXFSZ})
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_FSIZE, limits.file_bytes)


def _clocks(*, wall_seconds: float, cpu_seconds: float) -> None:
    """Start the two clocks for one item; 0 stops them."""
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _return_memory() -> None:
    """Have large blocks go back to the system as soon as they are free, where the C library can be told so."""
    if sys.platform == "linux":
        tell = getattr(ctypes.CDLL(None), "mallopt", None)
        if tell is not None:
            tell(_M_MMAP_THRESHOLD, _KEPT_BYTES)


def _memory_bytes() -> tuple[int, ...]:
    """Address space and data of this process; (0, 0) where the system does not tell (macOS keeps no such limit)."""
    if sys.platform != "linux":
        return 0, 0
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(pages[0]) * resource.getpagesize(), int(pages[5]) * resource.getpagesize()


def _limit_memory(base: tuple[int, ...], memory_bytes: int) -> None:
    """Let data grow by so much over what the process has between items."""
    if all(base):
        _set_limit(resource.RLIMIT_AS, base[0] + memory_bytes + _ADDRESSES_BYTES)
        _set_limit(resource.RLIMIT_DATA, base[1] + memory_bytes)


def _set_limit(which: int, value: int) -> None:
    """Set the soft limit alone: the hard one stays, so that an item tried again may have more."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
