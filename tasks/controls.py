"""``controls``: what must fail for a retrain's figures to be believed, and the temperature its probabilities need."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.evaluate.calibrate import calibrate
from cxr_core.evaluate.controls import measure_controls
from cxr_core.evaluate.frozen import Look, look
from cxr_core.evaluate.predictions import Prediction, predictions_of
from cxr_core.evaluate.proofs import Calibration, Controls
from cxr_core.model import checkpoint
from cxr_core.model.architectures import facts
from cxr_core.prepare.store import Store, open_store
from cxr_core.split.folds import Split, members, read_split
from cxr_core.train.loop import reproducible
from tasks.adapters.tracking import Tracker
from tasks.events import note, progress, stage_done, stage_started
from tasks.predictions import fold_predictions
from tasks.run import Run
from tasks.stores import tracker_of
from tasks.trained import WEIGHTS, Trained

__all__ = ["Belief", "controls"]

_STAGE = "controls"


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """What is measured beside the figures: the controls, and the temperature with what it does."""

    controls: Controls
    calibration: Calibration


@task(name="controls", cache_policy=NO_CACHE)
def controls(run: Run, parent: str, folds: Sequence[Trained]) -> Belief:
    """Show each fold's network its validation and test images once more; calibrate, and run every control."""
    stage_started(_STAGE)
    began = time.monotonic()
    tracker, dealt, store = tracker_of(run.home), read_split(run.path), open_store(run.path)
    looks = _look(run, tracker, dealt, store, folds)
    tested = fold_predictions(run, folds)
    progress(_STAGE, len(folds), len(folds) + 1, "rim, blanked lungs, thumbnails, source, permuted labels")
    found = Belief(
        controls=measure_controls(store.images, dealt, tested, looks, run.params.evaluate),
        calibration=calibrate(_validation(run, dealt, looks), tested, run.params.evaluate),
    )
    _tell(found, _log_cost(tracker, parent, folds, time.monotonic() - began))
    return found


def _look(run: Run, tracker: Tracker, dealt: Split, store: Store, folds: Sequence[Trained]) -> dict[int, Look]:
    looks: dict[int, Look] = {}
    with tempfile.TemporaryDirectory() as scratch, reproducible(threads=run.params.train.threads):
        for number, fold in enumerate(folds):
            progress(_STAGE, number, len(folds) + 1, f"fold {number + 1}")
            path = tracker.fetch(fold.run_id, WEIGHTS, Path(scratch) / "weights.safetensors")
            trained = checkpoint.read(path)
            network, part = checkpoint.restore(trained), members(dealt, number)
            looks[number] = look(
                network,
                network.get_submodule(facts(trained.about.architecture).features),
                store.images,
                np.concatenate([part.validation, part.test]),
                precision=trained.about.precision,
                batch_size=run.params.train.batch_size,
            )
    return looks


def _validation(run: Run, dealt: Split, looks: dict[int, Look]) -> list[Prediction]:
    """What each fold's network says of its validation images."""
    cohort = read_cohort(run.path / COHORT_PATH)
    rows: list[Prediction] = []
    for fold, seen in looks.items():
        n = len(members(dealt, fold).validation)
        rows += predictions_of(
            cohort,
            fold=fold,
            test=seen.rows[:n],
            probabilities=seen.probabilities[:n],
            leak_free=[False] * len(cohort),
        )
    return rows


def _log_cost(tracker: Tracker, parent: str, folds: Sequence[Trained], seconds: float) -> float:
    """Log what the controls took; returns their share of the seconds that training the folds took."""
    trained = sum(tracker.read(fold.run_id).metrics.get("training_seconds", 0.0) for fold in folds)
    share = seconds / trained if trained else 0.0
    tracker.attach(parent).metrics({"controls.seconds": seconds, "controls.share_of_training": share})
    return share


def _tell(found: Belief, share: float) -> None:
    pictures = " · ".join(f"{each.name} {each.verdict}" for each in found.controls.pictures)
    temperature = found.calibration.temperature
    served = "no temperature" if temperature.value is None else f"temperature {temperature.value:.2f}"
    probe, permuted = found.controls.source_probe.verdict, found.controls.permuted_labels.verdict
    for each in found.controls.pictures:
        if each.verdict != "beaten":
            note(_STAGE, f"{each.name}: {each.verdict}. {each.why}")
    words = f"{pictures}; source {probe}; permuted labels {permuted}; {served}; {share:.0%} of the folds' training"
    stage_done(_STAGE, words)
