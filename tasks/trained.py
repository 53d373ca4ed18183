"""A training as MLflow holds it: its run while it is made, found again by its key, and what it is told at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.digests import digest_value
from cxr_core.evaluate.predictions import predictions_csv, predictions_of
from cxr_core.split.folds import Members, leak_free, members, read_split
from cxr_core.train.fold import FoldResult
from cxr_core.train.key import TrainKey
from tasks.adapters.records import DatasetRef, Provenance, RunRecord
from tasks.adapters.runlog import Run as Log
from tasks.data import DataVersion
from tasks.plan import Plan
from tasks.resume import Held, may_change
from tasks.run import Run, actor
from tasks.stores import tracker_of

__all__ = [
    "CHANGED_TAG",
    "EPOCHS_FILE",
    "KEY_FILE",
    "PREDICTIONS_FILE",
    "PROBABILITIES_FILE",
    "WEIGHTS",
    "Trained",
    "begin_run",
    "find_trained",
    "log_result",
    "provenance",
    "reused_words",
    "score_words",
    "stage_name",
]

WEIGHTS = "weights/model.safetensors"
PREDICTIONS_FILE = "predictions.csv"
PROBABILITIES_FILE = "probabilities.json"
"""Of the test images, in the order that the key fixes: what a later run reuses, under its own cohort's facts."""
EPOCHS_FILE = "epochs.json"
KEY_FILE = "key.json"
CHANGED_TAG = "cxr.machine_changed"
"""What changed under a training that went on all the same; its weights are not those that its key promises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        fold: Its number; None for the refit.
        run_id: Its MLflow run.
        reused: Whether an earlier run with the same key was found.
        key: Its cache key.
        epochs: How many epochs made the weights that were kept.
        n: Test images; for the refit the held-out ones, of which there may be none.
        correct: Those predicted right.
    """

    fold: int | None
    run_id: str
    reused: bool
    key: str
    epochs: int
    n: int
    correct: int


def provenance(run: Run, plan: Plan, data: DataVersion) -> Provenance:
    """What every MLflow run of this retrain says of itself."""
    return Provenance(
        commit=data.commit,
        data=data.digest,
        protocol=run.params.split.protocol,
        synthetic=plan.synthetic,
        program=run.program,
        user=actor(),
    )


def find_trained(
    run: Run, plan: Plan, fold: int | None, *, passed_over: Callable[[str], None] = lambda words: None
) -> Trained | None:
    """A finished, undeleted run with this key whose every artifact is whole; None where there is none.

    One that went on after its machine had changed has not the bits that the key promises: it is found only where
    ``CXR_RESUME_CHANGED`` asks for such.

    Args:
        run: The retrain.
        plan: What it trains.
        fold: Which training; None for the refit.
        passed_over: Called with the reason, in words, where a run with this key is not whole.

    Raises:
        TrackingError: MLflow does not answer.
    """
    files = (WEIGHTS, EPOCHS_FILE, KEY_FILE)
    wanted = (*files, PROBABILITIES_FILE) if plan.tests(fold) else files
    without = () if may_change() else (CHANGED_TAG,)
    found = tracker_of(run.home).find(plan.of(fold).digest, artifacts=wanted, without=without, passed_over=passed_over)
    return None if found is None else _reused(found, fold)


def begin_run(run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None, held: Held) -> Log:
    """The training's run: the one that an earlier process began, or a new one. May be called again where it failed."""
    key = plan.of(fold)
    tracker = tracker_of(run.home)
    kind = "refit" if fold is None else "fold"
    params = {"train": run.params.train.plain(), "size": run.params.prepare.size}
    log = tracker.begin(
        plan.name_of(fold),
        kind=kind,
        provenance=provenance(run, plan, data),
        parent=parent,
        key=key.digest,
        # Another's points may be those of another machine: this folder's journal knows nothing of them.
        resume=tracker.unfinished(
            {"cxr.key": key.digest, "cxr.kind": kind}, params=params, known=held.run_id, told=False
        ),
    )
    held.belongs_to(log)
    log.params(params)
    log.tags({"cxr.fold": "refit" if fold is None else str(fold), "cxr.device": held.identity["device"]})
    if changes := held.changes:
        log.tags({CHANGED_TAG: "; ".join(f"{name}: {change}" for name, change in changes.items())})
    log.datasets(_datasets(key, members(read_split(run.path), fold), data, fold))
    return log


