"""Which rows show one X-ray: digests, perceptual hashes and thumbnails in, pairs of rows out.

Three kinds, strongest first: the same bytes, the same pixels, and near: perceptual hashes within ``max_hamming`` of 64
bits, confirmed by Pearson's r of the 64 × 64 thumbnails. The defaults in params.yaml were chosen on the collections
themselves: SIRM's own pictures against their re-encoded and resized copies in the GitHub collection.

Laws: the pairs do not depend on the order of the rows but for their numbers; every near pair above the two bounds is
found (the search is exhaustive, and its shortcut is a proven upper bound on r); memory grows with the rows, not with
their pairs.

Shapes: N rows; thumbnails (N, 64, 64) uint8; sketches (N, 65) float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxr_core.curate.groups import same_value_edges

__all__ = ["Pair", "PairKind", "find_pairs", "hash_values"]

PairKind = Literal["bytes", "pixels", "near"]

# Rows x columns of one tile of the search: 64 x 4096 distances stay in a core's cache.
_TILE_ROWS, _TILE_COLUMNS = 64, 4096
_CHUNK = 2048
# float32 sums of 65 products err by less than this; the sketch must never lose a pair that r would keep.
_SLACK = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two rows that show one X-ray."""

    first: int
    second: int
    kind: PairKind
    hamming: int
    """Bits in which the perceptual hashes differ, [0, 64]."""
    correlation: float
    """Pearson's r of the thumbnails; 1 for the exact kinds."""


def find_pairs(
    sha256: Sequence[str],
    pixel_sha256: Sequence[str],
    hashes: NDArray[np.uint64],
    thumbnails: NDArray[np.uint8],
    *,
    max_hamming: int,
    min_correlation: float,
) -> list[Pair]:
    """Pairs that join every cluster of duplicates; ``first < second`` in each.

    Of rows with equal pixels only the first enters the near search, and exact pairs form a star around their first row:
    the pairs connect a cluster without naming each two of its members.

    Args:
        sha256: Digest of each original file.
        pixel_sha256: Digest of each decoded picture.
        hashes: (N,) perceptual hashes.
        thumbnails: (N, 64, 64), may be memory-mapped.
        max_hamming: Bits that may differ, [0, 64].
        min_correlation: Smallest Pearson's r of a near pair, [0, 1].
    """
    same_bytes = same_value_edges(sha256)
    joined = set(same_bytes)
    same_pixels = [edge for edge in same_value_edges(pixel_sha256) if edge not in joined]
    pairs = [_exact(edge, "bytes") for edge in same_bytes] + [_exact(edge, "pixels") for edge in same_pixels]
    repeated = {second for _, second in same_value_edges(pixel_sha256)}
    distinct = np.array([row for row in range(len(sha256)) if row not in repeated], dtype=np.int64)
    pairs += _near(distinct, hashes, thumbnails, max_hamming, min_correlation)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def hash_values(phashes: Sequence[str]) -> NDArray[np.uint64]:
    """16 hex digits each to (N,) numbers."""
    return np.array([int(text, 16) for text in phashes], dtype=np.uint64)


def _exact(edge: tuple[int, int], kind: PairKind) -> Pair:
    return Pair(first=edge[0], second=edge[1], kind=kind, hamming=0, correlation=1.0)


def _near(
    rows: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    thumbnails: NDArray[np.uint8],
    max_hamming: int,
    min_correlation: float,
) -> Iterator[Pair]:
    sketches = _sketches(rows, thumbnails)
    # r is undefined for a picture of one tone, and all of these share one hash.
    textured = np.flatnonzero(sketches.any(axis=1))
    rows, sketches = rows[textured], sketches[textured]
    for a, b in _close(hashes[rows], max_hamming):
        bound = np.einsum("pk,pk->p", sketches[a], sketches[b])
        keep = bound >= min_correlation - _SLACK
        first, second = rows[a[keep]], rows[b[keep]]
        r = _pearson(thumbnails, first, second)
        hamming = np.bitwise_count(hashes[first] ^ hashes[second])
        for i in np.flatnonzero(r >= min_correlation).tolist():
            yield Pair(
                first=int(first[i]),
                second=int(second[i]),
                kind="near",
                hamming=int(hamming[i]),
                correlation=float(r[i]),
            )


def _close(hashes: NDArray[np.uint64], max_hamming: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Index pairs a < b within ``max_hamming`` bits, tile by tile.

    Exhaustive on purpose: popcounts of 5·10⁹ pairs (100 000 rows) take about 4 s on one core, and an index over pieces
    of the hash would have buckets too full to be faster at these distances.
    """
    n = len(hashes)
    for top in range(0, n, _TILE_ROWS):
        block = hashes[top : top + _TILE_ROWS, None]
        for left in range(top // _TILE_COLUMNS * _TILE_COLUMNS, n, _TILE_COLUMNS):
            distance = np.bitwise_count(block ^ hashes[None, left : left + _TILE_COLUMNS])
            hits = np.flatnonzero(distance.ravel() <= max_hamming)
            a, b = np.divmod(hits, distance.shape[1])
            a, b = a + top, b + left
            upper = a < b
            if upper.any():
                yield a[upper], b[upper]


def _sketches(rows: NDArray[np.int64], thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """65 numbers a row whose dot product is never below the thumbnails' Pearson r.

    Let u, v be centred thumbnails of length 1 and P the projection on means of 8 × 8 blocks. Then
    r = ⟨u, v⟩ = ⟨Pu, Pv⟩ + ⟨u − Pu, v − Pv⟩ ≤ ⟨Pu, Pv⟩ + ‖u − Pu‖ ‖v − Pv‖ (Cauchy–Schwarz): the 64 coefficients of Pu
    and the length of the rest. A thumbnail of one tone has a sketch of zeros.
    """
    out = np.zeros((len(rows), 65), dtype=np.float32)
    for start in range(0, len(rows), _CHUNK):
        unit = _unit(thumbnails[rows[start : start + _CHUNK]])
        # (n, 8, 8, 8, 8) sums over each block's rows and columns; a block's unit vector has 64 entries of 1/8.
        blocks = unit.reshape(-1, 8, 8, 8, 8).sum(axis=(2, 4)).reshape(-1, 64) / 8
        rest = np.maximum(0.0, (unit * unit).sum(axis=1) - (blocks * blocks).sum(axis=1))
        out[start : start + _CHUNK] = np.column_stack([blocks, np.sqrt(rest)])
    return out


def _pearson(thumbnails: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    r = np.empty(len(first), dtype=np.float64)
    for start in range(0, len(first), _CHUNK):
        part = slice(start, start + _CHUNK)
        r[part] = np.einsum("pk,pk->p", _unit(thumbnails[first[part]]), _unit(thumbnails[second[part]]))
    return r


def _unit(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 64, 64) to centred rows of length 1, (n, 4096); rows of one tone become zeros."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
