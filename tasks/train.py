"""``train``: one fold, or the refit on all that is not held out, as one Prefect task and one MLflow run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.digests import digest_value
from cxr_core.errors import WeightsError
from cxr_core.evaluate.predictions import predictions_csv, predictions_of
from cxr_core.prepare.store import open_store
from cxr_core.split.folds import Members, Split, leak_free, members, read_split
from cxr_core.train.fold import FoldResult, train_fold
from cxr_core.train.key import TrainKey
from cxr_core.train.progress import Progress
from tasks.adapters.records import DatasetRef, Provenance, RunRecord
from tasks.adapters.runlog import Run as Log
from tasks.data import DataVersion
from tasks.events import progress, stage_done, stage_started
from tasks.plan import Plan
from tasks.resume import Held, Publisher, hold
from tasks.run import Run, actor
from tasks.stores import initial_weights, tracker_of

__all__ = [
    "EPOCHS_FILE",
    "KEY_FILE",
    "PREDICTIONS_FILE",
    "PROBABILITIES_FILE",
    "WEIGHTS",
    "Trained",
    "find_trained",
    "provenance",
    "reused_words",
    "stage_name",
    "train",
    "train_here",
]

WEIGHTS = "weights/model.safetensors"
PREDICTIONS_FILE = "predictions.csv"
PROBABILITIES_FILE = "probabilities.json"
"""Of the test images, in the order that the key fixes: what a later run reuses, under its own cohort's facts."""
EPOCHS_FILE = "epochs.json"
KEY_FILE = "key.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        fold: Its number; None for the refit.
        run_id: Its MLflow run.
        reused: Whether an earlier run with the same key was found.
        key: Its cache key.
        n: Test images; for the refit the held-out ones, of which there may be none.
        correct: Those predicted right.
    """

    fold: int | None
    run_id: str
    reused: bool
    key: str
    n: int
    correct: int


@task(name="train", task_run_name="train {fold}", cache_policy=NO_CACHE)
def train(run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None) -> Trained:
    """Train a fold, or find the finished run that has."""
    return train_here(run, plan, data, parent, fold)


def train_here(run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None) -> Trained:
    """The task's work, without Prefect: what a worker process calls."""
    stage = stage_name(fold, len(plan.folds))
    stage_started(stage)
    with hold(run.home, plan.of(fold).digest, stage) as held:
        if trained := find_trained(run, plan, fold):
            held.done()
            stage_done(stage, reused_words(trained))
            return trained
        trained = _train_held(run, plan, data, parent, fold, held, stage)
    stage_done(stage, f"{run.params.train.epochs} epochs{_score(trained)}")
    return trained


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


def find_trained(run: Run, plan: Plan, fold: int | None) -> Trained | None:
    """A finished, undeleted run with this key whose every artifact is whole; None where there is none."""
    files = (WEIGHTS, EPOCHS_FILE, KEY_FILE)
    wanted = (*files, PROBABILITIES_FILE) if plan.tests(fold) else files
    found = tracker_of(run.home).find(plan.of(fold).digest, artifacts=wanted)
    return None if found is None else _reused(found, fold)


def _reused(found: RunRecord, fold: int | None) -> Trained:
    n = int(found.metrics.get("test_n", 0))
    correct = round(found.metrics.get("test_accuracy", 0.0) * n)
    return Trained(fold=fold, run_id=found.run_id, reused=True, key=found.tags["cxr.key"], n=n, correct=correct)


def stage_name(fold: int | None, folds: int) -> str:
    """How a training is called where its progress is told: ``train 2/5``, ``train refit``."""
    return f"train {'refit' if fold is None else f'{fold + 1}/{folds}'}"


def reused_words(trained: Trained) -> str:
    """How a reused training is told."""
    return f"reused run {trained.run_id[:8]}: nothing that it was made from has changed{_score(trained)}"


