"""Intervals of a proportion: k of n and a confidence in, two limits in [0, 1] out.

Laws: the point k/n lies inside; more confidence is never narrower; k of n and n − k of n mirror each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from cxr_core.errors import EvidenceError

__all__ = ["Interval", "check_confidence", "clopper_pearson", "normal_quantile", "wilson", "wilson_limits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Two limits, low ≤ high."""

    low: float
    high: float


def wilson(k: int, n: int, *, confidence: float) -> Interval:
    """Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001, eq. 4), without continuity correction.

    Args:
        k: Successes, 0 ≤ k ≤ n.
        n: Observations, at least 1.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        EvidenceError: No observation, an impossible count, or a confidence outside (0, 1).
    """
    _check_counts(k, n)
    return wilson_limits(k / n, n, normal_quantile(confidence))


def wilson_limits(share: float, n: float, z: float) -> Interval:
    """The same from a share in [0, 1], a number of observations that need not be whole, and a quantile."""
    square = z * z / n
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    # At 0 and 1 the limit is exactly 0 and 1; floating point would leave it a rounding error away.
    return Interval(
        low=0.0 if share == 0 else max(0.0, centre - half), high=1.0 if share == 1 else min(1.0, centre + half)
    )


def clopper_pearson(k: int, n: int, *, confidence: float) -> Interval:
    """The exact binomial interval (Clopper and Pearson 1934): never covers less than it says, so it is wider.

    Args:
        k: Successes, 0 ≤ k ≤ n.
        n: Observations, at least 1.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        EvidenceError: As for :func:`wilson`.
    """
    _check_counts(k, n)
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, tail))
    high = 1.0 if k == n else float(special.betaincinv(k + 1, n - k, 1 - tail))
    return Interval(low=low, high=high)


def normal_quantile(confidence: float) -> float:
    """The z with two-sided coverage ``confidence``: 1.96 for 0.95.

    Raises:
        EvidenceError: The confidence is outside (0, 1).
    """
    check_confidence(confidence)
    return float(special.ndtri((1 + confidence) / 2))


def check_confidence(confidence: float) -> None:
    """Refuse a confidence outside (0, 1), NaN included.

    Raises:
        EvidenceError: It is.
    """
    if not 0 < confidence < 1:
        raise EvidenceError(f"Expected a confidence between 0 and 1, found {confidence}.", reason="out_of_range")


def _check_counts(k: int, n: int) -> None:
    if n < 1:
        raise EvidenceError(f"A proportion needs an observation, found n = {n}.", reason="no_observations")
    if not 0 <= k <= n:
        raise EvidenceError(f"Expected 0 to {n} successes of {n}, found {k}.", reason="impossible_count")
