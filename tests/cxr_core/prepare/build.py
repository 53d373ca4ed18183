"""Stores of given pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import digest_bytes
from cxr_core.prepare.store import new_store


def write_store(workspace: Path, rows: Sequence[CohortRow], pictures: Iterable[Any], *, size: int) -> None:
    """One uint8 (size, size) a row, in order."""
    write_rows(workspace, rows, zip(range(len(rows)), pictures, strict=True), size=size)


def write_rows(workspace: Path, rows: Sequence[CohortRow], pictures: Iterable[tuple[int, Any]], *, size: int) -> None:
    """Pictures by row, in the order given."""
    with new_store(workspace, rows, size=size) as draft:
        for row, picture in pictures:
            draft.file.write(row, picture.tobytes())
            draft.digests[row] = digest_bytes(picture.tobytes())
