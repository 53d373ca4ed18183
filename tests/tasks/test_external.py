"""Images from elsewhere, from a folder to evidence: whom they test, what is left out, what an auditor can follow."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.cohort import COHORT_PATH, REPORT_PATH, read_cohort
from cxr_core.digests import digest_bytes, digest_file
from cxr_core.errors import EvidenceError, SettingError, SourceError
from cxr_core.evaluate.predictions import digest_predictions, parse_predictions
from cxr_core.files import read_json
from cxr_core.imaging.phantom import write_sources
from cxr_core.ingest.listing import PHANTOM_MARKER
from cxr_core.model.inference import Classifier
from cxr_core.paper.counted import evidence_faults
from cxr_core.paper.page import page_faults
from cxr_core.params import override_params, read_params
from cxr_core.split.stage import run as deal_folds
from tasks.adapters.workspace import Workspace
from tasks.controls import controls
from tasks.data import DataVersion
from tasks.evaluate import evaluate
from tasks.evidence import read_evidence
from tasks.explain import explain
from tasks.external import external
from tasks.page import report as page_of
from tasks.page_key import PAGE_FILE, standing_page
from tasks.plan import make_plan
from tasks.report import report_of
from tasks.retrains import open_retrain
from tasks.run import Run, check_request
from tasks.settings import Home
from tasks.stores import tracker_of
from tasks.train import train
from tasks.trained import WEIGHTS
from tests.tasks.test_protocols import shown
from tests.walk import FOLDS, IMAGES, ROOT, TINY, learn_by_heart, make_data

DECISION = {
    "outcome": "refused",
    "model": "m",
    "version": 1,
    "champion": None,
    "gates": [],
    "reasons": [],
    "ledger": "event 1",
    "aliases": {},
}
DATA = DataVersion(commit="0" * 40, digest="sha256:" + "0" * 64)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose data stages are done; its code is this tree's."""
    monkeypatch.setenv("CXR_ACTOR", "ada@hospital.example")
    place = tmp_path / "workspace"
    write_sources(tmp_path / "sources", seed=7, images=IMAGES, size=128)
    make_data(tmp_path / "sources", place)
    for name in ("cxr_core", "tasks", "constraints.txt"):
        (place / name).symlink_to(ROOT / name)
    weights = tmp_path / "heart.safetensors"
    learn_by_heart(place, weights)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = read_params(override_params(text, (*TINY, f"train.weights=file:{weights}")))
    deal_folds(workspace=place, params=params)
    home = Home(root=tmp_path / "home")
    return Run(
        id="one",
        program="cxr retrain",
        home=home,
        workspace=Workspace(name="w", path=place, checkout=ROOT, home=home.root, commit=DATA.commit, remote=""),
        params=params,
    )


@pytest.fixture
def elsewhere(run: Run, tmp_path: Path) -> Path:
    """Phantoms of another seed by class, one image of the cohort, one that is none, one of no class."""
    write_sources(tmp_path / "other", seed=99, images=dict.fromkeys(CLASSES, 8), size=128)
    root = tmp_path / "elsewhere"
    for slug, pattern in {
        "covid": "sirm/*/*.jpg",
        "viral": "kaggle/chest_xray/*/PNEUMONIA/*virus*",
        "normal": "kaggle/chest_xray/*/NORMAL/*",
    }.items():
        (root / slug).mkdir(parents=True)
        for number, path in enumerate(sorted((tmp_path / "other").glob(pattern))):
            shutil.copy(path, root / slug / f"{number}{path.suffix}")
    cohort = read_cohort(run.path / COHORT_PATH)
    taught = next(row for row in cohort if row.source == "kaggle")
    path = run.path / "data/raw/kaggle/files" / taught.name.removeprefix("kaggle:")
    shutil.copy(path, root / taught.label / f"taught{path.suffix}")
    (root / "covid/broken.png").write_bytes(b"no picture")
    (root / "other").mkdir()
    shutil.copy(path, root / "other" / f"x{path.suffix}")
    return root


