"""Points first, certainty after: drafts of figures in, estimates with both intervals out.

Legend: N images, C = 3 classes, B bootstrap samples.

A draft is a point, its interval over images where a formula gives one, and how to recompute the point on reweighted
images. ``settle`` then draws whole patients once and gives every draft its second interval from the same samples.

Laws: a draft that has no point stays null with its reason; nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Estimate, Method
from cxr_core.stats.bootstrap import Statistic, cluster_replicates, percentile_interval
from cxr_core.stats.intervals import Interval, wilson
from cxr_core.stats.roc import delong_auc, weighted_auc

__all__ = [
    "REFIT",
    "Arrays",
    "Draft",
    "auc",
    "bin_members",
    "brier",
    "calibration_error",
    "macro_auc",
    "mean_fold_accuracy",
    "proportion",
    "settle",
]

# A class with fewer images on a side has no AUC with a variance.
_LEAST_A_SIDE = 2
_BINS = 10
REFIT = -1
"""Stands for the refit among numbers of folds."""

_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Predictions as columns: label, predicted and fold (N,), scores (N, C), correct (N,); the refit is fold -1."""

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    fold: NDArray[np.int64]
    scores: _Floats
    correct: _Bools

    @classmethod
    def of(cls, rows: Sequence[Prediction]) -> Arrays:
        """Columns of the rows, possibly none."""
        label = np.array([row.label for row in rows], dtype=np.int64)
        predicted = np.array([row.predicted for row in rows], dtype=np.int64)
        return cls(
            label=label,
            predicted=predicted,
            fold=np.array([REFIT if row.fold is None else row.fold for row in rows], dtype=np.int64),
            scores=np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, len(CLASSES)),
            correct=label == predicted,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A figure before the bootstrap; without ``statistic`` it has no point, and ``why`` says so."""

    method: Method
    n: int
    value: float | None = None
    limits: Interval | None = None
    statistic: Statistic | None = None
    k: int | None = None
    why: str = ""


def proportion(hit: _Bools, among: _Bools, *, confidence: float) -> Draft:
    """Share of ``among`` (N,) that is a ``hit`` (N,), with Wilson's interval."""
    k, n = int((hit & among).sum()), int(among.sum())
    if n == 0:
        return Draft(method="wilson", n=0, k=0, why="There is no image to count.")
    limits = wilson(k, n, confidence=confidence)
    return Draft(method="wilson", n=n, k=k, value=k / n, limits=limits, statistic=_mean_of(hit, among))


def auc(arrays: Arrays, index: int, *, confidence: float) -> Draft:
    """AUC of class ``index`` against the rest, with DeLong's interval (Newcombe's at perfect separation)."""
    truth, n = arrays.label == index, len(arrays.label)
    m = int(truth.sum())
    if min(m, n - m) < _LEAST_A_SIDE:
        why = f"An AUC needs {_LEAST_A_SIDE} images on each side, found {m} and {n - m}."
        return Draft(method="delong", n=n, why=why)
    area = delong_auc(truth, arrays.scores[:, index], confidence=confidence)
    limits = Interval(low=area.low, high=area.high)
    return Draft(method=area.method, n=n, value=area.value, limits=limits, statistic=_auc_of(arrays, index))


def macro_auc(arrays: Arrays) -> Draft:
    """Unweighted mean of the one-vs-rest AUCs."""
    counts = np.bincount(arrays.label, minlength=len(CLASSES))
    if min(counts) < _LEAST_A_SIDE:
        found = ", ".join(f"{count} {slug}" for slug, count in zip(CLASSES, counts, strict=True))
        why = f"A macro AUC needs {_LEAST_A_SIDE} images a class, found {found}."
        return Draft(method="cluster_bootstrap", n=len(arrays.label), why=why)
    areas = [_auc_of(arrays, index) for index in range(len(CLASSES))]
    return _by_patients(lambda weights: np.mean([area(weights) for area in areas], axis=0), n=len(arrays.label))


