"""``cxr sources update``: a pin moves only after the difference has been seen, in one step or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from cxr_core.classes import SOURCES
from cxr_core.ingest.pins import read_pins
from tests.tasks.places import (
    Archives,
    Upstream,
    edit_table,
    kinds,
    lock,
    rows,
    say,
    sirm_images,
    states,
    unreachable,
)
from tests.walk import Ended, Place, flip

Verb = Callable[..., Ended]


def test_every_source_is_pinned_and_the_lock_file_alone_changes(own: Place, verb: Verb) -> None:
    ended = verb(own, "sources", "update", "--json")
    assert (ended.code, states(ended)) == (0, dict.fromkeys(SOURCES, "pinned"))
    assert own.git("status", "--short") == " M data/sources.lock.yaml\n"
    assert lock(own).count("synthetic: true") == len(SOURCES)
    assert rows(ended)["sirm"]["labels"] == {"covid": len(sirm_images(own))}
    text = lock(own)
    assert states(verb(own, "sources", "update", "--json")) == dict.fromkeys(SOURCES, "unchanged")
    assert lock(own) == text


def test_a_home_in_the_checkout_stays_out_of_its_git_status(own: Place, verb: Verb) -> None:
    inside = replace(own, home=own.clone / ".cxr")
    verb(inside, "sources", "update")
    assert (inside.home / "catalogues").is_dir()
    assert own.git("status", "--short") == " M data/sources.lock.yaml\n"


def test_only_the_named_source_is_touched(pinned: Place, verb: Verb) -> None:
    before = read_pins(lock(pinned))
    for source in ("sirm", "rsna"):
        (pinned.sources / source / "notes.txt").write_text("seen", encoding="utf-8")
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    after = read_pins(lock(pinned))
    assert states(ended) == {"sirm": "moved"}
    assert after["sirm"] != before["sirm"]
    assert after | {"sirm": None} == before | {"sirm": None}


def test_what_happened_to_each_image_is_told_before_the_pin_moves(pinned: Place, verb: Verb) -> None:
    folder, names = pinned.sources / "sirm", sirm_images(pinned)
    gone, other, moved, copied = (folder / name for name in names[:4])
    shutil.copy(copied, folder / "caso-99.jpg")
    gone.unlink()
    flip(other)
    moved.rename(folder / "caso-98.jpg")
    text = lock(pinned)
    words = ("sources", "update", "sirm", "--dry-run", "--accept-relabelled", "--json")
    (row,) = verb(pinned, *words).report["sources"]
    assert lock(pinned) == text
    assert (row["state"], row["basis"]) == ("would move", "images")
    # The table still names the old places: what lies elsewhere has no finding.
    assert kinds(row) == {
        "added": ["caso-99.jpg"],
        "removed": [names[0]],
        "replaced": [names[1]],
        "relabelled": ["caso-98.jpg"],
    }
    assert row["changes"]["unchanged"] == len(names) - 3
    assert row["changes"]["relabelled"][0]["was"] == names[2]


def test_a_dry_run_that_would_be_refused_says_so(pinned: Place, verb: Verb) -> None:
    edit_table(pinned.sources / "sirm/cases.csv", say("SARS"))
    ended = verb(pinned, "sources", "update", "sirm", "--dry-run", "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "mass_relabelling")


def test_words_that_mean_the_same_class_are_reworded_not_relabelled(pinned: Place, verb: Verb) -> None:
    edit_table(pinned.sources / "sirm/cases.csv", say("Pneumonia/Viral/COVID-19"))
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    row = rows(ended)["sirm"]
    assert (ended.code, row["state"]) == (0, "moved")
    assert kinds(row) == {"reworded": sirm_images(pinned)}
    assert row["changes"]["other_files"] == [{"change": "changed", "path": "cases.csv"}]
    change = row["changes"]["reworded"][0]
    assert (change["finding_before"], change["finding_after"]) == ("COVID-19", "Pneumonia/Viral/COVID-19")


def test_relabelling_in_mass_waits_for_a_person(pinned: Place, verb: Verb) -> None:
    edit_table(pinned.sources / "sirm/cases.csv", say("SARS"))
    text = lock(pinned)
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    error, row = ended.report["error"], rows(ended)["sirm"]
    assert (ended.code, error["reason"], row["state"]) == (1, "mass_relabelling", "mass_relabelling")
    assert lock(pinned) == text
    assert "ingest.max_relabelled" in error["message"]
    assert f"{sirm_images(pinned)[0]}: covid → viral" in error["message"]
    assert "`cxr sources update sirm --accept-relabelled`" in error["hint"]
    assert row["changes"]["moves"] == [{"before": "covid", "after": "viral", "images": len(sirm_images(pinned))}]
    accepted = verb(pinned, "sources", "update", "sirm", "--accept-relabelled", "--json")
    assert (accepted.code, states(accepted)) == (0, {"sirm": "moved"})
    assert kinds(rows(accepted)["sirm"]) == {"relabelled": sirm_images(pinned)}
    assert states(verb(pinned, "sources", "status", "--json"))["sirm"] == "as pinned"


def test_a_source_that_has_lost_every_image_waits_for_a_person(pinned: Place, verb: Verb) -> None:
    for name in sirm_images(pinned):
        (pinned.sources / "sirm" / name).unlink()
    text = lock(pinned)
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    assert (ended.code, ended.report["error"]["reason"], lock(pinned)) == (1, "no_images", text)
    accepted = verb(pinned, "sources", "update", "sirm", "--accept-relabelled", "--json")
    assert (accepted.code, states(accepted)) == (0, {"sirm": "moved"})


def test_a_refused_source_holds_back_no_other(pinned: Place, verb: Verb) -> None:
    edit_table(pinned.sources / "sirm/cases.csv", say("SARS"))
    (pinned.sources / "rsna/notes.txt").write_text("seen", encoding="utf-8")
    ended = verb(pinned, "sources", "update", "--json")
    assert ended.code == 1
    assert states(ended) == {
        "sirm": "mass_relabelling",
        "github": "unchanged",
        "rsna": "moved",
        "kaggle": "unchanged",
    }


def test_a_share_of_labels_under_the_limit_passes(pinned: Place, verb: Verb) -> None:
    name = sirm_images(pinned)[0]
    edit_table(pinned.sources / "sirm/cases.csv", say("SARS", only=name))
    assert verb(pinned, "sources", "update", "sirm").code == 1
    pinned.rewrite(pinned.clone / "params.yaml", {"max_relabelled: 0.02": "max_relabelled: 0.5"})
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    assert (ended.code, kinds(rows(ended)["sirm"])) == (0, {"relabelled": [name]})


def test_kaggles_class_stands_in_the_path_so_a_renamed_file_is_relabelled(pinned: Place, verb: Verb) -> None:
    path = sorted(pinned.sources.glob("kaggle/**/person*_virus_*.jpeg"))[0]
    path.rename(path.with_name(path.name.replace("_virus_", "_bacteria_")))
    row = rows(verb(pinned, "sources", "update", "kaggle", "--accept-relabelled", "--json"))["kaggle"]
    (change,) = row["changes"]["relabelled"]
    assert (change["before"], change["after"], change["was"]) == (
        "viral",
        "bacterial",
        path.relative_to(pinned.sources / "kaggle").as_posix(),
    )


def test_without_what_the_pinned_version_said_only_counts_are_compared_and_a_person_is_asked(
    pinned: Place, verb: Verb
) -> None:
    shutil.rmtree(pinned.home / "catalogues")
    (pinned.sources / "sirm/notes.txt").write_text("seen", encoding="utf-8")
    text = lock(pinned)
    ended = verb(pinned, "sources", "update", "sirm", "--json")
    row = rows(ended)["sirm"]
    assert (ended.code, row["state"], row["basis"], row["changes"]) == (1, "no_catalogue", "no_catalogue", None)
    assert row["after"]["files"] == row["before"]["files"] + 1
    assert lock(pinned) == text
    accepted = rows(verb(pinned, "sources", "update", "sirm", "--accept-relabelled", "--json"))["sirm"]
    assert (accepted["state"], accepted["basis"]) == ("moved", "no_catalogue")
    assert accepted["detail"]


def test_a_damaged_catalogue_is_none(pinned: Place, verb: Verb) -> None:
    (catalogue,) = (pinned.home / "catalogues/sirm").glob("*.jsonl")
    lines = catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    catalogue.write_text("".join(lines[1:]), encoding="utf-8")
    (pinned.sources / "sirm/notes.txt").write_text("seen", encoding="utf-8")
    row = rows(verb(pinned, "sources", "update", "sirm", "--json"))["sirm"]
    assert row["state"] == "no_catalogue"
    assert str(catalogue) in row["error"]["message"]


def test_a_layout_that_cannot_be_read_is_never_pinned(pinned: Place, verb: Verb) -> None:
    (pinned.sources / "github/metadata.csv").write_text("<html>Sign in</html>\n", encoding="utf-8")
    text = lock(pinned)
    ended = verb(pinned, "sources", "update", "github", "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "missing_columns")
    assert lock(pinned) == text


def test_a_pin_that_another_hand_moved_meanwhile_is_not_overwritten(
    pinned: Place, stand: Callable[[Place], Place]
) -> None:
    from tasks import sources

    stand(pinned)
    standing = read_pins(lock(pinned))["sirm"]
    assert standing is not None
    order = sources._Order(
        root=pinned.clone, where=sources.home(pinned.clone), limit=0, named=True, accept=False, dry_run=False
    )
    mine = standing.replace(revision="sha256:" + "1" * 64)
    theirs = standing.replace(revision="sha256:" + "2" * 64)
    sources._move("sirm", order, standing, theirs)
    with pytest.raises(sources.SourceError) as caught:
        sources._move("sirm", order, standing, mine)
    assert caught.value.reason == "pin_moved"
    assert read_pins(lock(pinned))["sirm"] == theirs


@pytest.mark.parametrize(("names", "reason"), [(["sirn"], "unknown_source"), ([], "source_not_set")])
def test_an_update_that_can_pin_nothing_fails(
    own: Place, verb: Verb, monkeypatch: pytest.MonkeyPatch, names: list[str], reason: str
) -> None:
    monkeypatch.setattr(Place, "environment", own.environment | {"CXR_SOURCES": ""})
    ended = verb(own, "sources", "update", *names, "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, reason)
    assert own.git("status", "--short") == ""


def test_of_sources_that_are_not_there_only_a_named_one_is_missed(own: Place, verb: Verb) -> None:
    shutil.rmtree(own.sources / "rsna")
    everything = verb(own, "sources", "update", "--json")
    assert (everything.code, states(everything)["rsna"]) == (0, "not there")
    named = verb(own, "sources", "update", "rsna", "--json")
    assert (named.code, named.report["error"]["reason"]) == (1, "source_not_found")


def test_an_archive_under_a_new_etag_with_the_same_bytes_moves_nothing(
    own: Place, archives: Archives, verb: Verb
) -> None:
    verb(own, "sources", "update", "github")
    text = lock(own)
    assert "upstream: https:sha256:" in text
    assert states(verb(own, "sources", "check", "github", "--json")) == {"github": "as pinned"}
    archives.upload()
    assert states(verb(own, "sources", "check", "github", "--json")) == {"github": "newer upstream"}
    row = rows(verb(own, "sources", "update", "github", "--json"))["github"]
    assert (row["state"], row["basis"], lock(own)) == ("unchanged", "same_bytes", text)
    assert states(verb(own, "sources", "check", "github", "--json")) == {"github": "as pinned"}
    # A machine that never fetched it cannot tell what an ETag stands for.
    shutil.rmtree(own.home)
    assert states(verb(own, "sources", "check", "github", "--json")) == {"github": "not compared"}


def test_an_update_killed_while_it_fetches_leaves_the_pin_and_the_next_one_moves_it(
    own: Place, archives: Archives, verb: Verb
) -> None:
    verb(own, "sources", "update", "github")
    text = lock(own)
    (archives.source / "images/new.jpg").write_bytes(b"new")
    archives.upload()
    archives.go_on.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "sources", "update", "github"],
        cwd=own.clone,
        env=own.environment | {"CXR_SOURCE_GITHUB": archives.address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert archives.stalled.wait(120)
    finally:
        process.kill()
        process.wait()
    archives.go_on.set()
    assert lock(own) == text
    assert states(verb(own, "sources", "status", "--json"))["github"] == "as pinned"
    row = rows(verb(own, "sources", "update", "github", "--json"))["github"]
    assert (row["state"], kinds(row)) == ("moved", {"added": ["images/new.jpg"]})


def test_a_commit_moves_the_pin_and_both_versions_are_named(own: Place, upstream: Upstream, verb: Verb) -> None:
    first = "git:" + upstream.git("rev-parse", "HEAD").strip()
    verb(own, "sources", "update", "github")
    (upstream.folder / "images/new.jpg").write_bytes(b"new")
    second = upstream.commit("one more")
    row = rows(verb(own, "sources", "update", "github", "--json"))["github"]
    assert (row["before"]["upstream"], row["after"]["upstream"]) == (first, second)
    assert kinds(row) == {"added": ["images/new.jpg"]}


def test_a_commit_that_this_machine_never_saw_is_fetched_to_be_compared_with(
    own: Place, upstream: Upstream, verb: Verb
) -> None:
    verb(own, "sources", "update", "github")
    edit_table(upstream.folder / "metadata.csv", say("SARS"))
    upstream.commit("other words")
    shutil.rmtree(own.home)
    ended = verb(own, "sources", "update", "github", "--json")
    assert ended.report["error"]["reason"] == "mass_relabelling"
    assert rows(ended)["github"]["basis"] == "images"


def test_an_upstream_that_is_gone_moves_nothing_and_holds_back_no_other(
    own: Place, upstream: Upstream, verb: Verb
) -> None:
    verb(own, "sources", "update")
    text = lock(own)
    (own.sources / "rsna/notes.txt").write_text("seen", encoding="utf-8")
    with unreachable(upstream):
        ended = verb(own, "sources", "update", "--json")
    assert ended.code == 1
    assert (rows(ended)["github"]["error"], states(ended)["rsna"]) == (ended.report["error"], "moved")
    assert read_pins(lock(own))["github"] == read_pins(text)["github"]


def test_bytes_pinned_from_a_folder_learn_where_they_can_be_fetched(
    pinned: Place, upstream: Upstream, verb: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_pins(lock(pinned))["github"]
    row = rows(verb(pinned, "sources", "update", "github", "--json"))["github"]
    after = read_pins(lock(pinned))["github"]
    assert before is not None
    assert after is not None
    assert (row["state"], row["basis"]) == ("moved", "same_bytes")
    assert (after.kind, after.revision) == ("git", before.revision)
    # Back to a mirror folder of the same bytes: the pin keeps what it knows.
    monkeypatch.delenv("CXR_SOURCE_GITHUB")
    assert states(verb(pinned, "sources", "update", "github", "--json")) == {"github": "unchanged"}
