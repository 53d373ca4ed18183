"""One shard of originals to rows of the store, in a worker process: read, check, decode, resize, write, digest.

Pixels go from the worker to the disk; only digests travel back. Law: a row depends on its original's bytes and the size
alone, whoever packs it and beside whichever others.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cxr_core.digests import digest_bytes
from cxr_core.errors import CohortError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.prepare.store import RowFile

__all__ = ["SHARD_IMAGES", "Original", "Shard", "pack", "shards"]

SHARD_IMAGES = 8
"""Most images a shard: few enough to share out evenly, enough that a message about them costs nothing."""

# Shards shrink when fewer images than this a worker and image of a shard are left, so that all workers end together.
_TAIL = 64

# glibc's mallopt: blocks up to 32 MiB (its own upper bound) come from the heap, and 64 MiB of it stay when freed.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _HEAP_BLOCK_BYTES = 64 << 20, 32 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """One image of the cohort: where it lies, what it must be, which row it fills."""

    row: int
    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """What one message asks of a worker."""

    originals: tuple[Original, ...]
    file: RowFile
    size: int


def shards(originals: Sequence[Original], file: RowFile, *, size: int, workers: int) -> Iterator[Shard]:
    """Share out the originals, in order; smaller shards towards the end."""
    start = 0
    while start < len(originals):
        count = max(1, min(SHARD_IMAGES, (len(originals) - start) // (workers * _TAIL)))
        yield Shard(originals=tuple(originals[start : start + count]), file=file, size=size)
        start += count


def pack(shard: Shard) -> list[str]:
    """Write a shard's rows; returns the digest of each, in order.

    Raises:
        CohortError: An original is absent (``original_missing``) or differs from the cohort (``original_changed``).
        ImageError: An original cannot be decoded, which ingest would have found.
        OSError: The disk is full.
    """
    _keep_freed_memory()
    digests: list[str] = []
    for each in shard.originals:
        picture = resize(decode(_checked(each)).pixels, shard.size).tobytes()
        shard.file.write(each.row, picture)
        digests.append(digest_bytes(picture))
    return digests


def _checked(original: Original) -> bytes:
    try:
        data = original.path.read_bytes()
    except FileNotFoundError as error:
        raise CohortError(
            f"{original.name}: the cohort lists it, but its file is not in data/raw.",
            reason="original_missing",
            hint="Run `dvc checkout data/raw` or `dvc pull`.",
        ) from error
    if (found := digest_bytes(data)) != original.sha256:
        raise CohortError(
            f"{original.name}: expected {original.sha256}, found {found}.",
            reason="original_changed",
            hint="Run `dvc checkout --force data/raw` to restore it, then `dvc repro`.",
        )
    return data


@cache
def _keep_freed_memory() -> None:
    """Ask the C library not to give every picture's memory back: fetching it anew took up to half of the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc alone has it
        mallopt(_M_MMAP_THRESHOLD, _HEAP_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
