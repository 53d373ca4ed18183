"""The page of a real retrain: logged with the run, opened in a browser, and written anew from the artifacts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cxr_core.classes import CLASSES
from cxr_core.explain.records import parse_saliency
from cxr_core.paper.page import page_faults
from tests.browser import Page
from tests.walk import FOLDS, QUOTA, Ended, Retrained

Verb = Callable[..., Ended]
N = QUOTA * len(CLASSES)


@pytest.fixture(scope="module")
def logged(promoted: Retrained) -> Path:
    """Where the retrain said that its page is."""
    return Path(promoted.report["page"])


def test_a_retrain_says_where_its_page_is_and_the_run_carries_it(promoted: Retrained, logged: Path) -> None:
    run = MlflowClient(f"sqlite:///{promoted.place.home}/mlflow/mlflow.db").get_run(promoted.report["run"])
    assert logged.is_file()
    assert {f"cxr.digest.{name}" for name in ("report.html", "software.json", "gradcam/index.json")} <= set(
        run.data.tags
    )
    assert "report" in promoted.ended.err
    assert logged.stat().st_size < 10_000_000


def test_it_shows_the_decision_and_every_part_of_this_run(promoted: Retrained, logged: Path) -> None:
    text = logged.read_text(encoding="utf-8")
    assert '<h2 id="verdict-title">Promoted</h2>' in text
    assert "ledger event 2, promoted" in text
    assert page_faults(text) == []
    for part in (promoted.report["run"], promoted.report["commit"], f"{N} images", "resnet18", "phantom made by code"):
        assert part in text, part
    assert len(re.findall(r'<tr><th scope="row">\d</th>', text.split('id="folds"')[1].split("</section>")[0])) == FOLDS
    assert text.count('class="xray"') == len(CLASSES)
    assert re.search(r'<th scope="row">torch</th><td>\d', text)


def test_a_browser_opens_it_without_a_network(logged: Path, browser: Page) -> None:
    browser.open(logged, width=1280)
    assert [url for url in browser.requests if not url.startswith("data:")] == [logged.as_uri()]
    assert browser.complaints == []
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


def test_the_page_of_a_refused_model_says_so(first: Retrained, verb: Verb, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "page.html"
    ended = verb(first.place, "report", first.report["run"][:10], "--out", str(out), "--json")
    assert ended.code == 0
    assert (ended.report["decision"], ended.report["file"]) == ("refused", str(out))
    text = out.read_text(encoding="utf-8")
    assert ">Refused</h2>" in text
    for reason in first.report["decision"]["reasons"]:
        assert reason.replace("'", "&#39;") in text
    shown = verb(first.place, "report", first.report["run"], "--out", str(out))
    assert "opens without a network" in " ".join(shown.out.split())


def test_the_page_written_anew_is_the_page_that_was_logged(
    promoted: Retrained, logged: Path, verb: Verb, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    assert verb(promoted.place, "report", "--out", str(out)).code == 0
    assert out.read_bytes() == logged.read_bytes()


def test_a_decision_that_was_altered_is_refused_and_not_read_as_none(
    first: Retrained, verb: Verb, tmp_path: Path
) -> None:
    # A run that other tests have had judged again has several.
    whole = {path: path.read_bytes() for path in Path(first.report["page"]).parent.glob("decisions/*/decision.json")}
    assert whole
    try:
        for path, data in whole.items():
            path.write_bytes(data.replace(b"refused", b"granted"))
        ended = verb(first.place, "report", first.report["run"], "--out", str(tmp_path / "page.html"), "--json")
    finally:
        for path, data in whole.items():
            path.write_bytes(data)
    assert (ended.code, ended.report["error"]["reason"]) == (1, "artifact_changed")
    assert not (tmp_path / "page.html").exists()


def test_a_fold_alone_has_no_page(promoted: Retrained, verb: Verb, tmp_path: Path) -> None:
    fold = promoted.report["folds"][0]["run_id"]
    ended = verb(promoted.place, "report", fold, "--out", str(tmp_path / "page.html"), "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "artifact_missing")
    assert not (tmp_path / "page.html").exists()


def test_what_the_maps_are_worth_is_logged_drawn_and_shown(promoted: Retrained, logged: Path) -> None:
    run = MlflowClient(f"sqlite:///{promoted.place.home}/mlflow/mlflow.db").get_run(promoted.report["run"])
    assert {f"cxr.digest.{name}" for name in ("gradcam/saliency.json", "figures/gradcam-worth.png")} <= set(
        run.data.tags
    )
    saliency = parse_saliency(json.loads((logged.parent / "gradcam/saliency.json").read_text(encoding="utf-8")))
    assert len(saliency.cascade.steps) == 6
    assert saliency.agreement.networks == FOLDS
    for slug, one in saliency.lungs.per_class.items():
        found = {name: run.data.metrics.get(f"gradcam.lung_share.{slug}{name}") for name in ("", ".low", ".high", ".n")}
        told = None if one.share.value is None else one.share.n
        assert found == {"": one.share.value, ".low": one.share.low, ".high": one.share.high, ".n": told}
    assert "What the maps are worth" in logged.read_text(encoding="utf-8")


def test_the_grad_cam_pairs_are_listed_with_what_was_said_of_them(promoted: Retrained, logged: Path) -> None:
    listed = json.loads((logged.parent / "gradcam/index.json").read_text(encoding="utf-8"))
    assert {one["label"] for one in listed} == set(CLASSES)
    for one in listed:
        assert (logged.parent / one["file"]).read_bytes().startswith(b"\x89PNG")
        assert 1 / 3 <= one["probability"] <= 1
