from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import ClassVar

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.errors import TrackingError, TrainingError
from tasks.adapters.lineage import DataCommitSource
from tasks.adapters.records import DatasetRef
from tasks.adapters.runlog import flattened
from tasks.adapters.tracking import Tracker
from tests.tasks.adapters.mlflow_stores import PROVENANCE, store_at

ROOT = Path(__file__).resolve().parents[3]
KEY = "sha256:" + "c" * 64


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return store_at(tmp_path_factory.mktemp("store"))


def test_a_run_keeps_what_was_written_to_it(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run("retrain r1", kind="retrain", provenance=PROVENANCE) as run:
        run.params({"schema": 1, "train": {"epochs": 10, "weights": "none"}, "curate": {"quota": {"covid": None}}})
        for epoch, loss in enumerate([0.9, 0.5, 0.4], start=1):
            run.metrics({"train/loss": loss}, step=epoch, timestamp_ms=1000 + epoch)
        digest = run.json("evidence/evidence.json", {"n": 781})
    record = tracker.read(run.id)
    assert (record.name, record.status, record.parent) == ("retrain r1", "FINISHED", None)
    assert record.params["train.epochs"] == "10"
    assert record.params["train.weights"] == "none"
    assert record.params["curate.quota.covid"] == "null"
    assert record.metrics["train/loss"] == 0.4
    assert [(point.step, point.value) for point in tracker.history(run.id, "train/loss")] == [
        (1, 0.9),
        (2, 0.5),
        (3, 0.4),
    ]
    assert record.digests == {"evidence/evidence.json": digest}
    fetched = tracker.fetch(run.id, "evidence/evidence.json", tmp_path / "deep" / "evidence.json")
    assert json.loads(fetched.read_text()) == {"n": 781}


def test_a_run_says_where_it_came_from_in_our_words_and_mlflows(tracker: Tracker) -> None:
    with tracker.run("retrain r2", kind="retrain", provenance=PROVENANCE) as run:
        pass
    tags = tracker.read(run.id).tags
    assert tags["cxr.commit"] == tags["mlflow.source.git.commit"] == "a" * 40
    assert tags["cxr.data"] == PROVENANCE.data
    assert (tags["cxr.kind"], tags["cxr.protocol"], tags["cxr.synthetic"]) == ("retrain", "grouped", "true")
    assert (tags["mlflow.source.name"], tags["mlflow.user"]) == ("cxr demo", "ada")


def test_the_same_point_sent_twice_is_kept_once(tracker: Tracker) -> None:
    with tracker.run("replayed", kind="fold", provenance=PROVENANCE) as run:
        for _ in range(2):
            run.metrics({"loss": 0.5}, step=1, timestamp_ms=1)
    assert len(tracker.history(run.id, "loss")) == 1


def test_a_metric_that_is_not_finite_is_refused_by_name(tracker: Tracker) -> None:
    with tracker.run("nan", kind="fold", provenance=PROVENANCE) as run:
        with pytest.raises(TrackingError, match="val/loss") as caught:
            run.metrics({"train/loss": 1.0, "val/loss": float("nan")}, step=1)
        assert caught.value.reason == "metric_not_finite"
    assert tracker.read(run.id).metrics == {}


def test_children_are_found_by_their_parent_and_written_by_another_client(tracker: Tracker) -> None:
    with tracker.run("retrain r3", kind="retrain", provenance=PROVENANCE) as parent:
        with tracker.run("fold 0", kind="fold", provenance=PROVENANCE, parent=parent.id) as child:
            pass
        Tracker(tracker.client, tracker.experiment_id).attach(parent.id).metrics({"accuracy": 0.8})
    assert [record.run_id for record in tracker.children(parent.id)] == [child.id]
    assert tracker.read(child.id).parent == parent.id
    assert tracker.read(parent.id).metrics == {"accuracy": 0.8}


def test_a_body_that_raises_leaves_a_failed_run_with_the_reason(tracker: Tracker) -> None:
    with (
        pytest.raises(TrainingError),
        tracker.run("broken", kind="fold", provenance=PROVENANCE) as run,
    ):
        raise TrainingError("The loss is NaN in epoch 2.", reason="loss_not_finite")
    record = tracker.read(run.id)
    assert (record.status, record.tags["cxr.reason"]) == ("FAILED", "loss_not_finite")
    assert "epoch 2" in record.tags["cxr.error"]


def test_an_interrupted_body_leaves_a_killed_run(tracker: Tracker) -> None:
    with pytest.raises(KeyboardInterrupt), tracker.run("stopped", kind="fold", provenance=PROVENANCE) as run:
        raise KeyboardInterrupt
    assert tracker.read(run.id).status == "KILLED"


class TestUnfinished:
    PARAMS: ClassVar = {"train": {"threads": 2, "precision": "auto"}}

    def stopped(self, tracker: Tracker, key: str) -> str:
        run = tracker.begin("f", kind="fold", provenance=PROVENANCE, key=key)
        run.params(self.PARAMS)
        tracker.fail(run, KeyboardInterrupt())
        return run.id

    def test_a_stopped_run_is_found_and_a_finished_one_is_not(self, tracker: Tracker) -> None:
        run_id = self.stopped(tracker, KEY + "u1")
        assert tracker.unfinished({"cxr.key": KEY + "u1"}, params=self.PARAMS) == run_id
        with tracker.run("f", kind="fold", provenance=PROVENANCE, key=KEY + "u1", resume=run_id) as run:
            assert run.id == run_id
        assert tracker.unfinished({"cxr.key": KEY + "u1"}, params=self.PARAMS) is None

    def test_one_whose_parameters_mlflow_would_refuse_to_change_is_passed_over(self, tracker: Tracker) -> None:
        self.stopped(tracker, KEY + "u2")
        asked = {"train": {"threads": 2, "precision": "fp32"}}
        assert tracker.unfinished({"cxr.key": KEY + "u2"}, params=asked) is None

    def test_one_that_is_at_work_is_left_to_its_own_process(self, tracker: Tracker) -> None:
        mine = tracker.begin("f", kind="fold", provenance=PROVENANCE, key=KEY + "u3")
        # Begun by this process, which did not hear the answer: it must not begin a second one.
        assert tracker.unfinished({"cxr.key": KEY + "u3"}, params=self.PARAMS) == mine.id
        mine.tags({"cxr.pid": "1"})
        assert tracker.unfinished({"cxr.key": KEY + "u3"}, params=self.PARAMS) is None
        assert tracker.unfinished({"cxr.key": KEY + "u3"}, params=self.PARAMS, known=mine.id) == mine.id
        tracker.finish(mine)

    def test_points_of_another_than_the_known_run_are_no_ground_to_go_on(self, tracker: Tracker) -> None:
        tags, bare = {"cxr.key": KEY + "u4"}, self.stopped(tracker, KEY + "u4")
        told = self.stopped(tracker, KEY + "u4")
        tracker.attach(told).metrics({"train_loss": 0.5}, step=1)
        tracker.attach(bare).metrics({"system/cpu_utilization_percentage": 50.0})
        assert tracker.unfinished(tags, params=self.PARAMS) == told
        assert tracker.unfinished(tags, params=self.PARAMS, told=False) == bare
        assert tracker.unfinished(tags, params=self.PARAMS, told=False, known=told) == told
        assert tracker.unfinished(tags, params=self.PARAMS, known=bare) == bare


def test_a_sampled_machine_has_system_metrics_at_once(tracker: Tracker) -> None:
    before = mlflow.get_tracking_uri()
    with tracker.run("sampled", kind="fold", provenance=PROVENANCE) as run:
        sample = run.sampler()
        sample()
        sample()
    points = tracker.history(run.id, "system/system_memory_usage_percentage")
    assert [point.step for point in points] == [0, 1]
    assert all(0 < point.value < 100 for point in points)
    assert mlflow.get_tracking_uri() == before


def test_an_unknown_run_is_refused(tracker: Tracker) -> None:
    with pytest.raises(TrackingError) as caught:
        tracker.read("0" * 32)
    assert caught.value.reason == "resource_does_not_exist"


class TestReuse:
    def finished(self, tracker: Tracker, key: str) -> str:
        with tracker.run("fold 0", kind="fold", provenance=PROVENANCE, key=key) as run:
            run.text("predictions.csv", "name,fold\n")
            run.data("checkpoint.safetensors", bytes(range(256)))
        return run.id

    def test_a_finished_run_with_whole_artifacts_is_found(self, tracker: Tracker) -> None:
        run_id = self.finished(tracker, KEY + "1")
        found = tracker.find(KEY + "1", artifacts=["predictions.csv", "checkpoint.safetensors"])
        assert found is not None
        assert found.run_id == run_id

    def test_the_newest_of_several_is_taken(self, tracker: Tracker) -> None:
        self.finished(tracker, KEY + "2")
        newest = self.finished(tracker, KEY + "2")
        found = tracker.find(KEY + "2", artifacts=["predictions.csv"])
        assert found is not None
        assert found.run_id == newest

    def test_one_with_a_tag_that_it_may_not_carry_is_passed_over(self, tracker: Tracker) -> None:
        plain = self.finished(tracker, KEY + "t")
        tracker.attach(self.finished(tracker, KEY + "t")).tags({"cxr.machine_changed": "threads: 2 → 1"})
        found = tracker.find(KEY + "t", artifacts=["predictions.csv"], without=("cxr.machine_changed",))
        assert found is not None
        assert found.run_id == plain

    def test_a_deleted_run_is_not_found(self, tracker: Tracker) -> None:
        tracker.client.delete_run(self.finished(tracker, KEY + "3"))
        assert tracker.find(KEY + "3", artifacts=[]) is None

    def test_a_failed_or_running_run_is_not_found(self, tracker: Tracker) -> None:
        with pytest.raises(ValueError, match="x"), tracker.run("f", kind="fold", provenance=PROVENANCE, key=KEY + "4"):
            raise ValueError("x")
        with tracker.run("f", kind="fold", provenance=PROVENANCE, key=KEY + "4"):
            assert tracker.find(KEY + "4", artifacts=[]) is None

    def test_an_artifact_never_logged_disqualifies_and_that_is_told(self, tracker: Tracker) -> None:
        run_id, told = self.finished(tracker, KEY + "5"), list[str]()
        files = ["predictions.csv", "history.json"]
        assert tracker.find(KEY + "5", artifacts=files, passed_over=told.append) is None
        (words,) = told
        assert words.startswith(f"run {run_id[:8]} cannot be reused: ")

    def test_a_deleted_artifact_disqualifies_and_the_older_run_steps_in(self, tracker: Tracker) -> None:
        older = self.finished(tracker, KEY + "6")
        newer = self.finished(tracker, KEY + "6")
        self.path(tracker, newer, "predictions.csv").unlink()
        found = tracker.find(KEY + "6", artifacts=["predictions.csv"])
        assert found is not None
        assert found.run_id == older

    @pytest.mark.parametrize("position", [0, 100, 255])
    def test_one_flipped_byte_disqualifies_and_is_never_handed_out(
        self, tracker: Tracker, tmp_path: Path, position: int
    ) -> None:
        run_id = self.finished(tracker, KEY + f"7{position}")
        path = self.path(tracker, run_id, "checkpoint.safetensors")
        damaged = bytearray(path.read_bytes())
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert tracker.find(KEY + f"7{position}", artifacts=["checkpoint.safetensors"]) is None
        with pytest.raises(TrackingError) as caught:
            tracker.fetch(run_id, "checkpoint.safetensors", tmp_path / "out")
        assert caught.value.reason == "artifact_changed"
        assert list(tmp_path.iterdir()) == []

    def test_a_quote_cannot_escape_into_the_filter(self, tracker: Tracker) -> None:
        with pytest.raises(TrackingError) as caught:
            tracker.find("' or attributes.status = 'FAILED", artifacts=[])
        assert caught.value.reason == "bad_search"

    def path(self, tracker: Tracker, run_id: str, name: str) -> Path:
        return Path(tracker.read(run_id).artifact_uri.removeprefix("file://")) / name


def test_the_description_is_a_table_that_no_value_can_break(tracker: Tracker) -> None:
    with tracker.run("described", kind="retrain", provenance=PROVENANCE) as run:
        run.describe({"Accuracy": "0.83 (95 % 0.80–0.86)", "Cohort": "a | b\nc"}, text="**Refused.**")
    note = tracker.read(run.id).tags["mlflow.note.content"]
    assert "| Accuracy | 0.83 (95 % 0.80–0.86) |" in note
    assert "| Cohort | a \\| b c |" in note
    assert note.endswith("**Refused.**")


def test_a_dataset_names_its_commit_and_its_whole_digest_though_mlflow_keeps_36_characters(tracker: Tracker) -> None:
    digest = "sha256:" + "0123456789abcdef" * 4
    with tracker.run("fed", kind="fold", provenance=PROVENANCE) as run:
        run.datasets([DatasetRef(name="cohort", digest=digest, commit="a" * 40, context="training", rows=781)])
    (given_input,) = tracker.client.get_run(run.id).inputs.dataset_inputs
    dataset = given_input.dataset
    assert dataset.digest == digest.removeprefix("sha256:")[:36]
    source = DataCommitSource.from_json(dataset.source)
    assert (source.commit, source.digest) == ("a" * 40, digest)
    assert {tag.key: tag.value for tag in given_input.tags} == {"mlflow.data.context": "training"}
    with pytest.raises(TrackingError, match="dvc pull"):
        source.load()


def test_an_installed_project_lets_mlflow_resolve_the_source(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run("resolved", kind="fold", provenance=PROVENANCE) as run:
        run.datasets([DatasetRef(name="cohort", digest=KEY, commit="d" * 40, context="test", rows=3)])
    # The entry points of pyproject.toml as an installer writes them.
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "cxr_retrain-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cxr-retrain\nVersion: 0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in items.items()) for group, items in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    script = (
        "import sys, mlflow\n"
        f"run = mlflow.MlflowClient({tracker.uri!r}).get_run({run.id!r})\n"
        "print(mlflow.data.get_source(run.inputs.dataset_inputs[0]).commit)\n"
    )
    # Turned into errors: MLflow only warns where an entry point cannot be loaded.
    done = in_process(script, tmp_path, PYTHONPATH=f"{tmp_path}:{ROOT}", PYTHONWARNINGS="error::UserWarning:mlflow")
    assert done.stdout.strip() == "d" * 40


@given(st.text("0123456789abcdef", min_size=40, max_size=40), st.text(max_size=80), st.text(max_size=80))
def test_a_data_commit_survives_json(commit: str, digest: str, repository: str) -> None:
    source = DataCommitSource(commit=commit, digest=digest, repository=repository)
    assert DataCommitSource.from_json(source.to_json()).to_dict() == source.to_dict()


@given(st.recursive(st.integers() | st.text("abc"), lambda inner: st.dictionaries(st.text("xyz", min_size=1), inner)))
def test_flattening_loses_no_leaf(tree: object) -> None:
    def leaves(node: object) -> int:
        return sum(map(leaves, node.values())) if isinstance(node, dict) else 1

    assert len(flattened({"root": tree})) == leaves(tree)


def test_many_processes_may_open_an_empty_store_at_once_and_leave_nothing_else(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    script = (
        "import sys; from pathlib import Path\n"
        "from tasks.adapters.tracking import open_store\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "assert get_telemetry_client() is None\n"
        f"tracker = open_store('sqlite:///{tmp_path}/new/mlflow.db', '{tmp_path}/new/artifacts')\n"
        "print(tracker.experiment_id, *(tracker.client.get_experiment(i).artifact_location for i in ('0', '1')))\n"
    )
    # Without the variables by which MLflow would recognise a test and stay quiet by itself.
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=work, env=env, text=True, stdout=-1, stderr=-1)
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    places = " ".join(f"{(tmp_path / 'new' / 'artifacts').as_uri()}/{name}" for name in ("0", "cxr"))
    assert [out.strip() for out, _ in ended] == [f"1 {places}"] * 3
    assert [err for _, err in ended] == ["", "", ""]
    assert list(home.rglob("*")) == list(work.rglob("*")) == []


def test_a_file_that_is_no_database_is_refused_at_once_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, but somebody's notes")
    with pytest.raises(TrackingError) as caught:
        store_at(tmp_path)
    assert caught.value.reason == "not_a_database"
    assert (tmp_path / "mlflow.db").read_bytes().startswith(b"not a database")


def test_a_deleted_experiment_is_said_with_the_way_back(tmp_path: Path) -> None:
    tracker = store_at(tmp_path)
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore") as caught:
        store_at(tmp_path)
    assert caught.value.reason == "experiment_deleted"


def in_process(script: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env={**os.environ, **env}, text=True, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done