def test_the_registered_model_is_tested_on_what_nothing_was_taught_from(
    run: Run, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = make_plan(run)
    monkeypatch.setenv("CXR_EXTERNAL_HOSPITAL", str(elsewhere))
    plan, tracker = make_plan(run), tracker_of(run.home)
    with open_retrain(run, plan, DATA, read_json(run.path / REPORT_PATH)) as parent:
        folds = [train.fn(run, plan, DATA, parent, fold) for fold in range(FOLDS)]
        refit = train.fn(run, plan, DATA, parent, None)
        belief = controls.fn(run, parent, folds)
        measured = external.fn(run, plan, parent, refit, belief)
        evidence = evaluate.fn(run, plan, DATA, parent, folds, refit, belief, measured)
        explain.fn(run, parent, folds)
    page = page_of.fn(run, parent)
    # It stands until another one would be drawn, by other code or after a decision, or until it is not whole.
    assert standing_page(run, parent) == page
    with monkeypatch.context() as patch:
        patch.setattr("tasks.page_key.import_closure", lambda package, entry: {"code": "another"})
        assert standing_page(run, parent) is None
    with monkeypatch.context() as patch:
        event = {"sequence": 1, "kind": "refused", "when": "now", "who": "ada", "decision": "sha256:" + "1" * 64}
        patch.setattr("tasks.page_key.last_decision", lambda where, run_id: SimpleNamespace(**event))
        assert standing_page(run, parent) is None
    with monkeypatch.context() as patch:
        patch.setattr(
            "tasks.page_key.digest_file", lambda path: "another" if path.suffix == ".css" else digest_file(path)
        )
        assert standing_page(run, parent) is None
    for path in (Path(page), next((Path(page).parent / "forms").iterdir())):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        assert standing_page(run, parent) is None
        path.write_bytes(whole)
    assert standing_page(run, parent) == page
    table, predicted, html = (
        tracker.fetch(parent, name, tmp_path / "fetched" / str(number)).read_text("utf-8")
        for number, name in enumerate(("external/hospital/images.csv", "external/hospital/predictions.csv", PAGE_FILE))
    )
    classifier = Classifier.load(
        tracker.fetch(refit.run_id, WEIGHTS, tmp_path / "fetched/w"), temperature=belief.calibration.temperature.value
    )
    cohort = read_cohort(run.path / COHORT_PATH)
    told = report_of(
        run, page=page, parent=parent, folds=folds, refit=refit, evidence=evidence, decision=DECISION, seconds=1.0
    )

    # Another set is another retrain; no training has another name, and none was repeated.
    assert plan.key.digest != without.key.digest
    assert (plan.folds, plan.refit) == (without.folds, without.refit)
    assert read_evidence(tracker, parent) == evidence

    # Every file is named by its digest, used or not.
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(table))}
    files = [path for path in elsewhere.rglob("*") if path.is_file()]
    assert {path: row["sha256"] for path, row in rows.items()} == {
        f"hospital:{path.relative_to(elsewhere).as_posix()}": digest_file(path) for path in files
    }
    assert evidence.external is not None
    (one,) = evidence.external.values()
    assert one.left_out == Counter(row["used"] for row in rows.values() if row["used"] != "yes")
    assert rows["hospital:covid/broken.png"]["used"] == "not_an_image"
    assert [row["used"] for path, row in rows.items() if path.startswith("hospital:other/")] == ["unknown_class"]
    assert [row["used"] for path, row in rows.items() if "taught" in path] == ["in_cohort"]
    assert not {row["pixel_sha256"] for row in rows.values() if row["used"] == "yes"} & {r.pixel_sha256 for r in cohort}
    assert one.images == digest_bytes(table.encode())

    # The figures are those of the model as it is served.
    predictions = parse_predictions(predicted)
    assert one.predictions == digest_predictions(predictions)
    assert one.people.n == len(predictions) == sum(row["used"] == "yes" for row in rows.values()) > 6
    assert one.people.accuracy.k == sum(row.correct for row in predictions)
    for row in predictions[:3]:
        (served,) = classifier.predict([(elsewhere / row.name.removeprefix("hospital:")).read_bytes()])
        assert row.probabilities == pytest.approx(tuple(served), abs=1e-6)

    # A person reads it in the terminal and on the page, a tracker as metrics; no other figure counts these images.
    assert evidence.all.n == len(cohort)
    assert tracker.read(parent).metrics["external.hospital.accuracy.n"] == one.people.n
    assert tracker.read(parent).tags["cxr.external.hospital"] == plan.key.parts["external"]["hospital"]
    assert "hospital" in shown(told)
    assert told["external"]["hospital"]["n"] == one.people.n
    assert page_faults(html) == []
    assert "in_cohort 1" in html
    assert evidence_faults(evidence) == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("HOSPITAL", "/no/such/folder", "external_missing"), ("KAGGLE", "/tmp", "external_is_a_source")],
)
def test_a_set_that_cannot_be_one_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, reason: str
) -> None:
    variable = f"CXR_EXTERNAL_{name}"
    monkeypatch.setenv(variable, value)
    for source in SOURCES:
        (tmp_path / source).mkdir()
    monkeypatch.setenv("CXR_SOURCES", str(tmp_path))
    with pytest.raises(SettingError) as caught:
        check_request([])
    assert caught.value.reason == reason
    assert variable in str(caught.value)


def test_a_set_that_changes_after_its_plan_or_holds_nothing_stops_the_retrain(
    run: Run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_EXTERNAL_HOSPITAL", str(elsewhere))
    plan = make_plan(run)
    nothing: Any = None
    (elsewhere / "covid/new.png").write_bytes(b"new")
    with pytest.raises(SourceError) as changed:
        external.fn(run, plan, "", nothing, nothing)
    assert changed.value.reason == "source_changed"
    (elsewhere / PHANTOM_MARKER).write_text("phantoms", encoding="utf-8")
    plan = replace(make_plan(run), synthetic=False)
    with pytest.raises(EvidenceError) as phantoms:
        external.fn(run, plan, "", nothing, nothing)
    assert phantoms.value.reason == "external_phantoms"
