"""Two models on the same images: areas paired by patient, and whether one is shown to be no worse.

Laws: swapping the two turns every difference round and keeps p; a table against itself differs by 0; nothing is claimed
where an interval is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import auc
from cxr_core.evaluate.predictions import Prediction
from cxr_core.stats.paired import delong_p

__all__ = ["AreaDifference", "NonInferior", "Shared", "area_differences", "non_inferior", "shared_images"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """Images that both were tested on, leak-free for both, in one order; judged by the first's labels.

    Attributes:
        tested: Images that both were tested on at all.
        relabelled: Compared images whose label is another in the second.
        first: Rows of the first (n).
        second: Rows of the second (n), with the first's labels.
    """

    tested: int
    relabelled: int
    first: tuple[Prediction, ...]
    second: tuple[Prediction, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaDifference:
    """AUC of one class against the rest, first minus second, with limits and DeLong's two-sided p, both over patients.

    p takes the spread as it is found, which few errors make too small, and the limits do not: where the two disagree,
    believe the limits. Null with a reason where a side has fewer than two images, or all images are of one patient; p
    alone is null where nothing varies, or a side has fewer than two patients.
    """

    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NonInferior:
    """Whether the first is shown to be worse than the second by no more than a margin."""

    margin: float
    low: float | None
    verdict: Literal["shown", "not shown"]


def shared_images(first: Sequence[Prediction], second: Sequence[Prediction]) -> Shared:
    """The images that can be compared; an image is known by the digest of its bytes."""
    theirs = {row.sha256: row for row in second}
    both = sorted((row for row in first if row.sha256 in theirs), key=lambda row: row.sha256)
    mine = tuple(row for row in both if row.leak_free and theirs[row.sha256].leak_free)
    others = tuple(theirs[row.sha256] for row in mine)
    return Shared(
        tested=len(both),
        relabelled=sum(one.label != other.label for one, other in zip(mine, others, strict=True)),
        first=mine,
        second=tuple(replace(other, label=one.label) for one, other in zip(mine, others, strict=True)),
    )


def area_differences(shared: Shared, *, confidence: float) -> dict[ClassSlug, AreaDifference]:
    """Each class's AUC of the first less that of the second.

    Args:
        shared: Images of both.
        confidence: Two-sided coverage, in (0, 1).
    """
    first, second = Arrays.of(shared.first), Arrays.of(shared.second)
    same = np.array_equal(first.scores, second.scores)
    return {slug: _area(first, second, index, confidence, same=same) for index, slug in enumerate(CLASSES)}


def non_inferior(low: float | None, *, margin: float) -> NonInferior:
    """Judge a lower limit of first minus second.

    Args:
        low: The limit; None where there is none.
        margin: How much worse the first may be, at least 0.
    """
    shown = low is not None and math.isfinite(low) and low >= -margin
    return NonInferior(margin=margin, low=low, verdict="shown" if shown else "not shown")


def _area(first: Arrays, second: Arrays, index: int, confidence: float, *, same: bool) -> AreaDifference:
    mine, theirs = (auc(side, index, confidence=confidence) for side in (first, second))
    found = difference(mine, theirs, first.patients, confidence=confidence, same=same)
    if found.value is None or found.clustered is None or mine.influence is None or theirs.influence is None:
        return AreaDifference(first=None, second=None, value=None, low=None, high=None, p=None, why=found.why)
    p = delong_p(found.value, mine.influence - theirs.influence, first.label == index, first.patients)
    return AreaDifference(
        first=mine.value,
        second=theirs.value,
        value=found.value,
        low=found.clustered.low,
        high=found.clustered.high,
        p=p,
        why="" if p is not None else "These images do not tell by how much the difference varies.",
    )
