"""What workers are given in the tests: importable by name, as fresh processes need it."""

import os
import signal


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
