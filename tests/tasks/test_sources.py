"""``cxr sources status`` and ``check``: what is here and what is upstream, held against the pins; nothing changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from kagglesdk import kaggle_env

from cxr_core.classes import SOURCES
from cxr_core.ingest.pins import read_pins
from tests.tasks.places import (
    Upstream,
    edit_table,
    lock,
    rows,
    say,
    sirm_images,
    states,
    unreachable,
)
from tests.walk import Ended, Place, flip

Verb = Callable[..., Ended]


def test_unpinned_sources_are_shown_with_what_is_there(own: Place, verb: Verb) -> None:
    ended = verb(own, "sources", "status", "--json")
    assert ended.code == 0
    assert states(ended) == dict.fromkeys(SOURCES, "not pinned")
    assert all(row["found"].startswith("sha256:") and row["files"] > 0 for row in rows(ended).values())


def test_a_flipped_bit_is_seen(pinned: Place, verb: Verb) -> None:
    assert states(verb(pinned, "sources", "status", "--json")) == dict.fromkeys(SOURCES, "as pinned")
    flip(pinned.sources / "sirm" / sirm_images(pinned)[0])
    ended = verb(pinned, "sources", "status", "--json")
    assert ended.code == 1
    assert states(ended) == dict.fromkeys(SOURCES, "as pinned") | {"sirm": "differs from its pin"}
    assert rows(ended)["sirm"]["hint"] == "cxr sources update sirm --dry-run"


def test_a_source_that_is_not_there_is_shown_beside_those_that_are(own: Place, verb: Verb) -> None:
    shutil.rmtree(own.sources / "rsna")
    ended = verb(own, "sources", "status", "--json")
    assert ended.code == 1
    assert states(ended)["rsna"] == "not there"
    assert states(ended)["sirm"] == "not pinned"
    assert str(own.sources / "rsna") in rows(ended)["rsna"]["detail"]


def test_a_source_that_was_never_fetched_needs_no_network_to_be_told(
    own: Place, upstream: Upstream, verb: Verb
) -> None:
    with unreachable(upstream):
        ended = verb(own, "sources", "status", "--json")
    row = rows(ended)["github"]
    assert ended.code == 0
    assert (row["state"], row["kind"], row["at"], row["found"]) == ("not pinned", "git", upstream.address, "")


def test_a_fetched_version_is_read_where_it_lies(own: Place, upstream: Upstream, verb: Verb) -> None:
    verb(own, "sources", "update", "github")
    with unreachable(upstream):
        row = rows(verb(own, "sources", "status", "--json"))["github"]
    assert (row["state"], row["version"]) == ("as pinned", row["upstream"])
    (copy,) = {path.parent for path in (own.home / "sources/github").rglob("metadata.csv")}
    flip(copy / "metadata.csv")
    row = rows(verb(own, "sources", "status", "--json"))["github"]
    assert (row["state"], row["hint"]) == (
        "differs from its pin",
        f"rm -r {copy}; the next retrain fetches it again",
    )
    shutil.rmtree(own.home / "sources")
    ended = verb(own, "sources", "status", "--json")
    assert (ended.code, states(ended)["github"]) == (0, "not fetched")


def test_folders_are_held_against_their_pins(pinned: Place, verb: Verb) -> None:
    ended = verb(pinned, "sources", "check", "--json")
    assert (ended.code, states(ended)) == (0, dict.fromkeys(SOURCES, "as pinned"))
    flip(pinned.sources / "sirm" / sirm_images(pinned)[0])
    ended = verb(pinned, "sources", "check", "--json")
    assert (ended.code, states(ended)["sirm"]) == (1, "differs from its pin")


def test_what_is_not_pinned_or_was_asked_for_and_is_not_set_needs_something(
    own: Place, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verb(own, "sources", "check", "sirm", "--json").code == 1
    monkeypatch.setattr(Place, "environment", own.environment | {"CXR_SOURCES": ""})
    everything = verb(own, "sources", "check", "--json")
    assert (everything.code, states(everything)) == (0, dict.fromkeys(SOURCES, "not set"))
    assert verb(own, "sources", "check", "sirm", "--json").code == 1


def test_a_newer_commit_is_named_beside_the_pinned_one_and_nothing_is_downloaded(
    own: Place, upstream: Upstream, verb: Verb
) -> None:
    verb(own, "sources", "update", "github")
    assert states(verb(own, "sources", "check", "github", "--json")) == {"github": "as pinned"}
    before = rows(verb(own, "sources", "check", "--json"))["github"]
    edit_table(upstream.folder / "metadata.csv", say("SARS"))
    newer = upstream.commit("other words")
    text, store = lock(own), sorted((own.home / "sources").rglob("*"))
    ended = verb(own, "sources", "check", "github", "--json")
    row = rows(ended)["github"]
    assert (ended.code, row["state"]) == (1, "newer upstream")
    assert (row["upstream"], row["newest"]) == (before["newest"], newer)
    assert row["hint"] == "cxr sources update github"
    assert (lock(own), sorted((own.home / "sources").rglob("*"))) == (text, store)


def test_upstream_that_does_not_answer_is_told_beside_those_that_do(
    pinned: Place, upstream: Upstream, verb: Verb
) -> None:
    with unreachable(upstream):
        ended = verb(pinned, "sources", "check", "--json")
    assert ended.code == 1
    assert states(ended)["github"].startswith("unreachable: ")
    assert states(ended)["sirm"] == "as pinned"


def test_rules_that_wait_for_a_persons_yes_are_a_state_of_their_own(
    pinned: Place, refusals: str, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_SOURCE_RSNA", "kaggle:competitions/rsna-pneumonia-detection-challenge")
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "0" * 32)
    # The library knows its servers by heart; this one answers on this machine.
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, refusals)
    ended = verb(pinned, "sources", "check", "rsna", "--json")
    row = rows(ended)["rsna"]
    assert (ended.code, row["state"]) == (1, "consent needed")
    assert "/competitions/rsna-pneumonia-detection-challenge/rules" in row["hint"]


def test_a_pin_from_a_folder_cannot_be_compared_with_a_commit_unseen(
    pinned: Place, upstream: Upstream, verb: Verb
) -> None:
    ended = verb(pinned, "sources", "check", "github", "--json")
    assert (ended.code, states(ended)) == (1, {"github": "not compared"})


def test_an_update_shows_every_kind_of_change_and_the_way_on(pinned: Place, verb: Verb) -> None:
    names = sirm_images(pinned)
    edit_table(pinned.sources / "sirm/cases.csv", say("SARS", only=names[0]))
    flip(pinned.sources / "sirm" / names[1])
    (pinned.sources / "sirm" / names[2]).unlink()
    ended = verb(pinned, "sources", "update", "sirm")
    assert ended.code == 1
    assert "relabelled   covid → viral: 1 image, 'COVID-19' → 'SARS'" in ended.out
    for words in (f"replaced     {names[1]}", f"removed      {names[2]}", "other files  changed cases.csv"):
        assert words in ended.out
    assert "next         `cxr sources update sirm --dry-run --json` lists them" in ended.out
    long = [line for line in ended.out.splitlines() if len(line) > 100]
    assert [line.split()[0] for line in long] == ["refused", "next"]


def test_a_long_list_is_cut_and_says_where_all_of_it_is(pinned: Place, verb: Verb) -> None:
    for number in range(9):
        (pinned.sources / f"sirm/new-{number}.jpg").write_bytes(bytes([number]))
    out = verb(pinned, "sources", "update", "sirm").out
    assert "new-4.jpg" in out
    assert "new-5.jpg" not in out
    assert "… and 4 more (--json lists all)" in out


def test_status_and_check_name_revision_state_and_next_command(pinned: Place, verb: Verb) -> None:
    pin = read_pins(lock(pinned))["sirm"]
    assert pin is not None
    flip(pinned.sources / "sirm" / sirm_images(pinned)[0])
    for word in ("status", "check"):
        out = verb(pinned, "sources", word).out
        assert f"pinned to    {pin.revision[:19]}\n" in out
        assert "sirm     differs from its pin" in out
        assert "next         cxr sources update sirm --dry-run" in out
        assert "rsna     as pinned" in out
