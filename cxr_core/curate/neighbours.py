"""Which 64-bit hashes lie within a few bits of each other: hashes in, pairs of rows out.

The search is exact. The bits are cut into pieces, and piece i is searched within a radius r_i such that the r_i + 1 add
up to h + 1, where h bits may differ: two hashes that differ by more than r_i in every piece i differ in h + 1 bits at
least (multi-index hashing, Norouzi, Punjani and Fleet, CVPR 2012; unequal radii as in Qin et al., ICDE 2018). Hashes of
X-rays are clumpy: the pieces share out the bits that tell most, and where no cut would beat it, every two hashes are
compared. The plan is chosen by its estimated cost; it changes the time, never the pairs.

Laws: each pair of rows within the bound comes once, smaller row first, and no other pair comes; memory stays bounded
by the rows and a constant, whatever the number of pairs.

Shapes: N rows; hashes (N,) uint64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

__all__ = ["Piece", "close_pairs", "plan"]

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_BITS = 64
# Rows x columns of one tile of the exhaustive search: 64 x 4096 distances stay in a core's cache.
_TILE_ROWS, _TILE_COLUMNS = 64, 4096
# How many keys are looked up, and how many candidates are compared, at a time.
_BATCH = 1 << 19
# A piece's table has an entry a key: 2^22 of them are 16 MiB.
_WIDEST = 22
# Nanoseconds on one core, measured; only their ratios matter: comparing two hashes in a tile, looking a key up,
# comparing two hashes that an index brought together, filling a table's entry.
_NS_TILE, _NS_LOOKUP, _NS_CANDIDATE, _NS_ENTRY = 0.6, 8.0, 5.0, 12.0
# How many pairs are looked at before, and a prime that leads through the distances between their rows.
_SAMPLE, _STRIDE = 1 << 16, 104729


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some of the 64 bits, and how many of them may differ."""

    bits: tuple[int, ...]
    """Positions, 0 the least significant."""
    radius: int

    @property
    def mask(self) -> np.uint64:
        """The piece's bits as a number."""
        return np.uint64(sum(1 << bit for bit in self.bits))

    @property
    def probes(self) -> int:
        """Keys within the radius of one key, itself included."""
        return sum(comb(len(self.bits), k) for k in range(self.radius + 1))


def close_pairs(hashes: Hashes, max_hamming: int) -> Iterator[tuple[Rows, Rows]]:
    """Rows a < b whose hashes differ in at most ``max_hamming`` bits, some at a time.

    Args:
        hashes: (N,).
        max_hamming: [0, 64].
    """
    pieces = plan(hashes, max_hamming)
    if not pieces:
        yield from _exhaustive(hashes, max_hamming)
    for place in range(len(pieces)):
        yield from _indexed(hashes, max_hamming, pieces, place)


