"""A real MLflow server on a real store: what `cxr ui` starts, and what a team's server does."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from cxr_core.errors import TrackingError

from tasks.adapters.store import is_away, one_attempt, translated, ui_command  # isort: skip  (sets switches first)
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from tasks.adapters.tracking import Tracker, open_store
from tests.tasks.adapters.mlflow_stores import PROVENANCE, store_at

FIGURE = "a figure"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _response(status: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    return response


def get(address: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    tracker = store_at(tmp_path_factory.mktemp("store"))
    with tracker.run("retrain shown", kind="retrain", provenance=PROVENANCE) as run:
        run.text("figures/a.txt", FIGURE)
    return tracker


@pytest.fixture(scope="module")
def server(local: Tracker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root, port = tmp_path_factory.mktemp("server"), free_port()
    command, environment = ui_command(local.uri, root / "artifacts", "127.0.0.1", port)
    # Proxied artifacts, which a team's server has and `cxr ui` does not: the later flag wins.
    command += ["--serve-artifacts", "--artifacts-destination", str(root / "proxied")]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=root, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield await_health(f"http://127.0.0.1:{port}", process, root / "log")
        finally:
            process.terminate()
            process.wait(timeout=30)


def await_health(address: str, process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            get(f"{address}/health")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.25)
        else:
            return address
    raise AssertionError(log.read_text())


def test_the_pages_show_the_experiment_its_runs_and_their_artifacts(server: str, local: Tracker) -> None:
    status, page = get(server)
    assert (status, b'<div id="root"' in page) == (200, True)
    experiment = json.loads(get(f"{server}/ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=cxr")[1])
    assert experiment["experiment"]["experiment_id"] == local.experiment_id
    (run,) = local.search({"cxr.kind": "retrain"})
    assert get(f"{server}/get-artifact?run_uuid={run.run_id}&path=figures/a.txt")[1] == FIGURE.encode()


def test_a_server_with_its_own_artifacts_is_used_as_the_file_is(
    server: str, local: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = open_store(server, "unused").client
    proxied = Tracker(client, client.create_experiment("proxied", artifact_location="mlflow-artifacts:/proxied"))
    with proxied.run("fold 0", kind="fold", provenance=PROVENANCE, key="sha256:k") as run:
        run.data("fold/checkpoint.safetensors", b"weights")
        run.metrics({"loss": 0.5}, step=1)
    found = proxied.find("sha256:k", artifacts=["fold/checkpoint.safetensors"])
    assert found is not None
    assert found.artifact_uri.startswith("mlflow-artifacts:")
    fetched = proxied.fetch(run.id, "fold/checkpoint.safetensors", tmp_path / "w" / "checkpoint")
    assert fetched.read_bytes() == b"weights"
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    with pytest.raises(TrackingError):
        proxied.fetch(run.id, "fold/absent", tmp_path / "w" / "absent")


def test_a_server_that_is_not_there_is_said_within_seconds(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(TrackingError, match="MLFLOW_TRACKING_URI"):
        open_store(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert time.monotonic() - start < 10
    # Training's own requests keep MLflow's patience.
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_asking_once_is_counted_over_threads_and_the_users_own_wish_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    with one_attempt():
        with one_attempt():
            assert os.environ[name] == "0"
        assert os.environ[name] == "0"
    assert name not in os.environ
    monkeypatch.setenv(name, "3")
    with one_attempt():
        assert os.environ[name] == "3"
    assert os.environ[name] == "3"


@pytest.mark.parametrize(
    ("error", "reason", "away"),
    [
        (requests.ConnectionError("refused"), "temporarily_unavailable", True),
        (requests.HTTPError("busy", response=_response(503)), "temporarily_unavailable", True),
        (requests.HTTPError("absent", response=_response(404)), "request_refused", False),
        (MlflowException("API request to http://x failed"), "internal_error", True),
        (MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST), "resource_does_not_exist", False),
    ],
)
def test_whether_a_tracker_is_away_or_refuses_is_told_apart(error: Exception, reason: str, away: bool) -> None:
    with pytest.raises(TrackingError) as caught, translated("http://127.0.0.1:1"):
        raise error
    assert caught.value.reason == reason
    assert is_away(caught.value) is away


def test_pages_of_a_server_are_not_served_twice(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"http://ada:\*\*\*@tracking\.example:5000") as caught:
        ui_command("http://ada:secret@tracking.example:5000", tmp_path, "127.0.0.1", 5000)
    assert caught.value.reason == "already_served"
    assert "secret" not in str(caught.value)


def test_a_store_relative_to_the_working_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="four slashes") as caught:
        open_store("sqlite:///mlflow.db", tmp_path)
    assert caught.value.reason == "relative_store"


def test_an_outdated_store_is_left_alone_and_says_how_to_migrate(local: Tracker, tmp_path: Path) -> None:
    older = tmp_path / "mlflow.db"
    older.write_bytes(Path(local.uri.removeprefix("sqlite:///")).read_bytes())
    with closing(sqlite3.connect(older)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = older.read_bytes()
    with pytest.raises(TrackingError, match="mlflow db upgrade"):
        store_at(tmp_path)
    assert older.read_bytes() == before


def test_a_store_whose_maker_was_killed_in_the_middle_is_made_by_the_next(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    code = "import sys; from tasks.adapters.store import open_client; open_client(*sys.argv[1:])"
    maker = subprocess.Popen([sys.executable, "-c", code, f"sqlite:///{database}", str(tmp_path / "artifacts")])
    deadline = time.monotonic() + 120
    partial = tmp_path / ".mlflow.db.partial"
    while not (partial.exists() and partial.stat().st_size > 50_000):
        assert maker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    maker.kill()
    maker.wait()
    assert not database.exists()

    tracker = open_store(f"sqlite:///{database}", tmp_path / "artifacts")
    with tracker.run("retrain", kind="retrain", provenance=PROVENANCE) as run:
        run.text("figures/a.txt", FIGURE)

    assert database.is_file()
    assert not list(tmp_path.glob("*.partial*"))
