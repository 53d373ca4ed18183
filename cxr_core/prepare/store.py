"""The packed store on disk: one npy file of all pictures and an index that names them. Memory stays flat at any size.

Rows are written in place, in any order and by any process. Laws: row i is cohort row i; the same cohort gives the same
bytes; a store that is not the cohort's is refused.

Shapes: N images of S × S pixels, uint8, 0 black.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import Source
from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.digests import digest_bytes
from cxr_core.errors import CohortError
from cxr_core.files import read_csv, write_csv

__all__ = [
    "IMAGES_PATH",
    "INDEX_PATH",
    "Draft",
    "IndexRow",
    "Listed",
    "RowFile",
    "Store",
    "damaged_rows",
    "new_store",
    "open_store",
]

IMAGES_PATH = Path("data/store/images.npy")
INDEX_PATH = Path("data/store/index.csv")

_COLUMNS = ("row", "name", "sha256", "tensor_sha256")
_HINT = "Run `dvc repro prepare`."
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Listed(Protocol):
    """What a store must know of an image that it packs."""

    @property
    def name(self) -> str:
        """``source:path``."""
        ...

    @property
    def source(self) -> Source:
        """The source whose folder in data/raw holds the file."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of the file in data/raw."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexRow:
    """What stands in one row of the store."""

    row: int
    name: str
    sha256: str
    """Digest of the original file."""
    tensor_sha256: str
    """Digest of the row's S × S bytes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Store:
    """An opened store."""

    images: NDArray[np.uint8]
    """(N, S, S), memory-mapped, read-only."""
    index: tuple[IndexRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFile:
    """Where rows are written while a store is made; it may travel to other processes, which write rows of their own.

    Written rather than mapped: a full disk is then an error, where a map dies of SIGBUS.
    """

    path: Path
    start: int
    """Bytes before the first row."""
    row_bytes: int

    def write(self, row: int, *pictures: bytes) -> None:
        """Put a row's bytes in their place, and those of the rows that follow it.

        Raises:
            ValueError: A row has another length.
            OSError: The disk is full.
        """
        for place, picture in enumerate(pictures, start=row):
            if len(picture) != self.row_bytes:
                raise ValueError(f"row {place}: expected {self.row_bytes} bytes, found {len(picture)}")
        data = b"".join(pictures)
        handle = os.open(self.path, os.O_WRONLY)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(handle, data[written:], self.start + row * self.row_bytes + written)
        finally:
            os.close(handle)

    def read(self, row: int) -> bytes:
        """A row's bytes, as they were written."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(handle, self.row_bytes, self.start + row * self.row_bytes)
        finally:
            os.close(handle)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A store that is being made."""

    file: RowFile
    digests: list[str]
    """Digest of each row, filled by the maker; empty where the row is not written yet."""


@contextmanager
def new_store(workspace: Path, cohort: Sequence[Listed], *, size: int) -> Generator[Draft]:
    """Make a store; the old one is gone from the start, the new one whole at the end or absent.

    Args:
        workspace: The folder that data/store is made in: a workspace's root.
        cohort: The rows, in order.
        size: Side in pixels.

    Raises:
        CohortError: The disk is full (``disk_full``), at the start wherever the system can tell.
        ValueError: Not every row was written.
    """
    images, index = workspace / IMAGES_PATH, workspace / INDEX_PATH
    images.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    images.unlink(missing_ok=True)
    partial = images.with_name(".images.npy.partial")
    try:
        draft = Draft(file=_begun(partial, len(cohort), size), digests=[""] * len(cohort))
        yield draft
        if "" in draft.digests or len(draft.digests) != len(cohort):
            raise ValueError(f"row {draft.digests.index('')} of {len(cohort)} was not written")
        _flush(partial)
        partial.replace(images)
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise _disk_full(images.parent, len(cohort) * size * size) from error
    finally:
        partial.unlink(missing_ok=True)
    rows = (
        (i, row.name, row.sha256, digest) for i, (row, digest) in enumerate(zip(cohort, draft.digests, strict=True))
    )
    write_csv(index, _COLUMNS, rows)


def open_store(workspace: Path) -> Store:
    """Open a workspace's store and check that it is its cohort's.

    Raises:
        CohortError: There is no store (``no_store``), or it is not the cohort's (``foreign_store``).
    """
    try:
        images = np.load(workspace / IMAGES_PATH, mmap_mode="r", allow_pickle=False)
        index = tuple(
            IndexRow(row=int(row["row"]), name=row["name"], sha256=row["sha256"], tensor_sha256=row["tensor_sha256"])
            for row in read_csv(workspace / INDEX_PATH, _COLUMNS)
        )
    except FileNotFoundError as error:
        raise CohortError("Expected a store in data/store, found none.", reason="no_store", hint=_HINT) from error
    except (ValueError, EOFError) as error:
        raise CohortError(f"data/store cannot be read: {error}.", reason="damaged_store", hint=_HINT) from error
    _check_shape(images, len(index))
    wanted = [(i, row.name, row.sha256) for i, row in enumerate(read_cohort(workspace / COHORT_PATH))]
    found = [(row.row, row.name, row.sha256) for row in index]
    if wanted != found:
        raise CohortError(
            f"The store's index does not list the cohort: {len(wanted)} rows wanted, {len(found)} found"
            f"{_first_difference(wanted, found)}.",
            reason="foreign_store",
            hint=_HINT,
        )
    return Store(images=images, index=index)


def damaged_rows(store: Store) -> list[str]:
    """Names of the images whose pixels in the store differ from the index, by reading every byte."""
    return [row.name for row in store.index if digest_bytes(store.images[row.row].tobytes()) != row.tensor_sha256]


def _begun(path: Path, rows: int, size: int) -> RowFile:
    """A file with numpy's header, where there is room for the rows."""
    if shutil.disk_usage(path.parent).free < rows * size * size:
        raise _disk_full(path.parent, rows * size * size)
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, size, size)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        return RowFile(path=path, start=file.tell(), row_bytes=size * size)


def _disk_full(folder: Path, wanted: int) -> CohortError:
    return CohortError(
        f"The store needs {wanted} bytes in {folder}, and the disk has no room for them.",
        reason="disk_full",
        hint="Free space (`dvc gc --workspace` drops old data from the cache), then `dvc repro prepare`.",
    )


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_shape(images: NDArray[np.uint8], rows: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[0] != rows or images.shape[1] != images.shape[2]:
        raise CohortError(
            f"Expected a store of {rows} square uint8 pictures, found {images.dtype} {images.shape}.",
            reason="damaged_store",
            hint=_HINT,
        )


def _first_difference(wanted: Sequence[tuple[int, str, str]], found: Sequence[tuple[int, str, str]]) -> str:
    for want, have in zip(wanted, found, strict=False):
        if want != have:
            return f"; row {want[0]} should be {want[1]} and is {have[1]}"
    return ""
