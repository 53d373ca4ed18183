"""Two classifiers on the same images: right and wrong of each in, whether they differ out.

Laws: swapping the two swaps ``only_first`` and ``only_second`` and keeps p; images both get right or both wrong
do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cxr_core.errors import EvidenceError

__all__ = ["McNemar", "mcnemar"]


@dataclass(frozen=True, kw_only=True, slots=True)
class McNemar:
    """Images that only one of two classifiers gets right, and the exact two-sided p of that split."""

    only_first: int
    only_second: int
    p: float
    n: int


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's exact test (1947): is a disagreement as likely to favour one as the other?

    Args:
        first: Whether the first is right, an image (N,).
        second: Whether the second is right, the same images (N,).

    Returns:
        The discordant counts and p; without any disagreement p is 1.

    Raises:
        EvidenceError: The lengths differ or are 0.
    """
    right_first, right_second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if right_first.shape != right_second.shape:
        raise EvidenceError(
            f"Expected two verdicts an image, found {len(first)} and {len(second)}.", reason="length_mismatch"
        )
    if len(right_first) == 0:
        raise EvidenceError("McNemar's test needs an image, found none.", reason="no_observations")
    only_first = int((right_first & ~right_second).sum())
    only_second = int((right_second & ~right_first).sum())
    p = min(1.0, 2 * float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5)))
    return McNemar(only_first=only_first, only_second=only_second, p=p, n=len(right_first))