def mean_fold_accuracy(arrays: Arrays) -> Draft:
    """Mean of the folds' accuracies, each fold counting alike.

    Its interval covers which patients were tested, not the training: folds share training images, so that their spread
    gives no sound variance (Bengio and Grandvalet 2004).
    """
    means = [_mean_of(arrays.correct, arrays.fold == fold) for fold in sorted(set(arrays.fold.tolist()) - {REFIT})]
    if len(arrays.label) and not means:
        return Draft(method="cluster_bootstrap", n=0, why="These images are tested by the refit, not by folds.")
    return _by_patients(lambda weights: np.mean([mean(weights) for mean in means], axis=0), n=len(arrays.label))


def brier(arrays: Arrays) -> Draft:
    """Mean squared distance of the probabilities from the truth, in [0, 2] (Brier 1950)."""
    losses = ((arrays.scores - np.eye(len(CLASSES))[arrays.label]) ** 2).sum(axis=1)  # (N,)
    return _by_patients(lambda weights: weights @ losses / weights.sum(axis=1), n=len(losses))


def calibration_error(arrays: Arrays) -> Draft:
    """Mean gap between the likeliest class's probability and its accuracy over 10 bins (Guo et al. 2017, eq. 3)."""
    gaps = bin_members(arrays) * (arrays.scores.max(axis=1, initial=0.0) - arrays.correct)[:, None]  # (N, bins)
    return _by_patients(lambda weights: np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1), n=len(gaps))


def bin_members(arrays: Arrays) -> _Bools:
    """Which bin of width 0.1 holds the probability of each image's likeliest class: (N, bins)."""
    bins = np.clip(np.ceil(arrays.scores.max(axis=1, initial=0.0) * _BINS) - 1, 0, _BINS - 1)
    return bins[:, None] == np.arange(_BINS)


def settle(
    drafts: Mapping[str, Draft], groups: Sequence[str], *, confidence: float, resamples: int, seed: int
) -> dict[str, Estimate]:
    """Give every draft its patient-cluster interval.

    Args:
        drafts: Figures over the same images (N), by any name.
        groups: Patient or duplicate cluster of each image (N,).
        confidence: Two-sided coverage, in (0, 1).
        resamples: Samples of the bootstrap.
        seed: Of the bootstrap.
    """
    named = [(name, draft.statistic) for name, draft in drafts.items() if draft.statistic]
    lines: dict[str, _Floats] = {}
    too_few = ""
    try:
        replicates = cluster_replicates(
            groups, [statistic for _, statistic in named], resamples=resamples, rng=np.random.default_rng(seed)
        )
        lines = {name: line for (name, _), line in zip(named, replicates, strict=True)}
    except EvidenceError as error:
        too_few = error.message
    return {name: _settled(draft, lines.get(name), too_few, confidence) for name, draft in drafts.items()}


def _settled(draft: Draft, line: _Floats | None, too_few: str, confidence: float) -> Estimate:
    clusters, why = None, draft.why or too_few
    if line is not None:
        try:
            clusters = percentile_interval(line, confidence=confidence)
        except EvidenceError as error:
            why = error.message
    limits = clusters if draft.method == "cluster_bootstrap" else draft.limits
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
        why=why,
    )


def _by_patients(statistic: Statistic, *, n: int) -> Draft:
    if n == 0:
        return Draft(method="cluster_bootstrap", n=0, why="There is no image to count.")
    value = float(statistic(np.ones((1, n)))[0])
    return Draft(method="cluster_bootstrap", n=n, value=value, statistic=statistic)


def _auc_of(arrays: Arrays, index: int) -> Statistic:
    return lambda weights: weighted_auc(arrays.label == index, arrays.scores[:, index], weights)


def _mean_of(hit: _Bools, among: _Bools) -> Statistic:
    hits, members = (hit & among).astype(np.float64), among.astype(np.float64)

    def mean(weights: _Floats) -> _Floats:
        counts = weights @ members
        return np.divide(weights @ hits, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    return mean
