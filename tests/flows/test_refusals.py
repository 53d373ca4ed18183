"""Bad input: exit 1, one named reason, the next step, no traceback, and everything as it was before."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_core.errors import SettingError
from tests.walk import ROOT, Ended, Place, Retrained, free_port

Verb = Callable[..., Ended]


@pytest.fixture
def untouched(promoted: Retrained) -> Place:
    """The place where version 2 serves; a refusal may not change it."""
    return promoted.place


def state(place: Place) -> tuple[str, str, list[str]]:
    return place.git("status", "--short"), place.git("for-each-ref"), sorted(map(str, place.home.glob("workspaces/*")))


def refused(ended: Ended, reason: str) -> dict[str, str]:
    error = ended.report["error"]
    assert ended.code == 1
    assert (error["reason"], ended.report["ok"]) == (reason, False)
    assert error["hint"]
    assert f"error ({reason})" in ended.err
    assert "Traceback" not in ended.out + ended.err
    return error


def test_without_a_place_for_the_sources_both_ways_on_are_named(untouched: Place) -> None:
    before = state(untouched)
    ended = untouched.cxr("retrain", "--json", CXR_SOURCES=None)
    error = refused(ended, "source_not_set")
    assert "CXR_SOURCES" in error["hint"]
    assert "cxr demo" in error["hint"]
    assert state(untouched) == before


def test_a_tracking_server_that_does_not_answer_is_told_before_anything_runs(
    untouched: Place, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(untouched)
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    error = refused(verb(untouched, "retrain", "--json"), "internal_error")
    assert error["kind"] == "TrackingError"
    assert address in error["message"]
    assert "MLFLOW_TRACKING_URI" in error["hint"]
    assert state(untouched) == before


def test_a_missing_source_is_named_with_its_folder(untouched: Place, verb: Verb, tmp_path: Path) -> None:
    before = state(untouched)
    elsewhere = Place(clone=untouched.clone, home=untouched.home, sources=tmp_path / "nowhere")
    error = refused(verb(elsewhere, "retrain", "--json"), "source_not_found")
    assert str(tmp_path / "nowhere/sirm") in error["message"]
    assert state(untouched) == before


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epoch=3", "train.epoch is no key of params.yaml"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("train.epochs", "'train.epochs' is not key=value"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(untouched: Place, verb: Verb, setting: str, words: str) -> None:
    before = state(untouched)
    error = refused(verb(untouched, "retrain", "--set", setting, "--json"), "bad_params")
    assert words in error["message"]
    assert "params.yaml" in error["hint"]
    assert state(untouched) == before


@pytest.mark.parametrize("text", ["train: [\n", "schema: 1\n", "[]\n"])
def test_a_broken_params_file_is_named(promoted: Retrained, verb: Verb, tmp_path: Path, text: str) -> None:
    place = promoted.place.copy(tmp_path)
    (place.clone / "params.yaml").write_text(text, encoding="utf-8")
    refused(verb(place, "retrain", "--json"), "bad_params")


@pytest.mark.parametrize("command", [("retrain",), ("trace",), ("verify",), ("sources", "status")])
def test_outside_a_checkout_the_way_in_is_named(
    untouched: Place, verb: Verb, stand: Callable[[Place], Place], tmp_path: Path, command: tuple[str, ...]
) -> None:
    elsewhere = Place(clone=tmp_path, home=untouched.home, sources=untouched.sources)
    error = refused(verb(elsewhere, *command, "--json"), "no_checkout")
    assert "cd" in error["hint"]


def test_a_store_that_is_no_database_is_left_alone(
    untouched: Place, verb: Verb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(untouched)
    notes = tmp_path / "notes.db"
    notes.write_text("my notes\n" * 10, encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{notes}")
    for command in ("retrain", "trace", "verify"):
        error = refused(verb(untouched, command, "--json"), "not_a_database")
        assert str(notes) in error["message"]
    assert notes.read_text(encoding="utf-8") == "my notes\n" * 10
    assert state(untouched) == before


def test_a_container_whose_user_has_no_name_is_asked_for_one_at_once(
    untouched: Place, stand: Callable[[Place], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.run import check_request

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4242")

    stand(untouched)
    monkeypatch.delenv("CXR_ACTOR")
    monkeypatch.setattr("getpass.getuser", nameless)
    with pytest.raises(SettingError, match="CXR_ACTOR") as refusal:
        check_request([])
    assert refusal.value.reason == "nobody"


def test_a_home_that_is_a_file_is_named(untouched: Place, verb: Verb, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", encoding="utf-8")
    place = Place(clone=untouched.clone, home=tmp_path / "home", sources=untouched.sources)
    refused(verb(place, "retrain", "--json"), "bad_home")


def test_code_of_another_checkout_is_not_run_under_this_ones_name(
    untouched: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.run import check_request

    monkeypatch.chdir(untouched.clone)
    with pytest.raises(SettingError, match=re.escape(str(ROOT))) as refusal:
        check_request([])
    assert refusal.value.reason == "foreign_code"
    assert str(untouched.clone) in refusal.value.hint