def _train_held(
    run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None, held: Held, stage: str
) -> Trained:
    """Train in the MLflow run that this training has, or in a new one; then let go of its states."""
    with (
        tracker_of(run.home).run(
            plan.name_of(fold),
            kind="refit" if fold is None else "fold",
            provenance=provenance(run, plan, data),
            parent=parent,
            key=plan.of(fold).digest,
            resume=held.run_id,
        ) as log,
        log.system_metrics(),
    ):
        held.belongs_to(log)
        trained = _train(run, plan, data, fold, log, held, stage)
    held.done()
    return trained


def _train(run: Run, plan: Plan, data: DataVersion, fold: int | None, log: Log, held: Held, stage: str) -> Trained:
    dealt, store = read_split(run.path), open_store(run.path)
    parts = members(dealt, fold)
    key = plan.of(fold)
    log.params({"train": run.params.train.model_dump(mode="json"), "size": run.params.prepare.size})
    log.tags({"cxr.fold": "refit" if fold is None else str(fold)})
    log.datasets(_datasets(key.parts, parts, data, fold))
    with Publisher(held.journal(), log, stage) as publisher:
        result = train_fold(
            store.images,
            dealt.labels,
            train_idx=parts.train,
            val_idx=parts.validation,
            test_idx=parts.test,
            fold=fold,
            params=run.params.train,
            checkpoint_path=held.folder / "model.safetensors",
            cache=run.home.weights_cache,
            registry=initial_weights(run),
            on_epoch=publisher.add,
            on_step=lambda step: _show_step(stage, step),
            resumable=held.resumable(stage),
        )
        _check_weights(key, result)
        publisher.drain()
    trained = _log_result(run, dealt, parts, result, log, key.digest)
    # Last, so that a run with its key's parts has everything else too.
    log.json(KEY_FILE, key.parts)
    return trained


def _check_weights(key: TrainKey, result: FoldResult) -> None:
    """An alias or a file may move while folds train; a fold must have started from what its key says."""
    if result.weights.identity != key.parts["weights"]:
        raise WeightsError(
            f"Expected initial weights {key.parts['weights']}; training started from {result.weights.identity}.",
            reason="weights_moved",
            hint="Run `cxr retrain` again: it starts every fold from what is there now.",
        )


def _show_step(stage: str, step: Progress) -> None:
    progress(stage, step.done, step.total, f"epoch {step.epoch}, {step.images_per_second:.0f} images/s")


def _log_result(run: Run, dealt: Split, parts: Members, result: FoldResult, log: Log, key: str) -> Trained:
    n = correct = 0
    fold = result.fold
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
        log.metrics({"test_accuracy": correct / n, "test_n": n})
    log.json(EPOCHS_FILE, [dataclasses.asdict(epoch) for epoch in result.epochs])
    log.tags(
        {
            "cxr.weights": result.digest,
            "cxr.initial_weights": result.weights.identity,
            "cxr.precision": result.precision,
        }
    )
    log.metrics({"seconds": result.seconds})
    log.file(WEIGHTS, result.checkpoint)
    return Trained(fold=fold, run_id=log.id, reused=False, key=key, n=n, correct=correct)


def _datasets(key: dict[str, object], parts: Members, data: DataVersion, fold: int | None) -> list[DatasetRef]:
    name, tests = ("refit", "holdout") if fold is None else (f"fold {fold + 1}", "test")
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    contexts = {"train": "training", "validation": "validation", "test": "test"}
    return [
        DatasetRef(
            name=f"{name} {tests if part == 'test' else part}",
            digest=digest_value(key[part]),
            commit=data.commit,
            context=contexts[part],
            rows=len(indices),
        )
        for part, indices in rows.items()
        if len(indices)
    ]


def _score(trained: Trained) -> str:
    if not trained.n:
        return ""
    return f"; accuracy {trained.correct / trained.n:.3f} ({trained.correct} of {trained.n})"