def plan(hashes: Hashes, max_hamming: int) -> tuple[Piece, ...]:
    """The pieces whose search is estimated to cost least; none where comparing every two hashes costs less.

    Args:
        hashes: (N,).
        max_hamming: [0, 64].
    """
    n = len(hashes)
    best, least = (), _NS_TILE * n * n / 2
    if n < 2:
        return best
    # Strides instead of random numbers, whose module takes longer to load than a small run; no row meets itself.
    turns = np.arange(_SAMPLE)
    one, apart = turns * n // _SAMPLE, 1 + turns * _STRIDE % (n - 1)
    differing = hashes[one] ^ hashes[(one + apart) % n]
    order = _most_telling_first(hashes)
    fewest = -(-_BITS // _WIDEST)
    for count in range(fewest, max(fewest, max_hamming + 1) + 1):
        pieces = _cut(order, count, max_hamming)
        cost = sum(_cost(piece, n, differing) for piece in pieces)
        if cost < least:
            best, least = pieces, cost
    return best


def _most_telling_first(hashes: Hashes) -> list[int]:
    """Bits by how evenly they divide the hashes: a bit that all share tells none apart."""
    ones = [float(((hashes >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(_BITS)]
    return sorted(range(_BITS), key=lambda bit: (abs(ones[bit] - 0.5), bit))


def _cut(order: Sequence[int], count: int, max_hamming: int) -> tuple[Piece, ...]:
    """Deal the bits to ``count`` pieces there and back, so that each gets its share of telling ones."""
    dealt: list[list[int]] = [[] for _ in range(count)]
    for turn, bit in enumerate(order):
        round_, seat = divmod(turn, count)
        dealt[seat if round_ % 2 == 0 else count - 1 - seat].append(bit)
    each, more = divmod(max_hamming + 1, count)
    # r + 1 of each piece add up to h + 1; a piece with r + 1 = 0 need not be searched.
    allowed = [each + (seat < more) for seat in range(count)]
    return tuple(Piece(bits=tuple(bits), radius=share - 1) for bits, share in zip(dealt, allowed, strict=True) if share)


def _cost(piece: Piece, n: int, differing: Hashes) -> float:
    """Estimated nanoseconds; ``differing`` holds the XORs of a sample of pairs."""
    brought_together = float((np.bitwise_count(differing & piece.mask) <= piece.radius).mean()) if len(differing) else 1
    table = _NS_ENTRY * 2.0 ** len(piece.bits)
    return table + _NS_LOOKUP * n * piece.probes + _NS_CANDIDATE * brought_together * n * n / 2


def _exhaustive(hashes: Hashes, max_hamming: int) -> Iterator[tuple[Rows, Rows]]:
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


def _indexed(hashes: Hashes, max_hamming: int, pieces: Sequence[Piece], place: int) -> Iterator[tuple[Rows, Rows]]:
    """The pairs that one piece finds and no piece before it."""
    piece, earlier = pieces[place], pieces[:place]
    keys = _keys(hashes, piece.bits)
    order = np.argsort(keys, kind="stable")
    hashes = hashes[order]
    # Rows of key k stand at [starts[k], starts[k + 1]).
    starts = np.zeros((1 << len(piece.bits)) + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=1 << len(piece.bits)), out=starts[1:])
    for first, start, count in _meetings(keys[order], starts, piece):
        for a, b in _expand(first, start, count):
            differing = hashes[a] ^ hashes[b]
            close = np.flatnonzero(np.bitwise_count(differing) <= max_hamming)
            for before in earlier:
                close = close[np.bitwise_count(differing[close] & before.mask) > before.radius]
            if len(close):
                one, other = order[a[close]], order[b[close]]
                yield np.minimum(one, other), np.maximum(one, other)


def _meetings(keys: NDArray[np.uint32], starts: Rows, piece: Piece) -> Iterator[tuple[Rows, Rows, Rows]]:
    """Sorted keys to (row, start, count): the row meets the rows [start, start + count); no two rows meet twice."""
    rows = np.arange(len(keys))
    # Within a bucket each row meets those after it.
    yield rows, rows + 1, starts[keys.astype(np.int64) + 1] - rows - 1
    full = np.diff(starts) > 0
    distinct = np.flatnonzero(full).astype(np.uint32)
    probes = _ball(len(piece.bits), piece.radius)
    step = max(1, _BATCH // max(1, len(probes)))
    for top in range(0, len(distinct) if len(probes) else 0, step):
        own = distinct[top : top + step, None]
        other = own ^ probes  # (step, P)
        # Two buckets see each other from both sides; they meet from the lower one.
        which, probe = np.nonzero(full[other] & (other > own))
        low, high = distinct[top + which].astype(np.int64), other[which, probe].astype(np.int64)
        for row, place in _expand(np.arange(len(low)), starts[low], starts[low + 1] - starts[low]):
            bucket = high[row]
            yield place, starts[bucket], starts[bucket + 1] - starts[bucket]


def _expand(first: Rows, start: Rows, count: Rows) -> Iterator[tuple[Rows, Rows]]:
    """Each first[i] beside each of start[i] … start[i] + count[i] − 1, about a batch at a time."""
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.unique(np.searchsorted(ends, np.arange(0, total, _BATCH), side="right"))
    for low, high in pairwise([*cuts.tolist(), len(ends)]):
        counts = count[low:high]
        begin = start[low:high] - (np.cumsum(counts) - counts)
        yield np.repeat(first[low:high], counts), np.arange(int(counts.sum())) + np.repeat(begin, counts)


def _keys(hashes: Hashes, bits: Sequence[int]) -> NDArray[np.uint32]:
    """A piece's bits, packed."""
    keys = np.zeros(len(hashes), dtype=np.uint32)
    for place, bit in enumerate(bits):
        keys |= ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.uint32) << np.uint32(place)
    return keys


def _ball(width: int, radius: int) -> NDArray[np.uint32]:
    """The numbers of ``width`` bits with one to ``radius`` ones."""
    flips = [sum(1 << bit for bit in chosen) for k in range(1, radius + 1) for chosen in combinations(range(width), k)]
    return np.array(flips, dtype=np.uint32)
