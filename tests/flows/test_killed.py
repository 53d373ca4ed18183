"""A retrain that is killed goes on where it was: the same MLflow runs, the same bits, every metric point once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tasks.adapters.tracking import open_store
from tests.walk import Place, Retrained, retrain

_SEED = "train.seed=7"


def test_a_killed_retrain_ends_with_the_bits_of_an_undisturbed_one(promoted: Retrained, first: Retrained, tmp_path):
    place = first.place.copy(tmp_path)
    _kill_with_a_state(place)
    ended = retrain(place, _SEED, CXR_STATE_SECONDS="0")
    assert ended.code == 0 or ended.report["decision"]["outcome"] == "refused"
    assert "goes on after step" in ended.err
    wanted, found = _trained(promoted.place), _trained(place)
    assert found == wanted
    store = _store(place)
    retrains = store.search({"cxr.kind": "retrain"})
    assert {run.status for run in retrains} == {"FINISHED"}
    assert len(retrains) == 2  # the first one's, and this
    assert [run.tags["cxr.resumed"] for run in retrains if "cxr.resumed" in run.tags] == ["1"]
    for run in store.search({"mlflow.parentRunId": retrains[0].run_id}):
        assert [point.step for point in store.history(run.run_id, "train_loss")] == [1]
    # What was needed to go on is gone once everything is in MLflow.
    assert not [path for path in (place.home / "checkpoints").iterdir() if path.is_dir()]


def _kill_with_a_state(place: Place) -> None:
    """Start a retrain, and kill it and all it started once a training has a state."""
    words = [word for setting in (*place.settings, _SEED) for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "retrain", *words],
        cwd=place.clone,
        env=place.environment | {"CXR_STATE_SECONDS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not list(place.home.glob("checkpoints/*/states/step-*")):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _trained(place: Place) -> dict[str, str]:
    """Digest of the weights by key, of the trainings with this seed."""
    runs = _store(place).search({}, status="FINISHED")
    return {
        run.tags["cxr.key"]: run.tags["cxr.weights"]
        for run in runs
        if "cxr.weights" in run.tags and run.params.get("train.seed") == "7" and run.tags["cxr.kind"] != "retrain"
    }


def _store(place: Place):
    return open_store(f"sqlite:///{place.home}/mlflow/mlflow.db", place.home / "mlflow/artifacts")
