"""Each way of dealing folds, from the split to a judged version: what is trained, tested, held out, said and found."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cxr_core.audit.images import link_images, read_csv_rows
from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import COHORT_PATH, REPORT_PATH
from cxr_core.evaluate.predictions import parse_predictions
from cxr_core.evaluate.schema import Evidence
from cxr_core.files import read_json
from cxr_core.split.folds import SPLIT_PATH, Split, members, read_split
from flows.views import show_retrain
from tasks.controls import controls
from tasks.data import DataVersion
from tasks.evaluate import evaluate
from tasks.evidence import HOLDOUT_FILE, read_predictions
from tasks.explain import explain
from tasks.ingest import ingest
from tasks.page import report as page_of
from tasks.plan import Plan, make_plan
from tasks.promote import promote, register
from tasks.report import report_of
from tasks.retrains import find_retrain, open_retrain
from tasks.run import Run, open_run
from tasks.split import split
from tasks.stores import tracker_of
from tasks.train import train
from tasks.trained import Trained
from tests.walk import FOLDS, QUOTA, Place, Retrained

Stand = Callable[[Place], Place]
N = QUOTA * len(CLASSES)


@pytest.fixture
def own(first: Retrained, tmp_path: Path, stand: Stand) -> Place:
    return stand(first.place.copy(tmp_path))


def dealt_anew(run: Run) -> dict[str, Any]:
    """Pin what is there, as every retrain of these sources does, and deal."""
    ingest.fn(run)
    return split.fn(run)


def retrain(run: Run, commit: str) -> tuple[Plan, Split, Evidence, dict[str, Any]]:
    """The stages from the split on, in this process; what comes before is as the first retrain left it."""
    dealt_anew(run)
    plan, data = make_plan(run), DataVersion(commit=commit, digest="sha256:" + "0" * 64)
    with open_retrain(run, plan, data, read_json(run.path / REPORT_PATH)) as parent:
        folds: list[Trained] = [train.fn(run, plan, data, parent, fold) for fold in range(len(plan.folds))]
        refit = train.fn(run, plan, data, parent, None)
        belief = controls.fn(run, parent, folds)
        evidence = evaluate.fn(run, plan, data, parent, folds, refit, belief)
        explain.fn(run, parent, folds)
        version = register.fn(run, data, parent, refit, evidence)
    decision = promote.fn(run, version)
    page = page_of.fn(run, parent)
    report = report_of(
        run, page=page, parent=parent, folds=folds, refit=refit, evidence=evidence, decision=decision, seconds=1.0
    )
    return plan, read_split(run.path), evidence, report


def shown(report: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160)
    show_retrain(console, report)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("protocol", "holdout", "folds"),
    [("paper", 0.2, FOLDS), ("batches", 0.0, 1), ("grouped", 0.2, FOLDS), ("loso", 0.0, None)],
)
def test_a_retrain_understands_its_protocol_to_the_end(
    first: Retrained, own: Place, protocol: str, holdout: float, folds: int | None
) -> None:
    chosen = [*own.settings, f"split.protocol={protocol}", f"split.holdout={holdout}"]
    with open_run(chosen, program="cxr retrain", folder=None, unpinned=False) as run:
        plan, dealt, evidence, report = retrain(run, first.report["commit"])
        found = find_retrain(run, plan)
        tracker = tracker_of(run.home)
        predicted = read_predictions(tracker, report["run"])
        names = [tracker.read(one["run_id"]).name for one in (*report["folds"], report["refit"])]
        cohort, table = (read_csv_rows((run.path / path).read_bytes()) for path in (COHORT_PATH, SPLIT_PATH))
        held_out = (
            parse_predictions(tracker.fetch(report["run"], HOLDOUT_FILE, own.home / "holdout.csv").read_text("utf-8"))
            if holdout
            else []
        )

    # What was trained is what the split says, and the figures are those of the tested images alone.
    assert dealt.protocol == protocol
    assert len(plan.folds) == dealt.folds == (folds or dealt.folds)
    for fold, key in enumerate(plan.folds):
        part = members(dealt, fold)
        counts = {name: key.parts[name]["images"] for name in ("train", "validation", "test")}
        assert counts == {"train": len(part.train), "validation": len(part.validation), "test": len(part.test)}
    tested, held = int((dealt.fold >= 0).sum()), int(dealt.holdout.sum())
    assert evidence.all.n == len(predicted) == report["n"] == tested
    assert {row.name: row.fold for row in predicted} == {
        name: fold for name, fold in zip(dealt.names, dealt.fold.tolist(), strict=True) if fold >= 0
    }
    assert evidence.coverage is not None
    assert (evidence.coverage.tested, evidence.coverage.held_out, evidence.coverage.cohort) == (tested, held, N)
    assert (protocol in ("grouped", "loso")) <= (evidence.leak.leaking == 0)

    # The refit never saw what is held out, and is judged on it apart.
    assert plan.refit.parts["train"]["images"] == N - held
    assert plan.refit.parts["test"]["images"] == held
    assert ("holdout" in report) == (evidence.holdout is not None) == (held > 0) == (holdout > 0)
    assert names[-1] == (f"refit on {N - held} of {N} images" if held else "refit on all images")
    if evidence.holdout is not None:
        assert evidence.holdout.n == report["holdout"]["n"] == report["refit"]["n"] == held
        assert {row.name for row in held_out} == {dealt.names[row] for row in members(dealt, None).test}
        assert {row.fold for row in held_out} == {None}
        assert all(row.leak_free for row in held_out)

    # A person is told, a script too, and the same again finds all of it.
    text = shown(report)
    assert (f"{tested} of {N} images tested" in text) == (tested < N)
    assert ("held out" in text) == (held > 0)
    assert all(why in text for why in evidence.coverage.not_identifiable.values())
    assert found is not None
    assert found.parent == report["run"]
    assert found.evidence == evidence

    # An auditor reads the same fates out of the table.
    images, checks = link_images(cohort, records=cohort, split=table)
    assert all(check.ok for check in checks)
    fates = Counter("holdout" if out else fold for fold, out in zip(dealt.fold, dealt.holdout, strict=True))
    assert Counter(-1 if image.fold is None else image.fold for image in images) == fates


def test_one_source_left_out_is_named_where_its_fold_is_trained_and_where_it_cannot_be(
    first: Retrained, own: Place
) -> None:
    chosen = [*own.settings, "split.protocol=loso"]
    with open_run(chosen, program="cxr retrain", folder=None, unpinned=False) as run:
        found = dealt_anew(run)
        plan = make_plan(run)
    trained = [verdict for verdict in found["verdicts"] if verdict["fold"] is not None]
    assert [plan.name_of(each["fold"]) for each in trained] == [
        f"fold {number} of {len(trained)}, tests {each['source']}" for number, each in enumerate(trained, start=1)
    ]
    refused = [verdict for verdict in found["verdicts"] if verdict["fold"] is None]
    assert refused
    assert all(each["verdict"] == "not identifiable" and each["source"] in each["why"] for each in refused)


def test_the_same_images_are_held_out_under_another_protocol_so_that_the_refit_is_found_again(
    first: Retrained, own: Place
) -> None:
    keys: set[str] = set()
    for protocol in ("paper", "grouped"):
        chosen = [*own.settings, f"split.protocol={protocol}", "split.holdout=0.2"]
        with open_run(chosen, program="cxr retrain", folder=None, unpinned=False) as run:
            dealt_anew(run)
            keys.add(make_plan(run).refit.digest)
    assert len(keys) == 1
