"""Resampling whole patients: groups in, weights of rows out, limits at the end.

Images of one patient are not independent, so patients are drawn, each with all its images (Davison and Hinkley 1997,
§ 3.8). A sample is a row of weights: how often each image stands in it. Figures are then computed on weights, for all
samples at once.

The limits are the point and Student's t times the samples' standard deviation, which is a little too small for few
groups and is widened by G / (G - 1); the bootstrap's own percentiles cover less than they say there (Hesterberg 2015,
§ 5).

Laws: every image of a group has the same weight in a sample; weights of a sample's groups sum to the number of groups;
one seed, one result; no limit is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import t_quantile
from cxr_core.stats.intervals import Interval

__all__ = ["Statistic", "cluster_replicates", "studentised_interval"]

# Weights (B, N) to one figure a sample (B,); NaN where the sample has no such figure.
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# Weights held at once: 4 million float64 are 32 MB.
_CELLS = 4_000_000
# A figure that more than one sample in twenty cannot have is not summarised by the others.
_LEAST_DEFINED = 0.95
# Sums of equal numbers in another order differ by less than this.
_ROUNDING = 1e-12


def cluster_replicates(
    groups: Sequence[str], statistics: Sequence[Statistic], *, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Figures of many samples of whole groups.

    Args:
        groups: Group of each row (N,), e.g. its patient.
        statistics: What to compute; all see the same samples, so that differences between them are paired.
        resamples: Number of samples B, at least 1.
        rng: Source of randomness.

    Returns:
        Figures (S, B), one line a statistic.

    Raises:
        EvidenceError: Fewer than two groups, or no sample asked for.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise EvidenceError(f"A bootstrap needs at least 2 groups, found {len(names)}.", reason="too_few_groups")
    if resamples < 1:
        raise EvidenceError(f"Expected at least 1 sample, found {resamples}.", reason="out_of_range")
    index_of = {name: index for index, name in enumerate(names)}
    group = np.array([index_of[name] for name in groups])  # (N,)
    share = np.full(len(names), 1 / len(names))
    step = max(1, _CELLS // len(group))
    parts: list[NDArray[np.float64]] = []
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.multinomial(len(names), share, size=size)  # (b, groups)
        weights = drawn[:, group].astype(np.float64)  # (b, N)
        parts.append(np.stack([statistic(weights) for statistic in statistics]))
    return np.concatenate(parts, axis=1)


def studentised_interval(value: float, replicates: NDArray[np.float64], *, groups: int, confidence: float) -> Interval:
    """Limits around a point by the spread of its samples; those without the figure (NaN) are left out.

    Where no sample differs from the point, its spread says nothing. With G groups, none of which moved it, at most
    1 - tail ** (1 / G) of all patients would (Clopper and Pearson 1934); the limits are that far away.

    Args:
        value: The figure on the images themselves.
        replicates: The same on the samples (B,).
        groups: Groups that were drawn from, G.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        EvidenceError: Fewer than 95 % of the samples have the figure, fewer than two groups, or a confidence outside
            (0, 1).
    """
    t = t_quantile(confidence, groups)
    defined = replicates[np.isfinite(replicates)]
    if len(defined) == 0 or len(defined) < _LEAST_DEFINED * len(replicates):
        raise EvidenceError(
            f"Only {len(defined)} of {len(replicates)} bootstrap samples have this figure; its groups are too few.",
            reason="unstable_bootstrap",
        )
    half = t * float(defined.std()) * math.sqrt(groups / (groups - 1))
    if half <= _ROUNDING * abs(value):
        half = 1 - ((1 - confidence) / 2) ** (1 / groups)
    return Interval(low=value - half, high=value + half)
