"""Predictions as columns, for arithmetic on all of them at once.

Legend: N images, C = 3 classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.evaluate.predictions import Prediction
from cxr_core.stats.clusters import Patients

__all__ = ["REFIT", "Arrays", "bin_members"]

_BINS = 10
REFIT = -1
"""Stands for the refit among numbers of folds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrays:
    """Predictions as columns: label, predicted, fold, patient and correct (N,), scores (N, C); the refit is fold -1."""

    patients: Patients
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    fold: NDArray[np.int64]
    scores: NDArray[np.float64]
    correct: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Prediction]) -> Arrays:
        """Columns of the rows, possibly none."""
        label = np.array([row.label for row in rows], dtype=np.int64)
        predicted = np.array([row.predicted for row in rows], dtype=np.int64)
        return cls(
            patients=Patients.named([row.group for row in rows]),
            label=label,
            predicted=predicted,
            fold=np.array([REFIT if row.fold is None else row.fold for row in rows], dtype=np.int64),
            scores=np.array([row.probabilities for row in rows], dtype=np.float64).reshape(-1, len(CLASSES)),
            correct=label == predicted,
        )


def bin_members(arrays: Arrays) -> NDArray[np.bool_]:
    """Which bin of width 0.1 holds the probability of each image's likeliest class: (N, bins)."""
    bins = np.clip(np.ceil(arrays.scores.max(axis=1, initial=0.0) * _BINS) - 1, 0, _BINS - 1)
    return bins[:, None] == np.arange(_BINS)
