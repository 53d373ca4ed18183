"""``cxr paper check``: the paper's own remarks, and a finished run put to the same arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from cxr_core.paper.check import check_paper
from tests.walk import Ended, Place, Retrained

Verb = Callable[..., Ended]


def test_a_run_of_ours_has_no_figure_without_its_count(promoted: Retrained, verb: Verb) -> None:
    ended = verb(promoted.place, "paper", "check", "--json")
    assert ended.code == 0
    assert [remark["code"] for remark in ended.report["paper"]] == [remark.code for remark in check_paper()]
    ours = ended.report["ours"]
    assert ours["run"] == promoted.report["run"]
    assert ours["read"] == ["evidence.json", "table2.md", "figures.md", "report.html"]
    assert ours["faults"] == []


def test_a_table_that_was_changed_is_found_and_ends_with_1(promoted: Retrained, verb: Verb, tmp_path: Path) -> None:
    place = promoted.place.copy(tmp_path)
    run = promoted.report["run"]
    assert verb(place, "paper", "check", run).code == 0
    from tasks.settings import home
    from tasks.stores import tracker_of

    tracker = tracker_of(home())
    kept = tracker.fetch(run, "table2.md", tmp_path / "table2.md").read_text(encoding="utf-8")
    try:
        # Logged anew with its digest, as a person would who believes in it: only arithmetic can tell.
        tracker.attach(run).text("table2.md", re.sub(r"\d+\.\d\d \|\n", "5.16 |\n", kept, count=1))
        ended = verb(place, "paper", "check", run, "--json")
        assert ended.code == 1
        (fault, *_) = ended.report["ours"]["faults"]
        assert (fault["where"], fault["printed"]) == ("table2.md, row 1", "5.16")
        assert "5.16 is said to be" in " ".join(verb(place, "paper", "check", run).out.split())
    finally:
        # The artifacts lie where the first home has them.
        tracker.attach(run).text("table2.md", kept)


def test_in_an_empty_home_the_paper_alone_is_checked(shipped: Place, verb: Verb) -> None:
    ended = verb(shipped, "paper", "check", "--json")
    assert ended.code == 0
    assert ended.report["ours"] is None
    shown = " ".join(verb(shipped, "paper", "check").out.split())
    assert "777/781" in shown
    assert "no run here yet" in shown
