"""What workers are given in the tests: importable by name, as fresh processes need it."""

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np


def double(number: int) -> int:
    return 2 * number


def die_at_seven_and_forty(number: int) -> int:
    if number in {7, 40}:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def complain(number: int) -> int:
    raise ValueError(f"no {number}")


def die(_item: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker: Path) -> str:
    """End the worker at the first call; a second one finds the marker."""
    if marker.exists():
        return "well"
    marker.write_bytes(b"")
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def hang(number: int) -> int:
    """At 2, hold the interpreter in C code that ends long after any clock of the tests; at 4, only sleep."""
    if number == 2:
        return (3**200_000_000) % 7  # one bytecode, minutes of it: no Python signal handler gets a turn
    if number == 4:
        time.sleep(600)
    return number


def fill(mebibytes: int) -> int:
    """Take memory and touch it."""
    taken = np.ones(mebibytes * 1024 * 1024, np.uint8)
    return int(taken[-1])


def write(path: Path) -> None:
    path.write_bytes(b"x" * 3_000_000)


def unpicklable(_item: object) -> object:
    return lambda: None


def surroundings(_item: object) -> tuple[str | None, int]:
    """Threads a BLAS may take, and the bytes of a core dump."""
    return os.environ.get("OPENBLAS_NUM_THREADS"), resource.getrlimit(resource.RLIMIT_CORE)[0]
