"""Bytes done so far to words with rate and time left. Pure: the caller brings the clock.

Laws: only what arrives while we watch counts for the rate, so that a resumed download does not look fast; the rate is
that of the last seconds, so that it follows the line; no time left is claimed without a total or a rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

__all__ = ["Meter", "Progress", "ignore", "progress_words"]

Progress = Callable[[int, int | None], None]
"""Takes bytes done and bytes in all; None where upstream does not say how many there are."""

_WINDOW_SECONDS = 10.0
_UNITS = ("B", "kB", "MB", "GB", "TB")


class Meter:
    """The rate of the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, done: int, *, at: float) -> float | None:
        """Bytes a second.

        Args:
            done: Bytes so far; fewer than before means that the work began anew.
            at: Seconds on a clock that never goes back.

        Returns:
            The rate, or None as long as there is nothing to compare with.
        """
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at, done))
        # One sample older than the window stays, or a line that stands still would have no rate instead of none.
        while len(self._seen) > 2 and self._seen[1][0] <= at - _WINDOW_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (at - since) if at > since else None


def progress_words(done: int, total: int | None, *, rate: float | None) -> str:
    """``148 of 581 MB, 12.3 MB/s, 35 s left``; parts that are not known are left out.

    Args:
        done: Bytes so far.
        total: Bytes in all.
        rate: Bytes a second.
    """
    known = total is not None and total >= done
    unit = _unit(total if known and total is not None else done)
    words = [f"{_in(done, unit)} of {_in(total, unit)} {_UNITS[unit]}" if known and total is not None else _size(done)]
    if rate is not None:
        words.append(f"{_size(rate)}/s")
    if known and total is not None and rate:
        words.append(f"{_duration((total - done) / rate)} left")
    return ", ".join(words)


def ignore(_done: int, _total: int | None) -> None:
    """Tells nobody."""


def _unit(count: float) -> int:
    unit = 0
    while round(count) >= 1000 and unit < len(_UNITS) - 1:
        count /= 1000
        unit += 1
    return unit


def _in(count: float, unit: int) -> str:
    value = count / 1000**unit
    return f"{value:.0f}" if unit == 0 or value >= 100 else f"{value:.1f}"


def _size(count: float) -> str:
    unit = _unit(count)
    return f"{_in(count, unit)} {_UNITS[unit]}"


def _duration(seconds: float) -> str:
    """Two units at most: ``35 s``, ``4 min 10 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = round(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"
