"""A training's metrics on disk, before any tracker hears of them: a file of lines, each flushed as it is written.

Laws: an epoch has one line, the first that was written, however often its training was stopped and went on; a line
carries its own digest, and one that is not as it was written is dropped: it is damaged, or the last one of a process
that died; ``points`` gives them in the order of their epochs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cxr_core.digests import canonical_json, digest_value
from cxr_core.files import write_bytes

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
        line = _line(point)
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


def _line(point: Point) -> str:
    row = {"epoch": point.epoch, "timestamp_ms": point.timestamp_ms, "values": dict(point.values)}
    return canonical_json({**row, "digest": digest_value(row)})


def _read(path: Path) -> list[Point]:
    """The lines that are as they were written; a file with any other is written anew without it."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    points = [point for line in data.split(b"\n") if (point := _point(line)) is not None]
    whole = "".join(f"{_line(point)}\n" for point in points).encode()
    if whole != data:
        write_bytes(path, whole)
    return points


def _point(line: bytes) -> Point | None:
    try:
        row = json.loads(line)
        point = Point(epoch=row["epoch"], timestamp_ms=row["timestamp_ms"], values=row["values"])
        return point if _line(point).encode() == line else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
