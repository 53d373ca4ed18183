"""Which of many right and wrong images are shown: half and half, failures never hidden behind successes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["half_wrong"]

T = TypeVar("T")


def half_wrong(right: Sequence[T], wrong: Sequence[T], *, limit: int) -> list[T]:
    """The first of both, right ones first; where one half has too few, the other fills up.

    Args:
        right: Images that are classified rightly, in the order wanted.
        wrong: The others.
        limit: How many in all, at least 1; of an odd number one more is right.
    """
    of_wrong = min(len(wrong), max(limit // 2, limit - len(right)))
    return [*right[: limit - of_wrong], *wrong[:of_wrong]]
