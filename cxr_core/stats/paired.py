"""Two classifiers on the same images: right and wrong of each, or a figure of each with its limits, in; how they differ
out.

Laws: swapping the two swaps ``only_first`` and ``only_second``, turns the limits of the difference round and keeps p;
images both get right or both wrong do not count; limits are the narrower the more alike the two vary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cxr_core.errors import EvidenceError
from cxr_core.stats.intervals import Interval

__all__ = ["McNemar", "difference_limits", "mcnemar"]


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


def difference_limits(
    first: float, of_first: Interval, second: float, of_second: Interval, *, correlation: float
) -> Interval:
    """Limits of first minus second, put together from the limits of each (Zou and Donner 2008; of AUCs, Zou and Yue
    2013).

    Each side's distance to its own limit stands for its standard error there, so that limits that are sound and uneven
    near 1 stay so in the difference, where the plain interval holds the truth far less often than it says.

    They stay between the least and the most that the limits of the two allow.

    Args:
        first: A figure.
        of_first: Its limits, around it.
        second: The same figure of the other classifier.
        of_second: Its limits.
        correlation: Of the two figures, in [-1, 1].
    """
    value = first - second
    below = _joined(first - of_first.low, of_second.high - second, correlation)
    above = _joined(of_first.high - first, second - of_second.low, correlation)
    return Interval(low=value - below, high=value + above)


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))
