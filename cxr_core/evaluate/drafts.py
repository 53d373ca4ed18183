"""Predictions as columns in, drafts of figures out: each a point, with the limits that a formula gives it.

Legend: N images, C = 3 classes.

A draft is a point, its intervals over images and over whole patients where a formula gives them, and what a paired
difference needs: each image's influence, or how to recompute the point on reweighted images. Law: a draft that has no
point says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import REFIT, Arrays, bin_members
from cxr_core.evaluate.parts import Method
from cxr_core.stats.bootstrap import Statistic
from cxr_core.stats.calibration import calibration_error as error_of
from cxr_core.stats.calibration import calibration_limits
from cxr_core.stats.clusters import Patients, clustered_area, clustered_share
from cxr_core.stats.intervals import Interval, wilson
from cxr_core.stats.losses import loss_limits
from cxr_core.stats.roc import delong_auc, mean_area

__all__ = [
    "Draft",
    "auc",
    "brier",
    "calibration_error",
    "macro_auc",
    "mean_fold_accuracy",
    "mean_loss",
    "proportion",
]

# A class with fewer images on a side has no AUC with a variance.
_LEAST_A_SIDE = 2

_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A figure before the bootstrap; without ``value`` it has no point, and ``why`` says so.

    ``limits`` are over images, ``clustered`` over patients. Without ``clustered`` the bootstrap makes them by
    ``statistic``, unless ``why`` says why there can be none. ``influence`` (N,) is of a figure whose differences have
    limits by formula, and ``rarer`` the number of patients on the side that has fewest, over the AUCs that it averages.
    """

    method: Method
    n: int
    value: float | None = None
    limits: Interval | None = None
    clustered: Interval | None = None
    statistic: Statistic | None = None
    influence: _Floats | None = None
    rarer: int = 0
    k: int | None = None
    why: str = ""


def proportion(hit: _Bools, among: _Bools, patients: Patients, *, confidence: float) -> Draft:
    """Share of ``among`` (N,) that is a ``hit`` (N,), with Wilson's interval over images and over their patients."""
    k, n = int((hit & among).sum()), int(among.sum())
    if n == 0:
        return Draft(method="wilson", n=0, k=0, why="There is no image to count.")
    share, of_those = k / n, patients.among(among)
    influence = (hit[among] - share) / n
    clustered, why = _if_enough(lambda: clustered_share(share, influence, of_those, confidence=confidence))
    limits, statistic = wilson(k, n, confidence=confidence), _mean_of(hit, among)
    return Draft(
        method="wilson", n=n, k=k, value=share, limits=limits, clustered=clustered, statistic=statistic, why=why
    )


def auc(arrays: Arrays, index: int, *, confidence: float) -> Draft:
    """AUC of class ``index`` against the rest, with DeLong's interval (Newcombe's at perfect separation)."""
    truth, n = arrays.label == index, len(arrays.label)
    m = int(truth.sum())
    if min(m, n - m) < _LEAST_A_SIDE:
        why = f"An AUC needs {_LEAST_A_SIDE} images on each side, found {m} and {n - m}."
        return Draft(method="delong", n=n, why=why)
    area = delong_auc(truth, arrays.scores[:, index], confidence=confidence)
    return replace(
        _area(arrays, [index], confidence),
        method=area.method,
        limits=Interval(low=area.low, high=area.high),
    )


def macro_auc(arrays: Arrays, *, confidence: float) -> Draft:
    """Unweighted mean of the one-vs-rest AUCs."""
    counts = np.bincount(arrays.label, minlength=len(CLASSES))
    if min(counts) < _LEAST_A_SIDE:
        found = ", ".join(f"{count} {slug}" for slug, count in zip(CLASSES, counts, strict=True))
        why = f"A macro AUC needs {_LEAST_A_SIDE} images a class, found {found}."
        return Draft(method="cluster_delong", n=len(arrays.label), why=why)
    return _area(arrays, range(len(CLASSES)), confidence)


