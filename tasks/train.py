"""``train``: one fold, or the refit on all that is not held out, as one Prefect task and one MLflow run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.errors import TrackingError, WeightsError
from cxr_core.params import TrainParams
from cxr_core.prepare.store import open_store
from cxr_core.split.folds import members, read_split
from cxr_core.train.device import device_name, open_device
from cxr_core.train.fold import FoldResult, train_fold
from cxr_core.train.key import TrainKey, identity_of
from cxr_core.train.stopping import refit_epochs
from tasks.adapters.runlog import Run as Log
from tasks.adapters.store import is_away
from tasks.data import DataVersion
from tasks.events import note, stage_done, stage_started
from tasks.live import Steps, progress_bar
from tasks.plan import Plan
from tasks.publisher import Publisher
from tasks.resume import Held, hold
from tasks.run import Run
from tasks.stores import initial_weights, tracker_of
from tasks.trained import (
    Trained,
    begin_run,
    find_trained,
    log_result,
    reused_words,
    score_words,
    stage_name,
)

__all__ = ["epochs_of_refit", "train", "train_here"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """One training to be done."""

    run: Run
    plan: Plan
    data: DataVersion
    parent: str
    fold: int | None
    epochs: int | None
    held: Held


@task(name="train", task_run_name="train {fold}", cache_policy=NO_CACHE)
def train(run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None, epochs: int | None = None) -> Trained:
    """Train a fold, or find the finished run that has."""
    with progress_bar(stage_name(fold, len(plan.folds))):
        return train_here(run, plan, data, parent, fold, epochs)


def train_here(
    run: Run, plan: Plan, data: DataVersion, parent: str, fold: int | None, epochs: int | None = None
) -> Trained:
    """The task's work, without Prefect: what a worker process calls.

    Args:
        run: The retrain.
        plan: What it trains.
        data: What its data is called.
        parent: Its MLflow run.
        fold: Which training; None for the refit.
        epochs: How many, where that is not for the parameters to say.
    """
    stage = stage_name(fold, len(plan.folds))
    stage_started(stage)
    key = plan.of(fold)
    identity = identity_of(key, device_name=device_name(open_device(key.parts["device"])))
    with hold(run.home, identity, stage) as held:
        if trained := _found(run, plan, fold, stage):
            held.done()
            stage_done(stage, reused_words(trained))
            return trained
        work = _Work(run=run, plan=plan, data=data, parent=parent, fold=fold, epochs=epochs, held=held)
        trained = _train(work)
        held.done()
    stage_done(stage, f"{trained.epochs} epochs{score_words(trained)}")
    return trained


def epochs_of_refit(params: TrainParams, folds: Sequence[Trained]) -> int | None:
    """Without validation images a refit cannot stop early by itself: it trains for as long as the folds did.

    None where folds do not stop early either.
    """
    return None if params.patience is None else refit_epochs([each.epochs for each in folds])


def _train(work: _Work) -> Trained:
    """Train in the MLflow run that this training has, or in a new one."""
    run, held, key = work.run, work.held, work.plan.of(work.fold)
    dealt, store = read_split(run.path), open_store(run.path)
    parts, params = members(dealt, work.fold), _as_named(run.params.train, key)

    def begin() -> Log:
        return begin_run(run, work.plan, work.data, work.parent, work.fold, held)

    def fail(log: Log, error: BaseException) -> None:
        tracker_of(run.home).fail(log, error)

    publisher = Publisher(held.journal(), begin=begin, fail=fail, stage=held.stage)
    with publisher:
        result = train_fold(
            store.images,
            dealt.labels,
            train_idx=parts.train,
            val_idx=parts.validation,
            test_idx=parts.test,
            fold=work.fold,
            params=params,
            checkpoint_path=held.folder / "model.safetensors",
            cache=run.home.weights_cache,
            registry=initial_weights(run),
            epochs=work.epochs,
            on_epoch=publisher.add,
            on_step=Steps(held.stage, params).tell,
            resumable=held.resumable(),
        )
        _check_weights(key, result)
        ended_ms = time.time_ns() // 1_000_000

        def last(log: Log) -> Trained:
            trained = log_result(log, run, key, result, ended_ms=ended_ms)
            tracker_of(run.home).finish(log)
            return trained

        return publisher.finish(last)


def _as_named(params: TrainParams, key: TrainKey) -> TrainParams:
    """The parameters with what the key says ``auto`` came to, whatever it would come to where the fold is trained."""
    return params.replace(device=key.parts["device"], precision=key.parts["precision"])


def _check_weights(key: TrainKey, result: FoldResult) -> None:
    """An alias or a file may move while folds train; a fold must have started from what its key says."""
    if result.weights.identity != key.parts["weights"]:
        raise WeightsError(
            f"Expected initial weights {key.parts['weights']}; training started from {result.weights.identity}.",
            reason="weights_moved",
            hint="Run `cxr retrain` again: it starts every fold from what is there now.",
        )


def _found(run: Run, plan: Plan, fold: int | None, stage: str) -> Trained | None:
    try:
        return find_trained(run, plan, fold, passed_over=partial(note, stage))
    except TrackingError as error:
        if not is_away(error):
            raise
        note(stage, f"MLflow does not answer ({error.reason}); trains without knowing whether an earlier run has")
        return None
