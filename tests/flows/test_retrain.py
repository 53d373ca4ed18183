"""``cxr retrain`` from sources to a decision: the first, the same again, one after a change, one that must fail."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path

from cxr_core.classes import CLASSES
from cxr_core.imaging.phantom import write_sources
from tests.walk import FOLDS, QUOTA, Ended, Place, Retrained, retrain

N = QUOTA * len(CLASSES)


def said(ended: Ended, stage: str) -> str:
    (line,) = [line for line in ended.err.splitlines() if line.strip().startswith(stage)]
    return line


def events(place: Place) -> list[str]:
    refs = place.git("for-each-ref", "--format=%(refname)", "refs/cxr/ledger").split()
    return [line for ref in refs for line in place.git("ls-tree", "-r", "--name-only", ref).split()]


def test_standard_output_is_one_json_object_and_progress_goes_to_standard_error(first: Retrained) -> None:
    report = first.report
    assert report["ok"] is True
    assert report["n"] == N
    assert report["accuracy"]["low"] < report["accuracy"]["value"] <= report["accuracy"]["high"]
    assert set(report["per_class"]) == set(CLASSES)
    for stage in ("snapshot", "ingest", "curate", "prepare", "split", "version", "evaluate", "explain", "promote"):
        assert any(line.strip().startswith(stage) for line in first.ended.err.splitlines()), stage
    assert "Traceback" not in first.ended.err


def test_every_image_is_tested_by_exactly_one_fold(first: Retrained) -> None:
    folds = first.report["folds"]
    assert [fold["fold"] for fold in folds] == list(range(FOLDS))
    assert sum(fold["n"] for fold in folds) == N
    assert sum(fold["correct"] for fold in folds) == first.report["accuracy"]["k"]
    assert not any(fold["reused"] for fold in [*folds, first.report["refit"]])


def test_a_model_that_the_policy_refuses_is_told_why_and_serves_nobody(first: Retrained) -> None:
    decision = first.report["decision"]
    failed = [gate for gate in decision["gates"] if not gate["passed"]]
    assert decision["outcome"] == "refused"
    assert decision["aliases"] == {}
    assert failed
    assert decision["reasons"] == [gate["why"] for gate in failed]
    assert "images_per_class" in {gate["name"] for gate in failed}
    assert "@champion" not in json.dumps(first.report["next"])


def test_the_same_again_reuses_everything_says_so_and_is_quicker(first: Retrained, again: Retrained) -> None:
    report = again.report
    assert report["run"] == first.report["run"]
    assert report["reused"] == FOLDS + 1
    assert report["seconds"] < first.report["seconds"]
    for stage in ("ingest     sirm 7", "prepare", "split"):
        assert "unchanged" in said(again.ended, stage)
    for stage in (*(f"train {n}/{FOLDS}" for n in range(1, FOLDS + 1)), "train refit", "evaluate"):
        assert "reused run" in said(again.ended, stage)
    assert report["page"] == first.report["page"]
    assert "unchanged" in said(again.ended, "report")


def test_the_same_again_enters_no_event(first: Retrained, again: Retrained) -> None:
    assert again.report["decision"]["event"] == first.report["decision"]["event"] == 1
    assert events(first.place) == ["events/000001-refused.json"]


def test_the_checkout_is_left_as_it_was(first: Retrained, again: Retrained, promoted: Retrained) -> None:
    for place in (first.place, promoted.place):
        assert place.git("status", "--short") == ""
        assert place.git("log", "--format=%D", "-1").startswith("HEAD -> main")


def test_another_seed_trains_everything_anew(first: Retrained, promoted: Retrained) -> None:
    assert promoted.report["reused"] == 0
    assert promoted.report["run"] != first.report["run"]
    ours, theirs = (
        {fold["key"] for fold in [*report["folds"], report["refit"]]} for report in (first.report, promoted.report)
    )
    assert not ours & theirs


def test_a_model_that_passes_every_gate_serves(promoted: Retrained) -> None:
    decision = promoted.report["decision"]
    assert decision["outcome"] == "promoted"
    assert decision["version"] == 2
    assert decision["aliases"] == {"champion": "2"}
    assert all(gate["passed"] for gate in decision["gates"])
    assert "models:/cxr-resnet34@champion" in json.dumps(promoted.report["next"])
    assert events(promoted.place) == ["events/000001-refused.json", "events/000002-promoted.json"]


def test_a_set_from_elsewhere_is_a_table_of_its_own_and_repeats_no_training(
    first: Retrained, again: Retrained, prefect_server: str, tmp_path: Path
) -> None:
    place, elsewhere = first.place.copy(tmp_path), tmp_path / "elsewhere"
    write_sources(tmp_path / "other", seed=99, images=dict.fromkeys(CLASSES, 4), size=128)
    (elsewhere / "normal").mkdir(parents=True)
    for path in (tmp_path / "other/kaggle").glob("chest_xray/*/NORMAL/*"):
        shutil.copy(path, elsewhere / "normal")
    (elsewhere / "normal/broken.png").write_bytes(b"no picture")
    ended = retrain(place, PREFECT_API_URL=prefect_server, CXR_EXTERNAL_OTHER=str(elsewhere))
    assert ended.code == 0, ended.err
    report, table = ended.report, ended.report["external"]["other"]
    assert report["run"] != first.report["run"]
    assert report["reused"] == FOLDS + 1
    assert table["n"] + sum(table["left_out"].values()) == len(list(elsewhere.glob("*/*")))
    assert table["left_out"]["not_an_image"] == 1
    assert report["n"] == N
    right = table["accuracy"]["k"]
    assert f"other: {right} of {table['n']} right" in said(ended, "external")


def test_a_prefect_server_lists_the_run_and_its_tasks(again: Retrained, prefect_server: str) -> None:
    def listed(kind: str) -> list[dict[str, str]]:
        request = urllib.request.Request(f"{prefect_server}/{kind}/filter", b"{}", {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    assert "COMPLETED" in {run["state_type"] for run in listed("flow_runs")}
    assert {"ingest", "curate", "prepare", "split", "promote"} <= {
        run["name"].split("-")[0] for run in listed("task_runs")
    }


def test_a_stage_that_fails_is_told_without_a_traceback_and_leaves_what_serves(
    promoted: Retrained, prefect_server: str, tmp_path: Path
) -> None:
    place = promoted.place.copy(tmp_path)
    before = place.git("for-each-ref")
    ended = retrain(place, "curate.quota.covid=500", PREFECT_API_URL=prefect_server)
    assert ended.code == 1
    error = ended.report["error"]
    assert error["reason"] == "stage_failed"
    assert "covid: wanted 500, found 14" in error["message"]
    assert "--set curate.quota.covid=14" in error["hint"]
    assert "error (stage_failed)" in ended.err
    assert "Traceback" not in ended.out + ended.err
    # Neither a run, nor an event, nor a change: what was served is served.
    assert place.git("for-each-ref") == before
    assert place.git("status", "--short") == ""
