"""Cheap classifiers on the folds of a run: numbers an image in, probabilities of each fold's test images out.

Logistic regression, which finds what many pixels say together, and a random forest, which finds a mark that few pixels
show. As cheap as a classifier can be, and no worse than one has to be for a shortcut: what it finds, a network finds.
Each fold trains on its own training rows and chooses between them by the Brier score of its own validation rows.

Legend: N images, F numbers an image, C outcomes.
Laws: a test row never changes what it is tested by; the same input gives the same output.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cxr_core.split.folds import Members

__all__ = ["scores_of_test"]

# Inverse strengths of the penalty; the first where no validation row can choose.
_STRENGTHS = (0.03, 0.003, 0.0003, 0.3)
_ITERATIONS = 2000
_TOLERANCE = 1e-3
_TREES, _LEAF, _SEED = 60, 3, 0

_Floats = NDArray[np.float64]
_Model = LogisticRegression | RandomForestClassifier


def scores_of_test(
    numbers: NDArray[np.floating], outcome: NDArray[np.int64], part: Members, *, outcomes: int
) -> _Floats:
    """Probabilities of a fold's test rows, in their order: (n, C).

    Args:
        numbers: (N, F).
        outcome: What is to be told (N,), in [0, C).
        part: Rows that train, at least one; that choose; that are tested.
        outcomes: How many outcomes there are, C.
    """
    if len(np.unique(outcome[part.train])) < 2:
        # Whoever has learned of one outcome names it always.
        return np.tile(np.eye(outcomes)[outcome[part.train][0]], (len(part.test), 1))
    centre, spread = numbers[part.train].mean(axis=0), numbers[part.train].std(axis=0)
    scaled = (numbers - centre) / np.where(spread > 0, spread, 1)
    best = (np.inf, np.empty((0, outcomes)))
    # So small a problem is solved sooner by one thread, and to the same bits on every machine.
    with threadpool_limits(limits=1):
        for model in _models():
            model.fit(scaled[part.train], outcome[part.train])
            loss = _brier(_probabilities(model, scaled[part.validation], outcomes), outcome[part.validation])
            if loss < best[0]:
                best = loss, _probabilities(model, scaled[part.test], outcomes)
            if not len(part.validation):
                break
    return best[1]


def _models() -> Iterator[_Model]:
    # Balanced: folds differ a little in their shares of the outcomes, and their scores are pooled.
    for strength in _STRENGTHS:
        yield LogisticRegression(C=strength, class_weight="balanced", max_iter=_ITERATIONS, tol=_TOLERANCE)
    yield RandomForestClassifier(
        n_estimators=_TREES, min_samples_leaf=_LEAF, class_weight="balanced", random_state=_SEED
    )


def _brier(probabilities: _Floats, outcome: NDArray[np.int64]) -> float:
    misses = (probabilities - np.eye(probabilities.shape[1])[outcome]) ** 2
    return float(misses.sum(axis=1).mean()) if len(misses) else 0.0


def _probabilities(model: _Model, numbers: NDArray[np.floating], outcomes: int) -> _Floats:
    """(n, C); an outcome that nothing trained has probability 0."""
    every = np.zeros((len(numbers), outcomes))
    if len(numbers):
        every[:, model.classes_] = model.predict_proba(numbers)
    return every