def mean_fold_accuracy(arrays: Arrays, *, confidence: float) -> Draft:
    """Mean of the folds' accuracies, each fold counting alike.

    Its interval covers which patients were tested, not the training: folds share training images, so that their spread
    gives no sound variance (Bengio and Grandvalet 2004).
    """
    n, folds = len(arrays.label), sorted(set(arrays.fold.tolist()) - {REFIT})
    if not folds:
        why = "These images are tested by the refit, not by folds." if n else "There is no image to count."
        return Draft(method="cluster_wilson", n=0, why=why)
    members = [arrays.fold == fold for fold in folds]
    shares = [float(arrays.correct[tested].mean()) for tested in members]
    influence = np.zeros(n)
    for tested, share in zip(members, shares, strict=True):
        influence[tested] = (arrays.correct[tested] - share) / tested.sum() / len(folds)
    value = float(np.mean(shares))
    clustered, why = _if_enough(lambda: clustered_share(value, influence, arrays.patients, confidence=confidence))
    return Draft(method="cluster_wilson", n=n, value=value, clustered=clustered, why=why)


def brier(arrays: Arrays, *, confidence: float) -> Draft:
    """Mean squared distance of the probabilities from the truth, in [0, 2] (Brier 1950)."""
    distances = arrays.scores[:, None, :] - np.eye(len(CLASSES))  # (N, true class, class)
    return mean_loss((distances**2).sum(axis=2), arrays, confidence=confidence)


def mean_loss(losses: _Floats, arrays: Arrays, *, confidence: float) -> Draft:
    """Mean of a loss that is never below 0; ``losses`` (N, C) is what each image would cost under each truth."""
    n = len(arrays.label)
    if n == 0:
        return Draft(method="cluster_t", n=0, why="There is no image to count.")
    paid = losses[np.arange(n), arrays.label]
    clustered, why = _if_enough(
        lambda: loss_limits(losses, arrays.scores, arrays.label, arrays.patients, confidence=confidence)
    )
    return Draft(method="cluster_t", n=n, value=float(paid.mean()), clustered=clustered, why=why)


def calibration_error(arrays: Arrays, *, confidence: float) -> Draft:
    """Mean gap between the likeliest class's probability and its accuracy over 10 bins (Guo et al. 2017, eq. 3)."""
    gaps = bin_members(arrays) * (arrays.scores.max(axis=1, initial=0.0) - arrays.correct)[:, None]  # (N, bins)
    if len(gaps) == 0:
        return Draft(method="cluster_t", n=0, why="There is no image to count.")
    sure = arrays.scores.max(axis=1)
    clustered, why = _if_enough(
        lambda: calibration_limits(gaps, arrays.correct, sure, arrays.patients, confidence=confidence)
    )
    return Draft(method="cluster_t", n=len(gaps), value=error_of(gaps), clustered=clustered, why=why)


def _if_enough(limits: Callable[[], Interval]) -> tuple[Interval | None, str]:
    """Limits over patients, or why there are too few patients for any."""
    try:
        return limits(), ""
    except EvidenceError as error:
        return None, error.message


def _area(arrays: Arrays, classes: Sequence[int], confidence: float) -> Draft:
    """The mean of some classes' AUCs, with limits over patients."""
    truths = [arrays.label == index for index in classes]
    area = mean_area(truths, [arrays.scores[:, index] for index in classes])
    clustered, why = _if_enough(lambda: clustered_area(area, arrays.patients, confidence=confidence))
    return Draft(
        method="cluster_delong",
        n=len(arrays.label),
        value=area.value,
        clustered=clustered,
        influence=area.influence,
        rarer=min(arrays.patients.among(side).n for truth in truths for side in (truth, ~truth)),
        why=why,
    )


def _mean_of(hit: _Bools, among: _Bools) -> Statistic:
    hits, members = (hit & among).astype(np.float64), among.astype(np.float64)

    def mean(weights: _Floats) -> _Floats:
        counts = weights @ members
        return np.divide(weights @ hits, counts, out=np.full(len(counts), np.nan), where=counts > 0)

    return mean
