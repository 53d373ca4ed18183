"""The packed store on disk: one npy file of all pictures and an index that names them. Memory stays flat at any size.

Laws: row i is cohort row i; the same cohort gives the same bytes; a store that is not the cohort's is refused.

Shapes: N images of S × S pixels, uint8, 0 black.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_core.curate.cohort import COHORT_PATH, CohortRow, read_cohort
from cxr_core.digests import digest_bytes
from cxr_core.errors import CohortError
from cxr_core.files import read_csv, write_csv

__all__ = ["IMAGES_PATH", "INDEX_PATH", "IndexRow", "Store", "damaged_rows", "open_store", "write_store"]

IMAGES_PATH = Path("data/store/images.npy")
INDEX_PATH = Path("data/store/index.csv")

_COLUMNS = ("row", "name", "sha256", "tensor_sha256")
_HINT = "Run `dvc repro prepare`."


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


def write_store(
    workspace: Path, cohort: Sequence[CohortRow], pictures: Iterable[NDArray[np.uint8]], *, size: int
) -> None:
    """Stream pictures into a store; the old one is gone from the first byte, the new one whole or absent.

    Written front to back rather than through a memory map: a full disk is then an error, where a map dies of SIGBUS.

    Args:
        workspace: The workspace's root.
        cohort: The rows, in order.
        pictures: One uint8 (size, size) a row, in the same order.
        size: Side in pixels.

    Raises:
        ValueError: A picture has another shape, or there are more or fewer than rows.
    """
    images, index = workspace / IMAGES_PATH, workspace / INDEX_PATH
    images.parent.mkdir(parents=True, exist_ok=True)
    index.unlink(missing_ok=True)
    images.unlink(missing_ok=True)
    partial = images.with_name(".images.npy.partial")
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(cohort), size, size)}
    digests: list[str] = []
    try:
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for _, picture in zip(cohort, pictures, strict=True):
                if picture.shape != (size, size) or picture.dtype != np.uint8:
                    raise ValueError(f"expected uint8 ({size}, {size}), found {picture.dtype} {picture.shape}")
                data = picture.tobytes()
                file.write(data)
                digests.append(digest_bytes(data))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(images)
    finally:
        partial.unlink(missing_ok=True)
    rows = ((i, row.name, row.sha256, digest) for i, (row, digest) in enumerate(zip(cohort, digests, strict=True)))
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
