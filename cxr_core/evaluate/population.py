"""Predictions of one set of images to all its figures.

Laws: every figure stands with its n and its intervals; a figure that cannot be had is null and says why; nothing is
NaN; the order of the rows changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import REFIT, Arrays, bin_members
from cxr_core.evaluate.drafts import (
    Draft,
    auc,
    brier,
    calibration_error,
    macro_auc,
    mean_fold_accuracy,
    proportion,
)
from cxr_core.evaluate.estimates import settle
from cxr_core.evaluate.parts import Bin, ClassFigures, Estimate, Fold, PairTest, Population, Stratum
from cxr_core.evaluate.predictions import Prediction
from cxr_core.stats.association import chi_square
from cxr_core.stats.intervals import wilson

__all__ = ["population", "reliability"]

_Variable = Literal["source", "view", "sex", "age", "label_provenance"]

_VARIABLES: dict[_Variable, Callable[[Prediction], str]] = {
    "source": lambda row: row.source,
    "view": lambda row: row.view,
    "sex": lambda row: row.sex,
    "age": lambda row: _age_band(row.age_years),
    "label_provenance": lambda row: row.label_provenance,
}
# With 30 images Wilson's interval is up to 0.34 wide, and of fewer than ten patients limits say next to nothing.
_LEAST_IMAGES, _LEAST_GROUPS = 30, 10
_AGE_BANDS_YEARS = ((18, "0-17"), (40, "18-39"), (65, "40-64"))


def population(rows: Sequence[Prediction], *, confidence: float) -> Population:
    """Compute every figure over ``rows``.

    Args:
        rows: Checked predictions, possibly none.
        confidence: Two-sided coverage of every interval, in (0, 1).
    """
    rows = sorted(rows, key=lambda row: row.sha256)
    arrays = Arrays.of(rows)
    strata = _strata_of(rows)
    drafts = _drafts(arrays, confidence) | {
        f"{by}={value}": proportion(arrays.correct, among, arrays.patients, confidence=confidence)
        for (by, value), among in strata.items()
    }
    groups = [row.group for row in rows]
    settled = settle(drafts)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(confusion, (arrays.label, arrays.predicted), 1)
    return Population(
        n=len(rows),
        groups=len(set(groups)),
        accuracy=settled["accuracy"],
        mean_fold_accuracy=settled["mean_fold_accuracy"],
        macro_auc=settled["macro_auc"],
        per_class={
            slug: ClassFigures(
                n=int((arrays.label == index).sum()),
                sensitivity=settled[f"{slug}.sensitivity"],
                specificity=settled[f"{slug}.specificity"],
                auc=settled[f"{slug}.auc"],
            )
            for index, slug in enumerate(CLASSES)
        },
        confusion=tuple(tuple(int(cell) for cell in line) for line in confusion),
        chi_square=tuple(_pair(confusion, first, second) for first, second in combinations(range(len(CLASSES)), 2)),
        folds=_folds(arrays, confidence),
        brier=settled["brier"],
        calibration_error=settled["calibration_error"],
        reliability=reliability(arrays),
        strata=_worst_first(strata, settled, np.array(groups, dtype=str)),
    )


def reliability(arrays: Arrays) -> tuple[Bin, ...]:
    """How often each tenth of probability comes true; a tenth that holds no image is left out."""
    top, members = arrays.scores.max(axis=1, initial=0.0), bin_members(arrays)
    bins = members.shape[1]
    return tuple(
        Bin(
            low=index / bins,
            high=(index + 1) / bins,
            n=int(inside.sum()),
            mean_probability=float(top[inside].mean()),
            accuracy=float(arrays.correct[inside].mean()),
        )
        for index in range(bins)
        if (inside := members[:, index]).any()
    )


def _drafts(arrays: Arrays, confidence: float) -> dict[str, Draft]:
    everyone, people = np.ones(len(arrays.label), dtype=bool), arrays.patients
    drafts = {
        "accuracy": proportion(arrays.correct, everyone, people, confidence=confidence),
        "mean_fold_accuracy": mean_fold_accuracy(arrays, confidence=confidence),
        "macro_auc": macro_auc(arrays, confidence=confidence),
        "brier": brier(arrays, confidence=confidence),
        "calibration_error": calibration_error(arrays, confidence=confidence),
    }
    for index, slug in enumerate(CLASSES):
        has, said = arrays.label == index, arrays.predicted == index
        drafts[f"{slug}.sensitivity"] = proportion(said, has, people, confidence=confidence)
        drafts[f"{slug}.specificity"] = proportion(~said, ~has, people, confidence=confidence)
        drafts[f"{slug}.auc"] = auc(arrays, index, confidence=confidence)
    return drafts


def _pair(confusion: NDArray[np.int64], first: int, second: int) -> PairTest:
    table = confusion[np.ix_([first, second], [first, second])]
    cells = [[int(cell) for cell in line] for line in table]
    n = int(table.sum())
    try:
        test, why = chi_square(table), ""
    except EvidenceError as error:
        test, why = None, error.message
    return PairTest(
        classes=(CLASSES[first], CLASSES[second]),
        table=((cells[0][0], cells[0][1]), (cells[1][0], cells[1][1])),
        outside=int(confusion[[first, second]].sum()) - n,
        n=n,
        statistic=test.statistic if test else None,
        df=test.df if test else None,
        p=test.p if test else None,
        why=why,
    )


def _folds(arrays: Arrays, confidence: float) -> tuple[Fold, ...]:
    rows: list[Fold] = []
    for fold in sorted(set(arrays.fold.tolist()) - {REFIT}):
        tested = arrays.fold == fold
        n, correct = int(tested.sum()), int(arrays.correct[tested].sum())
        limits = wilson(correct, n, confidence=confidence)
        rows.append(
            Fold(
                fold=fold,
                n=n,
                correct=correct,
                accuracy=correct / n,
                error=(n - correct) / n,
                low=limits.low,
                high=limits.high,
            )
        )
    return tuple(rows)


def _strata_of(rows: Sequence[Prediction]) -> dict[tuple[_Variable, str], NDArray[np.bool_]]:
    strata: dict[tuple[_Variable, str], NDArray[np.bool_]] = {}
    for by, value_of in _VARIABLES.items():
        values = np.array([value_of(row) for row in rows], dtype=str)
        for value in sorted(set(values.tolist())):
            strata[by, value] = values == value
    return strata


def _worst_first(
    strata: dict[tuple[_Variable, str], NDArray[np.bool_]], settled: dict[str, Estimate], groups: NDArray[np.str_]
) -> tuple[Stratum, ...]:
    rows: list[Stratum] = []
    for (by, value), among in strata.items():
        accuracy, patients = settled[f"{by}={value}"], len(np.unique(groups[among]))
        too_few = accuracy.n < _LEAST_IMAGES or patients < _LEAST_GROUPS
        rows.append(Stratum(by=by, value=value, accuracy=accuracy, groups=patients, too_few=too_few))
    # Of equally bad strata the one with more images comes first: it is the surer finding.
    return tuple(
        sorted(rows, key=lambda row: (row.too_few, row.accuracy.value or 0.0, -row.accuracy.n, row.by, row.value))
    )


def _age_band(years: float | None) -> str:
    if years is None:
        return ""
    return next((band for below, band in _AGE_BANDS_YEARS if years < below), "65+")
