"""A training's metrics on disk, before any tracker hears of them: a file of lines, each flushed as it is written.

Laws: an epoch has one line, the first that was written, however often its training was stopped and went on; a line is
whole or, being the last one of a process that died, gone; ``points`` gives them in the order of their epochs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_core.digests import canonical_json

__all__ = ["Journal", "Point"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One epoch's metrics.

    Attributes:
        epoch: Counted from 1.
        timestamp_ms: When it was first written, milliseconds since 1970.
        values: Finite numbers by name.
    """

    epoch: int
    timestamp_ms: int
    values: Mapping[str, float]


class Journal:
    """The journal of one training.

    Args:
        path: The file; made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._points = {point.epoch: point for point in _read(path)}

    def add(self, epoch: int, values: Mapping[str, float]) -> Point:
        """Write an epoch's metrics; where the journal has that epoch, what stands there is kept and returned."""
        if epoch in self._points:
            return self._points[epoch]
        point = Point(epoch=epoch, timestamp_ms=time.time_ns() // 1_000_000, values=dict(values))
        line = canonical_json({"epoch": epoch, "timestamp_ms": point.timestamp_ms, "values": point.values})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        self._points[epoch] = point
        return point

    @property
    def points(self) -> tuple[Point, ...]:
        """Every epoch's, in order."""
        return tuple(self._points[epoch] for epoch in sorted(self._points))


def _read(path: Path) -> list[Point]:
    """The whole lines; a torn last one is cut off, so that the next line begins a line."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
    points: list[Point] = []
    for line in whole.splitlines():
        row = json.loads(line)
        points.append(Point(epoch=row["epoch"], timestamp_ms=row["timestamp_ms"], values=row["values"]))
    return points
