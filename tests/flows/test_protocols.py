"""``cxr protocols`` on phantoms: a retrain's folds are reused, a killed call goes on, the same again finds it all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_core.classes import CLASSES
from cxr_core.evaluate.predictions import parse_predictions
from cxr_core.evaluate.protocol_parts import parse_protocols
from cxr_core.paper.page import page_faults
from tasks.adapters.tracking import Tracker, open_store
from tests.walk import FOLDS, QUOTA, Ended, Place, Retrained

N = QUOTA * len(CLASSES)


@pytest.fixture(scope="module")
def killed(first: Retrained, prefect_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    """A copy of the place of a retrain, and the parent run of a call that was killed when a fold had been trained."""
    place = first.place.copy(tmp_path_factory.mktemp("protocols"))
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "protocols", *words(place)],
        cwd=place.clone,
        env=place.environment | {"PREFECT_API_URL": prefect_server},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 400
    while not store(place).search({"cxr.protocol": "grouped", "cxr.kind": "fold"}, status="FINISHED"):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (parent,) = store(place).search({"cxr.kind": "protocols"})
    return place, parent.run_id


@pytest.fixture(scope="module")
def ended(killed: tuple[Place, str], prefect_server: str) -> Ended:
    """The same command once more."""
    done = killed[0].cxr("protocols", "--json", *words(killed[0]), PREFECT_API_URL=prefect_server)
    assert done.code == 0, done.err
    return done


def words(place: Place) -> list[str]:
    return [word for setting in place.settings for word in ("--set", setting)]


def store(place: Place) -> Tracker:
    return open_store(f"sqlite:///{place.home}/mlflow/mlflow.db", place.home / "mlflow/artifacts")


def rows_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["protocol"]: row for row in report["table"]["rows"]}


def test_one_table_holds_the_three_protocols(killed: tuple[Place, str], ended: Ended) -> None:
    rows = rows_of(ended.report)
    assert list(rows) == ["paper", "grouped", "loso"]
    assert [rows[name]["people"]["n"] for name in ("paper", "grouped")] == [N, N]
    assert rows["grouped"]["leak"]["leaking"] == rows["loso"]["leak"]["leaking"] == 0
    assert rows["grouped"]["against"]["n"] == N
    assert rows["loso"]["against"]["n"] == rows["loso"]["people"]["n"] == rows["loso"]["coverage"]["tested"]
    refused = [one for one in rows["loso"]["sources"] if one["verdict"] == "not identifiable"]
    assert refused
    assert all(one["source"] in one["why"] for one in refused)


def test_a_killed_call_goes_on_in_its_run_and_a_retrains_folds_are_reused(
    killed: tuple[Place, str], ended: Ended, first: Retrained
) -> None:
    report, (place, parent) = ended.report, killed
    assert report["run"] == parent
    folds = report["folds"]
    assert [one["run_id"] for one in folds["paper"]] == [one["run_id"] for one in first.report["folds"]]
    assert all(one["reused"] for one in folds["paper"])
    assert folds["grouped"][0]["reused"]
    assert not any(one["reused"] for one in folds["loso"])
    assert "reused run" in ended.err
    assert report["reused"] >= FOLDS + 1
    record = store(place).read(parent)
    assert (record.status, record.tags["cxr.resumed"]) == ("FINISHED", "1")
    # Nothing was refitted, and nothing registered.
    assert {one.tags["cxr.kind"] for one in store(place).children(parent)} == {"fold"}


def test_the_run_holds_the_table_in_every_form(killed: tuple[Place, str], ended: Ended, tmp_path: Path) -> None:
    place, parent = killed
    tracker = store(place)
    record = tracker.read(parent)
    table = parse_protocols(ended.report["table"])
    for name in ("protocols.json", "protocols.csv", "protocols.html", "figures/protocols.png", "software.json"):
        assert name in record.digests
    assert page_faults(tracker.fetch(parent, "protocols.html", tmp_path / "page").read_text("utf-8")) == []
    assert record.tags["cxr.table"] == table.digest
    for row in table.rows:
        text = tracker.fetch(parent, f"predictions/{row.protocol}.csv", tmp_path / row.protocol).read_text("utf-8")
        assert len(parse_predictions(text)) == row.people.n
        assert record.metrics[f"{row.protocol}.accuracy"] == row.people.accuracy.value
        assert record.tags[f"cxr.commit.{row.protocol}"] == row.commit
        place.git("cat-file", "-e", row.commit)
        assert f"protocol: {row.protocol}" in place.git("show", f"{row.commit}:params.yaml")
        assert [record.tags[f"cxr.run.{row.protocol}.{name}"] for name in row.runs] == [*row.runs.values()]


def test_the_same_again_finds_all_of_it(
    killed: tuple[Place, str], ended: Ended, prefect_server: str, stand: Callable[[Place], Place]
) -> None:
    place, parent = killed
    again = place.cxr("protocols", *words(place), PREFECT_API_URL=prefect_server)
    assert again.code == 0, again.err
    report = ended.report
    assert f"run {parent[:8]}" in again.out
    assert f"{report['trainings']} of {report['trainings']} folds reused" in again.out
    for told in ("paper", "grouped", "loso", "not identifiable", "over patients", "pooled figures pool"):
        assert told in again.out
    assert len(store(place).search({"cxr.kind": "protocols"})) == 1
    why = place.cxr("why", parent, "--json")
    assert why.report["runs"][0]["parts"]["order"] == "paper, grouped, loso"
