"""Two classifiers on the same images: right and wrong of each, or influences on the difference of their AUCs, in; how
they differ, and how surely, out.

Legend: N images.

Laws: swapping the two swaps ``only_first`` and ``only_second``, turns the limits of the difference round and keeps p;
images both get right or both wrong do not count; the less the two differ patient by patient, the narrower the limits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients, t_quantile
from cxr_core.stats.intervals import Interval

__all__ = ["McNemar", "delong_p", "difference_limits", "mcnemar"]

_Floats = NDArray[np.float64]
_ROUNDING = 1e-12


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
    difference: float,
    influence: _Floats,
    patients: Patients,
    *,
    below: float,
    above: float,
    rarer: int,
    confidence: float,
) -> Interval:
    """Limits of the difference of two AUCs, or of two means of AUCs, over whole patients.

    Two models that are both nearly right differ in a handful of patients, and limits by their spread (DeLong) hold the
    truth in as few as 66 of 100 cohorts. Three things are added. t has the degrees of freedom that so few patients
    leave (Satterthwaite 1946). The spread is of one patient more than were seen, as Bonett and Price (2012) add pairs
    to a difference of shares: it moves the figure as far as a patient moves the two figures by themselves, by their own
    limits, which are joined as independent ones are (Zou and Donner 2008). And the further limit is bent outwards by
    the skew of the patients' sums (Hall 1992).

    Args:
        difference: First minus second.
        influence: Of each image (N,) on the difference.
        patients: Of these N images.
        below: Distances of the first figure to its lower limit and of the second to its upper one, joined as the sides
            of a right angle.
        above: The same the other way round.
        rarer: Patients on the side that has fewest, at least 1.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        EvidenceError: Fewer than two patients, or a confidence outside (0, 1).
    """
    variance = patients.variance(influence)
    seen = float(special.stdtrit(patients.degrees(influence), (1 + confidence) / 2)) ** 2 * variance
    more = 1 / rarer
    low = difference - math.sqrt(seen + more * below**2)
    high = difference + math.sqrt(seen + more * above**2)
    bend = patients.bend(influence, t_quantile(confidence, patients.n))
    return Interval(low=max(-1.0, low + min(0.0, bend)), high=min(1.0, high + max(0.0, bend)))


def delong_p(difference: float, influence: _Floats, positive: NDArray[np.bool_], patients: Patients) -> float | None:
    """Two-sided p of two AUCs being equal (DeLong, DeLong and Clarke-Pearson 1988), patients whole (Obuchowski 1997).

    It takes the spread as it is found, which few errors make too small; the limits above do not.

    Args:
        difference: First minus second.
        influence: Of each image (N,) on the difference.
        positive: Truth (N,).
        patients: Of these N images.

    Returns:
        p; None where the spread cannot be told: nothing varies, or a side has fewer than two patients.
    """
    sides = [np.where(side, influence, 0.0) for side in (positive, ~positive)]
    counts = [patients.among(side).n for side in (positive, ~positive)]
    if min(counts) < 2:
        return None
    of_sides = [patients.sums(side) for side in sides]
    variance = sum(n / (n - 1) * float((each**2).sum()) for n, each in zip(counts, of_sides, strict=True))
    variance += 2 * patients.n / (patients.n - 1) * float((of_sides[0] * of_sides[1]).sum())
    # An AUC moves by no less than half a pair; what is smaller came from adding in another order.
    if variance <= (_ROUNDING * float(np.abs(influence).sum() + 1 / len(influence))) ** 2:
        return None
    return float(special.erfc(abs(difference) / math.sqrt(2 * variance)))
