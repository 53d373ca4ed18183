"""Points first, certainty after: drafts of figures in, estimates with both intervals out.

``settle`` takes drafts whose limits are there, by formula. ``draw`` draws whole patients once as well, and gives every
draft that has no interval over them one from the same samples.

Laws: a draft that has no point stays null with its reason; nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cxr_core.errors import EvidenceError
from cxr_core.evaluate.drafts import Draft
from cxr_core.evaluate.parts import Estimate, Method
from cxr_core.params import EvaluateParams
from cxr_core.stats.bootstrap import cluster_replicates, studentised_interval
from cxr_core.stats.intervals import Interval

__all__ = ["draw", "mean_of", "over_patients", "settle"]


def over_patients(value: float | None, limits: Interval | None, *, method: Method, n: int, why: str = "") -> Estimate:
    """A figure whose only limits are over patients; without any it has no value, and ``why`` says so."""
    low, high = (limits.low, limits.high) if limits else (None, None)
    return Estimate(
        value=value if limits else None,
        low=low,
        high=high,
        method=method,
        cluster_low=low,
        cluster_high=high,
        n=n,
        k=None,
        why=why,
    )


def mean_of(
    values: NDArray[np.float64], groups: Sequence[str], params: EvaluateParams, *, within: tuple[float, float]
) -> Estimate:
    """Mean of one number an image, over those that have it, with limits over their patients.

    Args:
        values: Any numbers (N,); NaN where an image has none.
        groups: Patient or duplicate cluster of each image (N,).
        params: Confidence, bootstrap samples and seed.
        within: Between which any number lies; no limit is outside.
    """
    known = np.isfinite(values)
    numbers = values[known]
    if not len(numbers):
        return over_patients(None, None, method="cluster_bootstrap", n=0, why="No image has the number.")
    draft = Draft(
        method="cluster_bootstrap",
        n=len(numbers),
        value=float(numbers.mean()),
        statistic=lambda weights: weights @ numbers / weights.sum(axis=1),
    )
    patients = [group for group, have in zip(groups, known.tolist(), strict=True) if have]
    found = draw({"mean": draft}, patients, confidence=params.confidence, resamples=params.bootstrap, seed=params.seed)[
        "mean"
    ]
    if found.low is None or found.high is None:
        return found
    limits = Interval(low=max(within[0], found.low), high=min(within[1], found.high))
    return over_patients(found.value, limits, method=found.method, n=found.n)


def settle(drafts: Mapping[str, Draft]) -> dict[str, Estimate]:
    """Drafts that have their limits, or why there are none, as estimates."""
    return {name: _settled(draft) for name, draft in drafts.items()}


def draw(
    drafts: Mapping[str, Draft], groups: Sequence[str], *, confidence: float, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Give every draft that has none its interval over patients.

    Args:
        drafts: Figures over the same images (N), by any name.
        groups: Patient or duplicate cluster of each image (N,).
        confidence: Two-sided coverage, in (0, 1).
        resamples: Samples of the bootstrap.
        seed: Of the bootstrap.
    """
    named = [
        (name, draft.statistic)
        for name, draft in drafts.items()
        if draft.statistic and not (draft.clustered or draft.why)
    ]
    lines: dict[str, NDArray[np.float64]] = {}
    too_few = ""
    if named:
        try:
            replicates = cluster_replicates(
                groups, [statistic for _, statistic in named], resamples=resamples, rng=np.random.default_rng(seed)
            )
            lines = {name: line for (name, _), line in zip(named, replicates, strict=True)}
        except EvidenceError as error:
            too_few = error.message
    patients = len(set(groups))
    drawn = {name: _drawn(draft, lines.get(name), patients, too_few, confidence) for name, draft in drafts.items()}
    return settle(drawn)


def _drawn(draft: Draft, line: NDArray[np.float64] | None, patients: int, too_few: str, confidence: float) -> Draft:
    if draft.clustered is not None or draft.why:
        return draft
    if line is None or draft.value is None:
        return replace(draft, why=too_few)
    try:
        limits = studentised_interval(draft.value, line, groups=patients, confidence=confidence)
    except EvidenceError as error:
        return replace(draft, why=error.message)
    return replace(draft, clustered=limits)


def _settled(draft: Draft) -> Estimate:
    clusters = draft.clustered
    limits = clusters if draft.method.startswith("cluster_") else draft.limits
    return Estimate(
        # Without any interval a point may not stand alone.
        value=draft.value if limits else None,
        low=limits.low if limits else None,
        high=limits.high if limits else None,
        method=draft.method,
        cluster_low=clusters.low if clusters else None,
        cluster_high=clusters.high if clusters else None,
        n=draft.n,
        k=draft.k,
        why=draft.why,
    )