def log_result(log: Log, run: Run, key: TrainKey, result: FoldResult, *, ended_ms: int) -> Trained:
    """Tell a training's run what came of it; called again with the same, it says the same.

    Args:
        log: The run.
        run: The retrain.
        key: Of the training.
        result: What it gave.
        ended_ms: When, milliseconds since 1970.
    """
    n = correct = 0
    fold = result.fold
    dealt = read_split(run.path)
    parts = members(dealt, fold)
    if len(parts.test):
        rows = predictions_of(
            read_cohort(run.path / COHORT_PATH),
            fold=fold,
            test=parts.test,
            probabilities=result.predictions,
            leak_free=leak_free(dealt),
        )
        n, correct = len(rows), sum(row.correct for row in rows)
        log.text(PREDICTIONS_FILE, predictions_csv(rows))
        log.json(PROBABILITIES_FILE, result.predictions.tolist())
        log.metrics({"test_accuracy": correct / n, "test_n": n}, timestamp_ms=ended_ms)
    log.json(EPOCHS_FILE, [dataclasses.asdict(epoch) for epoch in result.epochs])
    log.tags(
        {
            "cxr.weights": result.digest,
            "cxr.initial_weights": result.weights.identity,
            "cxr.precision": result.precision,
        }
    )
    # Of every epoch, those before it was stopped and gone on with included.
    seconds = sum(epoch.seconds for epoch in result.epochs)
    log.metrics({"training_seconds": seconds, "epochs": result.kept}, timestamp_ms=ended_ms)
    log.file(WEIGHTS, result.checkpoint)
    # Last, so that a run with its key's parts has everything else too.
    log.json(KEY_FILE, key.parts)
    return Trained(fold=fold, run_id=log.id, reused=False, key=key.digest, epochs=result.kept, n=n, correct=correct)


def stage_name(fold: int | None, folds: int) -> str:
    """How a training is called where its progress is told: ``train 2/5``, ``train refit``."""
    return f"train {'refit' if fold is None else f'{fold + 1}/{folds}'}"


def reused_words(trained: Trained) -> str:
    """How a reused training is told."""
    return f"reused run {trained.run_id[:8]}: nothing that it was made from has changed{score_words(trained)}"


def score_words(trained: Trained) -> str:
    """Its accuracy, where it tested anything."""
    if not trained.n:
        return ""
    return f"; accuracy {trained.correct / trained.n:.3f} ({trained.correct} of {trained.n})"


def _reused(found: RunRecord, fold: int | None) -> Trained:
    n = int(found.metrics.get("test_n", 0))
    correct = round(found.metrics.get("test_accuracy", 0.0) * n)
    return Trained(
        fold=fold,
        run_id=found.run_id,
        reused=True,
        key=found.tags["cxr.key"],
        epochs=int(found.metrics["epochs"]),
        n=n,
        correct=correct,
    )


def _datasets(key: TrainKey, parts: Members, data: DataVersion, fold: int | None) -> list[DatasetRef]:
    name, tests = ("refit", "holdout") if fold is None else (f"fold {fold + 1}", "test")
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    contexts = {"train": "training", "validation": "validation", "test": "test"}
    return [
        DatasetRef(
            name=f"{name} {tests if part == 'test' else part}",
            digest=digest_value(key.parts[part]),
            commit=data.commit,
            context=contexts[part],
            rows=len(indices),
        )
        for part, indices in rows.items()
        if len(indices)
    ]
