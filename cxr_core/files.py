"""How results reach the disk: whole or not at all, in one canonical text form.

A reader never sees half a file: bytes go to a temporary sibling, are flushed to disk, and take the name in one step.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from cxr_core.digests import canonical_json

__all__ = [
    "read_csv",
    "read_json",
    "read_jsonl",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_jsonl",
    "write_text",
]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically (temporary file, fsync, rename), making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; results are as readable as any file the user makes.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, keys sorted, newline at the end; a number that is not finite is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON value."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one canonical JSON value a line."""
    write_text(path, "".join(canonical_json(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield one JSON value a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header, lines ended by a newline alone; ``None`` becomes an empty cell."""
    plain = csv.writer(_Echo(), lineterminator="\n")
    # The csv module does not quote a carriage return where lines end otherwise, and its reader then ends the row there.
    quoted = csv.writer(_Echo(), lineterminator="\n", quoting=csv.QUOTE_ALL)
    lines = ((row, plain.writerow(row)) for row in chain([header], rows))
    write_text(path, "".join(quoted.writerow(row) if "\r" in line else line for row, line in lines))


class _Echo:
    """What a csv writer writes to where its lines are wanted: ``writerow`` returns what ``write`` does."""

    def write(self, line: str) -> str:
        """The line itself."""
        return line


def read_csv(path: Path, header: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield one mapping a row of a table written by :func:`write_csv`.

    Raises:
        ValueError: The file's header is another, or a row has more or fewer cells.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        found = next(rows, [])
        if found != list(header):
            raise ValueError(f"{path}: expected the columns {','.join(header)}, found {','.join(found)}")
        for row in rows:
            yield dict(zip(header, row, strict=True))
