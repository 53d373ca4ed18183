"""Which rows show one X-ray: digests, perceptual hashes and thumbnails in, pairs of rows out.

Three kinds, strongest first: the same bytes, the same pixels, and near: perceptual hashes within ``max_hamming`` of 64
bits, confirmed by Pearson's r of the 64 × 64 thumbnails. The defaults in params.yaml were chosen on the collections
themselves: SIRM's own pictures against their re-encoded and resized copies in the GitHub collection.

Laws: every near pair above the two bounds is found (the search is exact, and its shortcut is a proven upper bound on
r); clusters do not depend on the order of the rows; ``find_joins`` gives the clusters of ``find_pairs`` with fewer
pairs than rows, so that its memory grows with the rows, however many of them resemble each other.

Shapes: N rows; thumbnails (N, 64, 64) uint8; sketches (N, 65) float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cxr_core.curate.groups import Forest, same_value_edges
from cxr_core.curate.neighbours import close_pairs

__all__ = ["Pair", "PairKind", "Thumbnails", "find_joins", "find_pairs", "hash_values"]

PairKind = Literal["bytes", "pixels", "near"]

_PIXELS = 64 * 64
# Pictures sketched, pairs bounded and pairs confirmed at a time: a few MiB each, which stay in a core's cache.
_PICTURES, _BOUNDED, _CONFIRMED = 256, 16_384, 128
# float32 sums of 65 products err by less than this; the sketch must never lose a pair that r would keep.
_SLACK = 1e-4


class Thumbnails(Protocol):
    """Thumbnails by row, in memory or on disk."""

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """(n,) rows to (n, 64, 64)."""
        ...


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
    thumbnails: Thumbnails,
    *,
    max_hamming: int,
    min_correlation: float,
) -> list[Pair]:
    """Every near pair, and the exact pairs that join what is equal; ``first < second`` in each.

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
    pairs, distinct = _exact(sha256, pixel_sha256)
    pairs += _near(distinct, hashes, thumbnails, max_hamming, min_correlation, joined=None)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def find_joins(
    sha256: Sequence[str],
    pixel_sha256: Sequence[str],
    hashes: NDArray[np.uint64],
    thumbnails: Thumbnails,
    *,
    max_hamming: int,
    min_correlation: float,
) -> list[Pair]:
    """Pairs enough to join every cluster of duplicates, none of them in a circle; arguments as ``find_pairs``."""
    exact, distinct = _exact(sha256, pixel_sha256)
    joined = Forest(len(sha256))
    pairs = [pair for pair in exact if joined.join(pair.first, pair.second)]
    # The search sees each join before it goes on, and leaves out what is joined already.
    near = _near(distinct, hashes, thumbnails, max_hamming, min_correlation, joined=joined)
    pairs += [pair for pair in near if joined.join(pair.first, pair.second)]
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def hash_values(phashes: Sequence[str]) -> NDArray[np.uint64]:
    """16 hex digits each to (N,) numbers."""
    return np.array([int(text, 16) for text in phashes], dtype=np.uint64)


def _exact(sha256: Sequence[str], pixel_sha256: Sequence[str]) -> tuple[list[Pair], NDArray[np.int64]]:
    """Pairs of equal bytes or pixels, and the rows that are the first of their pixels."""
    same_bytes, same_pixels = same_value_edges(sha256), same_value_edges(pixel_sha256)
    by_bytes = set(same_bytes)
    pairs = [_equal(edge, "bytes") for edge in same_bytes]
    pairs += [_equal(edge, "pixels") for edge in same_pixels if edge not in by_bytes]
    repeated = {second for _, second in same_pixels}
    return pairs, np.array([row for row in range(len(sha256)) if row not in repeated], dtype=np.int64)


def _equal(edge: tuple[int, int], kind: PairKind) -> Pair:
    return Pair(first=edge[0], second=edge[1], kind=kind, hamming=0, correlation=1.0)


def _near(
    rows: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    thumbnails: Thumbnails,
    max_hamming: int,
    min_correlation: float,
    *,
    joined: Forest | None,
) -> Iterator[Pair]:
    """Near pairs among rows; of those that ``joined`` has joined before they are reached, none."""
    sketches = _sketches(rows, thumbnails)
    # r is undefined for a picture of one tone, and all of these share one hash.
    textured = np.flatnonzero(sketches.any(axis=1))
    rows, sketches = rows[textured], sketches[textured]
    for a, b in _batches(close_pairs(hashes[rows], max_hamming), _BOUNDED):
        if joined is not None:
            apart = joined.labels[rows[a]] != joined.labels[rows[b]]
            a, b = a[apart], b[apart]
        bound = np.einsum("pk,pk->p", sketches[a], sketches[b])
        likely = bound >= min_correlation - _SLACK
        for first, second in _batches([(rows[a[likely]], rows[b[likely]])], _CONFIRMED):
            yield from _confirmed(first, second, hashes, thumbnails, min_correlation)


def _confirmed(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    thumbnails: Thumbnails,
    min_correlation: float,
) -> Iterator[Pair]:
    r = np.einsum("pk,pk->p", _unit(thumbnails[first]), _unit(thumbnails[second]))
    hamming = np.bitwise_count(hashes[first] ^ hashes[second])
    for i in np.flatnonzero(r >= min_correlation).tolist():
        yield Pair(
            first=int(first[i]),
            second=int(second[i]),
            kind="near",
            hamming=int(hamming[i]),
            correlation=float(r[i]),
        )


def _batches(
    pairs: Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]] | list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    size: int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for a, b in pairs:
        for start in range(0, len(a), size):
            yield a[start : start + size], b[start : start + size]


def _sketches(rows: NDArray[np.int64], thumbnails: Thumbnails) -> NDArray[np.float32]:
    """65 numbers a row whose dot product is never below the thumbnails' Pearson r.

    Let u, v be centred thumbnails of length 1 and P the projection on means of 8 × 8 blocks. Then
    r = ⟨u, v⟩ = ⟨Pu, Pv⟩ + ⟨u − Pu, v − Pv⟩ ≤ ⟨Pu, Pv⟩ + ‖u − Pu‖ ‖v − Pv‖ (Cauchy–Schwarz): the 64 coefficients of Pu
    and the length of the rest. A thumbnail of one tone has a sketch of zeros.
    """
    out = np.zeros((len(rows), 65), dtype=np.float32)
    for start in range(0, len(rows), _PICTURES):
        grey = thumbnails[rows[start : start + _PICTURES]].astype(np.float32)
        # Sums of at most 64 squares of a byte are whole numbers below 2^24, which float32 holds exactly.
        blocks = grey.reshape(-1, 8, 8, 64).sum(axis=2).reshape(-1, 8, 8, 8).sum(axis=3).reshape(-1, 64)
        squares = np.einsum("nij,nij->ni", grey, grey).sum(axis=1, dtype=np.float64)
        centred = blocks - blocks.mean(axis=1, keepdims=True, dtype=np.float64)
        # A block's unit vector has 64 entries of 1/8.
        length = np.sqrt(squares - blocks.sum(axis=1, dtype=np.float64) ** 2 / _PIXELS)[:, None]
        held = np.divide(centred / 8, length, out=np.zeros_like(centred), where=length > 0)
        rest = np.where(length[:, 0] > 0, np.sqrt(np.maximum(0.0, 1.0 - (held * held).sum(axis=1))), 0.0)
        out[start : start + _PICTURES] = np.column_stack([held, rest])
    return out


def _unit(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 64, 64) to centred rows of length 1, (n, 4096); rows of one tone become zeros."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
