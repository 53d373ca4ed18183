"""The cohort's report in words: what is wrong with it must be read, not looked for."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from flows.data_views import show_data_report

SOURCES = ("sirm", "github", "rsna", "kaggle")


def report(**changes: Any) -> dict[str, Any]:
    counts = {slug: dict.fromkeys(SOURCES, 300) for slug in ("covid", "viral", "normal")}
    row = {
        "files": 1000,
        "cohort": 900,
        "excluded": 99,
        "quarantined": 0,
        "others": 1,
        "rows_without_file": 0,
        "ok": True,
    }
    whole: dict[str, Any] = {
        "images": 3600,
        "cohort": "whole",
        "digest": "sha256:" + "0" * 64,
        "synthetic": False,
        "counts": counts,
        "cramers_v": 0.0,
        "verdict": "identifiable",
        "shared_sources": {"covid-viral": ["github"], "covid-normal": ["github"], "viral-normal": ["github"]},
        "duplicates": {"clusters": 0, "pictures": 0, "largest": 0, "across_sources": 0},
        "groups": {"n": 1000, "largest": 4, "with_several_images": 500},
        "accounted": {source: dict(row) for source in SOURCES},
        "exclusions": {"lateral_view": 99},
        "quarantine": {},
        "provenance": {"covid": {"rt_pcr": 1200}},
        "licences": {"CC BY 4.0": 3600},
        "sample_size": {
            "confidence": 0.99,
            "margin": 0.01,
            "found_images": 3600,
            "found_groups": 1000,
            "needed": {"0.989": 722, "0.5": 16588},
        },
        "workspace": "/w/[brackets]",
        "ok": True,
    }
    return whole | changes


def words(value: dict[str, Any]) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    show_data_report(console, value)
    return " ".join(console.export_text().split())


def test_a_good_cohort_is_said_to_be_one() -> None:
    text = words(report())
    assert "Cramér's V 0.00, identifiable" in text
    assert "recognition of the source" not in text
    assert "nothing is in quarantine" in text
    assert "/w/[brackets]/data/cohort/" in text
    assert "not for commercial" not in text


@pytest.mark.parametrize(
    ("groups", "verdict"), [(700, "neither is met"), (1000, "the first is met"), (20_000, "both are")]
)
def test_the_sample_size_is_held_against_groups_not_images(groups: int, verdict: str) -> None:
    size = report()["sample_size"] | {"found_groups": groups}
    assert verdict in words(report(sample_size=size))


def test_classes_that_share_no_source_are_named() -> None:
    shared = {"covid-viral": [], "covid-normal": ["github"], "viral-normal": ["github"]}
    text = words(report(shared_sources=shared, verdict="class and source cannot be told apart", cramers_v=0.9))
    assert "no source holds both of COVID-19 and other viral pneumonia" in text
    assert "may be recognition of the source" in text


def test_one_source_alone_has_no_association() -> None:
    assert "cannot be said of one source" in words(report(cramers_v=None))


def test_a_source_that_does_not_add_up_is_told_with_what_to_do() -> None:
    accounted = report()["accounted"]
    accounted["rsna"]["ok"] = False
    text = words(report(accounted=accounted, ok=False))
    assert "does not add up" in text
    assert "files are unaccounted for" in text


def test_licences_that_all_allow_are_told_in_one_line_and_others_by_rule_and_name() -> None:
    assert "every image's licence allows commercial use" in words(report(not_for_commercial=[]))
    rows = [f"github:images/{n}.png" for n in range(5)]
    entry = {"licence": "CC BY-NC", "use": "forbidden", "rule": "non-commercial use only", "images": 5, "rows": rows}
    text = words(report(not_for_commercial=[entry], ok=False))
    assert "5 of 3600 images are not for commercial use" in text
    assert "CC BY-NC 5 images, forbidden: non-commercial use only github:images/0.png" in text
    assert "and 2 more" in text
