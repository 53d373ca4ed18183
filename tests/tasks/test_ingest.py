"""Sources and their pins: seen, kept, and held against what is there now."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cxr_core.classes import SOURCES
from cxr_core.errors import SourceError
from tests.walk import Ended, Place, Retrained, flip

Verb = Callable[..., Ended]


@pytest.fixture
def own(first: Retrained, again: Retrained, tmp_path: Path) -> Place:
    """A place with sources of its own."""
    shutil.copytree(first.place.sources, tmp_path / "sources")
    return replace(first.place.copy(tmp_path), sources=tmp_path / "sources")


def states(ended: Ended) -> dict[str, str]:
    return {row["source"]: row["state"] for row in ended.report["sources"]}


def test_unpinned_sources_are_shown_with_what_is_there(own: Place, verb: Verb) -> None:
    ended = verb(own, "sources", "status", "--json")
    assert ended.code == 0
    assert states(ended) == dict.fromkeys(SOURCES, "not pinned")
    assert all(row["found"].startswith("sha256:") and row["files"] > 0 for row in ended.report["sources"])


def test_an_update_pins_every_source_and_changes_the_lock_file_alone(own: Place, verb: Verb) -> None:
    assert states(verb(own, "sources", "update", "--json")) == dict.fromkeys(SOURCES, "as pinned")
    assert own.git("status", "--short") == " M data/sources.lock.yaml\n"
    text = (own.clone / "data/sources.lock.yaml").read_text(encoding="utf-8")
    assert text.count("synthetic: true") == len(SOURCES)
    # Once more changes nothing.
    verb(own, "sources", "update")
    assert (own.clone / "data/sources.lock.yaml").read_text(encoding="utf-8") == text


def test_a_source_that_changed_after_its_pin_is_seen_and_refused_with_both_revisions(own: Place, verb: Verb) -> None:
    from tasks.ingest import ingest
    from tasks.run import open_run

    pinned = {row["source"]: row["found"] for row in verb(own, "sources", "update", "--json").report["sources"]}
    flip(sorted(own.sources.glob("sirm/*/*.jpg"))[0])
    ended = verb(own, "sources", "status", "--json")
    found = {row["source"]: row["found"] for row in ended.report["sources"]}
    assert ended.code == 1
    assert states(ended) == dict.fromkeys(SOURCES, "as pinned") | {"sirm": "differs from its pin"}
    with (
        pytest.raises(SourceError) as refused,
        open_run(own.settings, program="cxr retrain", folder=None, unpinned=False) as run,
    ):
        ingest.fn(run)
    message = refused.value.message
    assert pinned["sirm"] != found["sirm"]
    for revision in (pinned["sirm"], found["sirm"]):
        assert revision.removeprefix("sha256:") in message
    assert "`cxr sources update sirm`" in refused.value.hint
    # The command it names accepts that source and no other.
    flip(sorted(own.sources.glob("kaggle/**/*.jpeg"))[0])
    accepted = verb(own, "sources", "update", "sirm", "--json")
    assert states(accepted) == dict.fromkeys(SOURCES, "as pinned") | {"kaggle": "differs from its pin"}


def test_a_source_that_is_not_there_is_shown_beside_those_that_are(own: Place, verb: Verb) -> None:
    shutil.rmtree(own.sources / "rsna")
    ended = verb(own, "sources", "status", "--json")
    assert ended.code == 1
    assert states(ended)["rsna"].startswith("source_not_found")
    assert states(ended)["sirm"] == "not pinned"


@pytest.mark.parametrize(("names", "reason"), [(["sirn"], "unknown_source"), ([], "source_not_set")])
def test_an_update_that_can_pin_nothing_fails(
    own: Place, verb: Verb, monkeypatch: pytest.MonkeyPatch, names: list[str], reason: str
) -> None:
    monkeypatch.setattr(Place, "environment", own.environment | {"CXR_SOURCES": ""})
    ended = verb(own, "sources", "update", *names, "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, reason)
    assert own.git("status", "--short") == ""
