"""Trainings' probabilities, joined to the cohort as it is now: what evaluation, controls and explanation start from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.evaluate.predictions import Prediction, predictions_of
from cxr_core.files import read_json
from cxr_core.split.folds import leak_free, members, read_split
from tasks.run import Run
from tasks.stores import tracker_of
from tasks.trained import PROBABILITIES_FILE, Trained

__all__ = ["fold_predictions"]


def fold_predictions(run: Run, folds: Sequence[Trained]) -> list[Prediction]:
    """Trainings' probabilities under this run's cohort: patients, names and leaks are what they are now.

    A reused fold has the same pixels and labels, but a corrected patient id, say, changes who leaks.

    Raises:
        TrackingError: A fold's probabilities are absent, or their bytes have changed.
    """
    tracker, dealt = tracker_of(run.home), read_split(run.path)
    cohort, clean = read_cohort(run.path / COHORT_PATH), leak_free(dealt)
    rows: list[Prediction] = []
    with tempfile.TemporaryDirectory() as scratch:
        for fold in folds:
            path = tracker.fetch(fold.run_id, PROBABILITIES_FILE, Path(scratch) / f"{fold.fold}.json")
            rows += predictions_of(
                cohort,
                fold=fold.fold,
                test=members(dealt, fold.fold).test,
                probabilities=np.asarray(read_json(path), dtype=np.float64),
                leak_free=clean,
            )
    return rows
