"""What MLflow holds of a retrain: a parent run, a child a fold, and everything that says what they were made from."""

from __future__ import annotations

import json
import re

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.walk import FOLDS, QUOTA, WHO, Retrained

SHA256 = r"sha256:[0-9a-f]{64}"


@pytest.fixture(scope="module")
def client(promoted: Retrained) -> MlflowClient:
    return MlflowClient(f"sqlite:///{promoted.place.home}/mlflow/mlflow.db")


@pytest.fixture(scope="module")
def parent(client: MlflowClient, promoted: Retrained) -> Run:
    return client.get_run(promoted.report["run"])


@pytest.fixture(scope="module")
def children(client: MlflowClient, parent: Run) -> list[Run]:
    found = client.search_runs(
        [parent.info.experiment_id],
        f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'",
        order_by=["attributes.start_time"],
    )
    return list(found)


def artifacts(client: MlflowClient, run: Run, folder: str | None = None) -> set[str]:
    return {one.path for one in client.list_artifacts(run.info.run_id, folder)}


def test_a_retrain_is_a_parent_with_a_child_a_fold_and_one_for_the_refit(parent: Run, children: list[Run]) -> None:
    assert [child.data.tags["cxr.kind"] for child in children] == ["fold"] * FOLDS + ["refit"]
    assert [child.data.tags["cxr.fold"] for child in children] == [*map(str, range(FOLDS)), "refit"]
    assert parent.data.tags["cxr.kind"] == "retrain"
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}


def test_every_run_names_commit_data_protocol_person_and_program(
    parent: Run, children: list[Run], promoted: Retrained
) -> None:
    for run in (parent, *children):
        tags = run.data.tags
        assert tags["cxr.commit"] == tags["mlflow.source.git.commit"] == promoted.report["commit"]
        assert re.fullmatch(SHA256, tags["cxr.data"])
        assert re.fullmatch(SHA256, tags["cxr.key"])
        assert (tags["cxr.protocol"], tags["cxr.synthetic"]) == ("paper", "true")
        assert (tags["mlflow.user"], tags["mlflow.source.name"]) == (WHO, "cxr retrain")


def test_the_parent_has_every_parameter_as_it_was_used(parent: Run) -> None:
    params = parent.data.params
    assert (params["train.seed"], params["train.architecture"], params["split.folds"]) == ("7", "resnet18", str(FOLDS))
    assert params["curate.quota.covid"] == str(QUOTA)
    assert {name.split(".")[0] for name in params} == {
        *("schema", "ingest", "curate", "prepare", "split", "train", "pretrain", "evaluate", "explain")
    }


def test_each_fold_has_its_parameters_and_one_point_an_epoch(client: MlflowClient, children: list[Run]) -> None:
    for run in children:
        assert run.data.params["train.learning_rate"] == "1e-06"
        wanted = {"train_loss"} if run.data.tags["cxr.fold"] == "refit" else {"train_loss", "val_loss", "error_rate"}
        for name in (*wanted, "seconds"):
            points = client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in points] == [1], name
        assert run.data.metrics["training_seconds"] == run.data.metrics["seconds"]


def test_the_controls_cost_is_told_as_a_share_of_all_epochs_of_all_folds(parent: Run, children: list[Run]) -> None:
    metrics = parent.data.metrics
    trained = sum(run.data.metrics["training_seconds"] for run in children if run.data.tags["cxr.fold"] != "refit")
    assert metrics["controls.share_of_training"] == pytest.approx(metrics["controls.seconds"] / trained)


def test_each_fold_has_its_datasets_with_the_data_commit_as_their_source(
    children: list[Run], promoted: Retrained
) -> None:
    *folds, refit = children
    # MLflow keeps one row a name and digest: the same images again keep the commit that had them first.
    known = promoted.place.git("for-each-ref", "--format=%(objectname)", "refs/cxr/runs").split()
    assert [one.dataset.name for one in refit.inputs.dataset_inputs] == ["refit train"]
    for number, run in enumerate(folds, start=1):
        by_name = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
        assert set(by_name) == {f"fold {number} {part}" for part in ("train", "validation", "test")}
        for dataset in by_name.values():
            source = json.loads(dataset.source)
            assert source["commit"] in known
            assert re.fullmatch(SHA256, source["digest"])
            assert source["digest"].startswith(f"sha256:{dataset.digest}")
            assert dataset.source_type == "cxr_data_commit"


def test_each_training_has_system_metrics(children: list[Run]) -> None:
    for run in children:
        assert any(name.startswith("system/cpu") for name in run.data.metrics), run.info.run_name


def test_the_parent_has_figures_tables_and_evidence_with_their_digests(client: MlflowClient, parent: Run) -> None:
    figures = {f"figures/{name}.png" for name in ("curves", "roc", "confusion", "confusion-leak-free")}
    figures |= {f"figures/gradcam-{slug}.png" for slug in ("covid", "viral", "normal")}
    assert figures <= artifacts(client, parent, "figures")
    files = {"evidence.json", "predictions.csv", "figures.md", "table2.md", "table2.csv", "key.json"}
    assert files <= artifacts(client, parent)
    for name in figures | files:
        assert re.fullmatch(SHA256, parent.data.tags[f"cxr.digest.{name}"]), name


def test_the_parent_has_accuracy_and_each_class_with_intervals(parent: Run, promoted: Retrained) -> None:
    metrics = parent.data.metrics
    assert metrics["all.accuracy"] == promoted.report["accuracy"]["value"]
    for name in ("accuracy", "macro_auc", "covid.sensitivity", "viral.specificity", "normal.auc"):
        assert metrics[f"all.{name}.low"] <= metrics[f"all.{name}"] <= metrics[f"all.{name}.high"]
        assert metrics[f"leak_free.{name}.n"] <= metrics[f"all.{name}.n"] <= QUOTA * 3


def test_each_fold_keeps_weights_as_safetensors_and_its_predictions(client: MlflowClient, children: list[Run]) -> None:
    for run in children:
        assert artifacts(client, run, "weights") == {"weights/model.safetensors"}
        assert ("predictions.csv" in artifacts(client, run)) == (run.data.tags["cxr.fold"] != "refit")


def test_the_version_names_commit_data_evidence_weights_and_the_caution(
    client: MlflowClient, parent: Run, promoted: Retrained
) -> None:
    version = client.get_model_version_by_alias("cxr-resnet34", "champion")
    assert version.run_id == promoted.report["run"]
    assert version.tags["cxr.commit"] == promoted.report["commit"]
    assert version.tags["cxr.evidence"] == parent.data.tags["cxr.evidence"]
    assert version.tags["cxr.data"] == parent.data.tags["cxr.data"]
    assert re.fullmatch(SHA256, version.tags["cxr.weights"])
    assert "not a medical device" in version.description
