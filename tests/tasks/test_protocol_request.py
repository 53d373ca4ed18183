"""What is asked of `cxr protocols` and cannot be: a named reason and the next command, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_core.curate.cohort import COHORT_PATH, write_cohort
from cxr_core.errors import CohortError, ParamsError
from tasks.protocol_request import PROTOCOLS, read_protocols
from tasks.protocols import check_dealing
from tasks.run import open_run, under
from tests.cxr_core.split.cohorts import papers_cohort
from tests.walk import Ended, Place, Retrained


def test_names_are_read_in_their_order() -> None:
    assert read_protocols("paper,grouped,loso") == PROTOCOLS
    assert read_protocols(" grouped , batches ") == ("grouped", "batches")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("paper,random", "unknown_protocol"),
        ("paper,paper", "doubled_protocol"),
        ("paper", "too_few_protocols"),
        ("", "too_few_protocols"),
    ],
)
def test_names_that_do_not_hold_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ParamsError) as caught:
        read_protocols(text)
    assert caught.value.reason == reason
    assert "cxr protocols --protocols paper,grouped,loso" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "reason", "hint"),
    [
        (("--set", "ingest.sources=[kaggle]"), "one_source", "cxr protocols --protocols paper,grouped"),
        (("--set", "split.protocol=loso"), "two_protocols", "cxr protocols --protocols paper,grouped,loso"),
        (("--protocols", "paper,typo"), "unknown_protocol", "cxr protocols --protocols"),
    ],
)
def test_the_command_refuses_before_it_starts_anything(
    first: Retrained, verb: Callable[..., Ended], arguments: tuple[str, ...], reason: str, hint: str
) -> None:
    before = first.place.git("for-each-ref"), sorted(first.place.home.glob("workspaces/*"))
    ended = verb(first.place, "protocols", *arguments, "--json")
    error = ended.report["error"]
    assert (ended.code, error["reason"]) == (1, reason)
    assert hint in error["hint"]
    assert (first.place.git("for-each-ref"), sorted(first.place.home.glob("workspaces/*"))) == before


def test_a_cohort_without_a_source_to_leave_out_is_refused_before_a_fold_is_trained(
    first: Retrained, tmp_path: Path, stand: Callable[[Place], Place]
) -> None:
    place = stand(first.place.copy(tmp_path))
    with open_run(place.settings, program="cxr protocols", folder=None, unpinned=False) as run:
        # The other sources give too little of any class to learn from.
        rows = [row for row in papers_cohort(1500) if row.source == "github"]
        write_cohort(run.path / COHORT_PATH, rows)
        with pytest.raises(CohortError) as caught:
            check_dealing.fn(run, PROTOCOLS)
        assert under(run, "loso").params.split.protocol == "loso"
    assert caught.value.reason == "not_identifiable"
    assert caught.value.hint == "cxr protocols --protocols paper,grouped"
