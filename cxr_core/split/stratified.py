"""Whole groups into parts, stratified by class and source: cohort rows in, a part or a yes a row out.

Every part has seats: so many images of each class, and so many of each class from each source, as its share of them.
Groups are seated one after the other, the largest first. Each ranks the parts by a hash of its own and takes the first
that has room for it, so that an image more displaces at most a few: rendezvous hashing with bounded loads (Thaler and
Ravishankar 1998; Mirrokni, Thorup and Zadimoghaddam 2018). docs/adr/0011 compares it with two other ways.

Laws: a group is never cut; the result depends on the images (digest, class, source, which belong together) and on the
words given, not on the order of rows nor on the groups' names; a class with m groups has one in every part whose share
is 1 / m or more; of a class whose groups hold no other, each of equal parts has its share of the images, give or take
the largest group. Shares are fractions and hashes are whole numbers, so that no machine rounds otherwise.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, SOURCES, ClassSlug, Source
from cxr_core.curate.cohort import CohortRow

__all__ = ["groups_by_class", "into_folds", "set_aside"]

_HASH_BITS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Rows that stay together; class and source are those of most of them."""

    rows: tuple[int, ...]
    label: ClassSlug
    source: Source
    hash: int


class _Seats:
    """Room for ``total`` images in parts of these shares; whole images that no share claims go to who comes first."""

    def __init__(self, total: int, shares: Sequence[Fraction]) -> None:
        self._wanted = [share * total for share in shares]
        self._whole = [int(wanted) for wanted in self._wanted]
        self._spare = total - sum(self._whole)
        self._taken = [0] * len(shares)

    def room(self, part: int, size: int) -> bool:
        """Whether so many more images fit."""
        return self._taken[part] + size <= self._whole[part] + (self._spare > 0)

    def lacking(self, part: int) -> Fraction:
        """How many images a part is short of its share."""
        return self._wanted[part] - self._taken[part]

    def take(self, part: int, size: int) -> None:
        """Seat so many images."""
        before, self._taken[part] = self._taken[part], self._taken[part] + size
        self._spare -= before <= self._whole[part] < self._taken[part]


def into_folds(rows: Sequence[CohortRow], *, folds: int, words: str) -> NDArray[np.int64]:
    """Deal whole groups into equal folds.

    Args:
        rows: What is dealt (N).
        folds: How many, at least 1.
        words: What fixes the hash: a purpose and a seed.

    Returns:
        (N,) fold of each row, [0, folds).
    """

    def ranked(group: _Group) -> list[int]:
        return sorted(range(folds), key=lambda fold: _hash(f"{words}:{fold}:{group.hash:x}"))

    return _seated(rows, shares=[Fraction(1, folds)] * folds, words=words, ranked=ranked)


def set_aside(rows: Sequence[CohortRow], *, share: Fraction, words: str) -> NDArray[np.bool_]:
    """Choose whole groups that hold a share of the images; a group beyond its stratum's seats is never chosen.

    Args:
        rows: Out of which (N).
        share: (0, 1).
        words: What fixes the hash.

    Returns:
        (N,) whether a row is chosen.
    """

    def ranked(group: _Group) -> list[int]:
        return [1, 0] if group.hash * share.denominator < share.numerator << _HASH_BITS else [0, 1]

    return _seated(rows, shares=[1 - share, share], words=words, ranked=ranked) == 1


def groups_by_class(rows: Sequence[CohortRow]) -> Counter[ClassSlug]:
    """How many groups have each class as that of most of their images."""
    return Counter(group.label for group in _groups(rows, words=""))


def _seated(
    rows: Sequence[CohortRow], *, shares: Sequence[Fraction], words: str, ranked: Callable[[_Group], list[int]]
) -> NDArray[np.int64]:
    groups = sorted(_groups(rows, words), key=lambda group: (-len(group.rows), group.hash))
    images: Counter[tuple[str, ...]] = Counter()
    waiting = Counter(group.label for group in groups)
    for group in groups:
        for stratum in ((group.label, group.source), (group.label,)):
            images[stratum] += len(group.rows)
    seats = {stratum: _Seats(total, shares) for stratum, total in images.items()}
    owed = {label: {part for part, share in enumerate(shares) if share * n >= 1} for label, n in waiting.items()}
    result = np.empty(len(rows), dtype=np.int64)
    for group in groups:
        size, due = len(group.rows), owed[group.label]
        # As many groups wait as parts have none of the class: each of these gets one of them.
        last = len(due) == waiting[group.label]
        parts = [part for part in ranked(group) if part in due] if last else ranked(group)
        part = _first_with_room(parts, size, seats[group.label, group.source], seats[group.label,])
        for stratum in ((group.label, group.source), (group.label,)):
            seats[stratum].take(part, size)
        due.discard(part)
        waiting[group.label] -= 1
        result[list(group.rows)] = part
    return result


def _first_with_room(parts: Sequence[int], size: int, of_source: _Seats, of_class: _Seats) -> int:
    """The first part with room; room for the class counts before room for the class from that source."""
    fitting = [part for part in parts if of_class.room(part, size)]
    if not fitting:
        return max(parts, key=of_class.lacking)
    return next((part for part in fitting if of_source.room(part, size)), fitting[0])


def _groups(rows: Sequence[CohortRow], words: str) -> list[_Group]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        members[row.group].append(number)
    groups: list[_Group] = []
    for numbers in members.values():
        strata: Counter[tuple[ClassSlug, Source]] = Counter(
            (rows[number].label, rows[number].source) for number in numbers
        )
        label, source = min(strata, key=lambda each: (-strata[each], CLASSES.index(each[0]), SOURCES.index(each[1])))
        # Not by the group's name, which hangs on the patient key; and an image more seldom changes the least hash.
        least = min(_hash(f"{words}:{rows[number].sha256}") for number in numbers)
        groups.append(_Group(rows=tuple(numbers), label=label, source=source, hash=least))
    return groups


def _hash(words: str) -> int:
    return int.from_bytes(hashlib.sha256(words.encode()).digest())
