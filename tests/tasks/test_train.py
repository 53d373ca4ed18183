"""Finished work is found by its key; what is gone, or no longer whole, is done again, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cxr_core.errors import WeightsError
from tasks.data import DataVersion
from tasks.evidence import read_predictions
from tasks.plan import make_plan
from tasks.retrains import find_retrain, open_retrain
from tasks.run import Run, open_run
from tasks.stores import tracker_of
from tasks.train import epochs_of_refit, train
from tasks.trained import Trained
from tests.walk import FOLDS, Place, Retrained

Stand = Callable[[Place], Place]


@pytest.fixture
def own(first: Retrained, again: Retrained, tmp_path: Path, stand: Stand) -> Place:
    return stand(first.place.copy(tmp_path))


@pytest.fixture
def run(own: Place) -> Iterator[Run]:
    """The first retrain's parameters, in its workspace, where every data stage is up to date."""
    with open_run(own.settings, program="cxr retrain", folder=None, unpinned=False) as run:
        yield run


def client(place: Place) -> MlflowClient:
    return MlflowClient(f"sqlite:///{place.home}/mlflow/mlflow.db")


def test_the_same_plan_finds_the_whole_retrain(first: Retrained, run: Run) -> None:
    found = find_retrain(run, make_plan(run))
    assert found is not None
    assert found.parent == first.report["run"]
    assert [fold.run_id for fold in found.folds] == [fold["run_id"] for fold in first.report["folds"]]
    assert found.version.version == 1


def test_a_deleted_fold_is_trained_again_and_the_others_are_reused(first: Retrained, own: Place, run: Run) -> None:
    old = first.report["folds"]
    client(own).delete_run(old[1]["run_id"])
    plan = make_plan(run)
    assert find_retrain(run, plan) is None
    data = DataVersion(commit=first.report["commit"], digest="sha256:" + "0" * 64)
    with open_retrain(run, plan, data, {"counts": {}}) as parent:
        trained = [train.fn(run, plan, data, parent, fold) for fold in (*range(FOLDS), None)]
    assert [one.reused for one in trained] == [True, False, True, True]
    assert trained[1].key == old[1]["key"]
    assert trained[1].run_id != old[1]["run_id"]
    # The same images, code and seed give the same answers, bit for bit.
    tracker = tracker_of(run.home)
    assert read_predictions(tracker, trained[1].run_id) == read_predictions(tracker, old[1]["run_id"])


def test_a_fold_whose_weights_have_changed_is_not_reused(first: Retrained, own: Place, run: Run) -> None:
    fold = first.report["folds"][0]["run_id"]
    client(own).set_tag(fold, "cxr.digest.weights/model.safetensors", "sha256:" + "0" * 64)
    assert find_retrain(run, make_plan(run)) is None


def test_a_retrain_whose_model_was_never_registered_is_not_taken_for_whole(own: Place, run: Run) -> None:
    client(own).delete_model_version("cxr-resnet34", "1")
    assert find_retrain(run, make_plan(run)) is None


def test_a_refit_after_folds_that_may_stop_early_is_named_by_them(run: Run) -> None:
    plan = make_plan(run)
    assert plan.refit.parts["follows"] == []
    stopping = run.params.train.replace(patience=1)
    early = make_plan(dataclasses.replace(run, params=run.params.replace(train=stopping)))
    assert early.refit.parts["follows"] == [fold.digest for fold in early.folds]
    kept = [
        Trained(fold=fold, run_id="", reused=False, key="", epochs=epochs, n=1, correct=1)
        for fold, epochs in enumerate((2, 9, 4))
    ]
    assert epochs_of_refit(stopping, kept) == 4
    assert epochs_of_refit(run.params.train, kept) is None


def test_weights_that_cannot_be_downloaded_fail_the_run_with_the_file_to_place(
    own: Place, stand: Stand, first: Retrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with open_run([*own.settings, "train.weights=imagenet"], program="cxr retrain", folder=None, unpinned=False) as run:
        plan = make_plan(run)
        data = DataVersion(commit=first.report["commit"], digest="sha256:" + "0" * 64)
        with (
            pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth") as refused,
            open_retrain(run, plan, data, {"counts": {}}) as parent,
        ):
            train.fn(run, plan, data, parent, 0)
    assert refused.value.reason == "weights_unreachable"
    assert str(own.home / "weights") in refused.value.hint
    assert "--set train.weights=none" in refused.value.hint
    newest = client(own).search_runs([tracker_of(run.home).experiment_id], "attributes.status = 'FAILED'")
    assert {one.data.tags["cxr.reason"] for one in newest} == {"weights_unreachable"}
    assert {one.data.tags["cxr.kind"] for one in newest} == {"retrain", "fold"}
