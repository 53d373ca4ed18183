"""The ingest task: sources come here as pinned, what has no pin gets one in the run, and equal bytes rerun nothing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from cxr_core.classes import SOURCES
from cxr_core.errors import SourceError
from cxr_core.ingest.pins import Pin, read_pins
from tests.tasks.places import LOCK, Upstream, edit_table, lock, unreachable
from tests.walk import Ended, Place, flip

Verb = Callable[..., Ended]
# Two sources are enough here, and each costs a process.
TWO = ("ingest.sources=[sirm, github]",)


@pytest.fixture
def run_ingest(stand: Callable[[Place], Place]) -> Callable[[Place], dict[str, Any]]:
    """Run the task in a workspace of a place: summaries, what was said, and the workspace's pins."""

    def call(place: Place) -> dict[str, Any]:
        from flows.terminal import show_events
        from tasks.ingest import ingest
        from tasks.run import open_run

        stand(place)
        console = Console(file=io.StringIO(), width=1000)
        with (
            show_events(console),
            open_run(TWO, program="cxr retrain", folder=None, unpinned=False) as run,
        ):
            summaries = ingest.fn(run)
            text = (run.path / LOCK).read_text(encoding="utf-8")
        assert isinstance(console.file, io.StringIO)
        return {"summaries": summaries, "said": console.file.getvalue(), "lock": text, "pins": read_pins(text)}

    return call


Ingest = Callable[[Place], dict[str, Any]]


def github_pin(place: Place) -> Pin:
    pin = read_pins(lock(place))["github"]
    assert pin is not None
    return pin


def test_what_is_not_pinned_is_pinned_in_the_run_and_nowhere_else(own: Place, run_ingest: Ingest) -> None:
    text = lock(own)
    done = run_ingest(own)
    assert "sirm, github not pinned: this run pins what is there now" in done["said"]
    assert [source for source in SOURCES if done["pins"][source]] == ["sirm", "github"]
    assert done["summaries"]["sirm"]["records"] > 0
    assert done["summaries"]["rsna"]["files"] == 0
    assert lock(own) == text
    assert own.git("status", "--short") == ""


def test_a_source_that_changed_after_its_pin_is_refused_with_both_revisions(
    own: Place, run_ingest: Ingest, verb: Verb
) -> None:
    pinned = {row["source"]: row for row in verb(own, "sources", "update", "--json").report["sources"]}
    flip(sorted(own.sources.glob("sirm/*/*.jpg"))[0])
    found = {row["source"]: row for row in verb(own, "sources", "status", "--json").report["sources"]}
    with pytest.raises(SourceError) as refused:
        run_ingest(own)
    assert refused.value.reason == "pin_mismatch"
    revisions = [pinned["sirm"]["after"]["revision"], found["sirm"]["found"]]
    assert revisions[0] != revisions[1]
    assert [revision in refused.value.message for revision in revisions] == [True, True]
    assert "`cxr sources update sirm`" in refused.value.hint


def test_a_run_keeps_what_its_version_said_so_that_the_next_can_be_compared(
    own: Place, run_ingest: Ingest, verb: Verb
) -> None:
    verb(own, "sources", "update")
    # A machine that has the pins from git alone.
    shutil.rmtree(own.home)
    run_ingest(own)
    (own.sources / "sirm/notes.txt").write_text("seen", encoding="utf-8")
    (row,) = verb(own, "sources", "update", "sirm", "--json").report["sources"]
    assert (row["state"], row["basis"]) == ("moved", "images")


def test_a_repository_is_fetched_and_read_and_once_here_not_asked_again(
    own: Place, upstream: Upstream, run_ingest: Ingest, verb: Verb
) -> None:
    version = "git:" + upstream.git("rev-parse", "HEAD").strip()
    verb(own, "sources", "update")
    assert github_pin(own).upstream == version
    first = run_ingest(own)
    assert first["summaries"]["github"]["records"] > 0
    with unreachable(upstream):
        assert "; unchanged" in run_ingest(own)["said"]
        shutil.rmtree(own.home / "sources")
        with pytest.raises(SourceError):
            run_ingest(own)


def test_the_same_bytes_in_a_new_commit_rerun_nothing_pinned_or_not(
    own: Place, upstream: Upstream, run_ingest: Ingest, verb: Verb
) -> None:
    unpinned = run_ingest(own)
    second = upstream.commit("the same bytes again")
    again = run_ingest(own)
    assert "; unchanged" in again["said"]
    assert again["lock"] == unpinned["lock"]
    # Now pinned in the checkout, and uploaded once more.
    assert verb(own, "sources", "update", "sirm", "github").code == 0
    text = lock(own)
    third = upstream.commit("and again")
    (row,) = verb(own, "sources", "update", "github", "--json").report["sources"]
    assert (row["state"], row["basis"], lock(own)) == ("unchanged", "same_bytes", text)
    assert second != third
    assert third not in text
    assert "; unchanged" in run_ingest(own)["said"]
    # And it is not told as news for ever.
    checked = verb(own, "sources", "check", "github", "--json")
    assert (checked.code, checked.report["sources"][0]["state"]) == (0, "as pinned")


def test_a_pinned_run_reads_the_pinned_commit_whatever_upstream_has_now(
    own: Place, upstream: Upstream, run_ingest: Ingest, verb: Verb
) -> None:
    verb(own, "sources", "update")
    edit_table(upstream.folder / "metadata.csv", lambda table: table.pop())
    upstream.commit("a row less")
    shutil.rmtree(own.home / "sources")
    assert run_ingest(own)["pins"]["github"] == github_pin(own)


def test_a_commit_that_upstream_has_lost_is_replaced_by_equal_bytes_and_by_no_others(
    own: Place, upstream: Upstream, run_ingest: Ingest, verb: Verb
) -> None:
    verb(own, "sources", "update")
    pinned = github_pin(own)
    upstream.rewrite_history()
    shutil.rmtree(own.home)
    assert run_ingest(own)["pins"]["github"] == pinned
    edit_table(upstream.folder / "metadata.csv", lambda table: table.pop())
    newest = upstream.rewrite_history()
    shutil.rmtree(own.home)
    with pytest.raises(SourceError) as refused:
        run_ingest(own)
    assert refused.value.reason == "pin_mismatch"
    for words in (pinned.revision, pinned.upstream, newest):
        assert words in refused.value.message


def test_a_fetched_copy_that_somebody_changed_is_noticed(
    own: Place, upstream: Upstream, run_ingest: Ingest, verb: Verb
) -> None:
    run_ingest(own)
    (copy,) = {path.parent for path in (own.home / "sources/github").rglob("metadata.csv")}
    flip(copy / "metadata.csv")
    with pytest.raises(SourceError) as refused:
        run_ingest(own)
    assert refused.value.reason in ("version_changed", "store_damaged")
    assert f"rm -r {copy}" in refused.value.hint
    shutil.rmtree(copy)
    assert "; unchanged" in run_ingest(own)["said"]
