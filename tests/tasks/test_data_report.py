"""``cxr data report`` on phantoms: what the generator planted is what the report says, and every file has a place."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.imaging.phantom import PhantomCensus, write_sources
from cxr_core.imaging.phantom_defects import DefectKind
from flows.data_views import show_data_report
from tests.walk import IMAGES, Ended, Place, _clone_this_tree

Verb = Callable[..., Ended]

WHOLE = tuple(word for slug in CLASSES for word in ("--set", f"curate.quota.{slug}=null"))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, PhantomCensus]:
    folder = tmp_path_factory.mktemp("report")
    place = Place(clone=folder / "clone", home=folder / "home", sources=folder / "sources")
    census = write_sources(place.sources, seed=5, images=IMAGES, size=96)
    _clone_this_tree(place)
    return place, census


@pytest.fixture(scope="module")
def reported(planted: tuple[Place, PhantomCensus]) -> Ended:
    """The command as a user calls it."""
    return planted[0].cxr("data", "report", "--json", *WHOLE)


@pytest.mark.xdist_group("data report")
class TestOnPhantoms:
    def test_counts_are_what_was_planted(self, planted: tuple[Place, PhantomCensus], reported: Ended) -> None:
        assert reported.code == 0, reported.err
        usable = planted[1].usable
        assert reported.report["counts"] == {
            slug: {source: usable[slug].get(source, 0) for source in SOURCES} for slug in CLASSES
        }
        assert reported.report["cohort"] == "whole"
        assert reported.report["synthetic"] is True

    def test_every_file_on_disk_is_accounted_for(self, planted: tuple[Place, PhantomCensus], reported: Ended) -> None:
        place, census = planted
        for source in SOURCES:
            row = reported.report["accounted"][source]
            on_disk = [path for path in (place.sources / source).rglob("*") if path.is_file()]
            assert row["files"] == len(on_disk)
            assert row["cohort"] + row["excluded"] + row["quarantined"] == census.files[source]
            assert row["others"] == len(on_disk) - census.files[source]
            assert row["ok"] is True
        kept = sum(row["cohort"] for row in reported.report["accounted"].values())
        assert kept == reported.report["images"] == sum(IMAGES.values())

    def test_clusters_are_the_planted_copies_by_name(
        self, planted: tuple[Place, PhantomCensus], reported: Ended
    ) -> None:
        copies = [sorted([defect.name, defect.original]) for defect in planted[1].defects if defect.original]
        assert reported.report["clusters"] == sorted(copies)
        assert reported.report["duplicates"] == {
            "clusters": len(copies),
            "pictures": 2 * len(copies),
            "largest": 2,
            "across_sources": 1,
        }

    def test_reasons_of_quarantine_and_of_exclusion_are_counted_apart(
        self, planted: tuple[Place, PhantomCensus], reported: Ended
    ) -> None:
        truncated = sum(defect.kind == DefectKind.TRUNCATED for defect in planted[1].defects)
        assert reported.report["quarantine"] == {"truncated": truncated}
        exclusions = reported.report["exclusions"]
        assert "truncated" not in exclusions
        rows = sum(row["rows_without_file"] for row in reported.report["accounted"].values())
        assert sum(exclusions.values()) == rows + sum(row["excluded"] for row in reported.report["accounted"].values())

    def test_confounding_is_told_in_a_number_and_in_words(self, reported: Ended) -> None:
        assert reported.report["cramers_v"] > 0.5
        assert reported.report["verdict"] == "class and source cannot be told apart"
        assert reported.report["shared_sources"]["viral-normal"] == ["github", "kaggle"]
        assert "class and source go together" in reported.err

    def test_the_view_holds_every_number_in_a_hundred_columns(
        self, planted: tuple[Place, PhantomCensus], reported: Ended
    ) -> None:
        console = Console(width=100, record=True, file=io.StringIO())
        show_data_report(console, reported.report)
        text = console.export_text()
        # A path is never cut.
        assert max(len(line) for line in text.splitlines() if str(planted[0].home) not in line) <= 100
        for words in (
            "Cramér's V",
            "cannot be told apart",
            "bacterial",
            "truncated",
            "CC BY-NC-SA 4.0",
            "722",
            "16 588",
        ):
            assert words in text, words
        for slug, name in (("covid", "COVID-19"), ("viral", "other viral pneumonia"), ("normal", "normal")):
            (line,) = [line for line in text.splitlines() if re.match(rf"{name}\s+[\d·]", line)]
            assert line.split()[-1] == str(sum(reported.report["counts"][slug].values()))
        assert text.count("adds up") == len(SOURCES)

    def test_again_nothing_runs_no_server_is_started_and_the_checkout_is_as_it_was(
        self, planted: tuple[Place, PhantomCensus], reported: Ended, verb: Verb
    ) -> None:
        place, _ = planted
        again = verb(place, "data", "report", "--json", *WHOLE)
        assert again.report == reported.report
        assert not (place.home / "prefect").exists()
        assert place.git("status", "--short") == ""

    def test_for_commercial_use_each_row_in_the_way_is_listed_with_the_rule(
        self, planted: tuple[Place, PhantomCensus], reported: Ended, verb: Verb
    ) -> None:
        ended = verb(planted[0], "data", "report", "--json", "--for", "commercial", *WHOLE)
        assert (ended.code, ended.report["ok"]) == (1, False)
        listed = {entry["licence"]: entry for entry in ended.report["not_for_commercial"]}
        rsna = listed["RSNA Pneumonia Detection Challenge terms of use (non-commercial)"]
        assert (rsna["use"], rsna["images"]) == ("forbidden", ended.report["counts"]["normal"]["rsna"])
        assert all(name.startswith("rsna:") for name in rsna["rows"])
        assert listed["CC BY-NC-SA 4.0"]["use"] == "forbidden"
        # SIRM states no licence, GitHub leaves some blank: not stated is not allowed.
        assert {name.partition(":")[0] for name in listed["not stated"]["rows"]} == {"sirm", "github"}
        allowed = ended.report["licences"]["CC BY 4.0"]
        assert sum(entry["images"] for entry in listed.values()) == ended.report["images"] - allowed
        assert "CC BY 4.0" not in listed

    def test_a_cohort_whose_licences_all_allow_it_is_fit_for_commercial_use(
        self, planted: tuple[Place, PhantomCensus], reported: Ended, verb: Verb, tmp_path: Path
    ) -> None:
        place, _ = planted
        for source in ("sirm", "github"):
            (table,) = (place.sources / source).glob("*.csv")
            _license(table, tmp_path / source / table.name)
            for path in (place.sources / source).rglob("*"):
                target = tmp_path / source / path.relative_to(place.sources / source)
                if path.is_file() and not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.hardlink_to(path)
        (tmp_path / "kaggle").symlink_to(place.sources / "kaggle")
        ended = verb(
            replace(place, sources=tmp_path),
            *("data", "report", "--json", "--for", "commercial", *WHOLE),
            *("--set", "ingest.sources=[sirm, github, kaggle]"),
        )
        assert (ended.code, ended.report["not_for_commercial"]) == (0, [])
        assert set(ended.report["accounted"]) == {"sirm", "github", "kaggle"}

    def test_a_quota_that_cannot_be_filled_is_refused_in_words(
        self, planted: tuple[Place, PhantomCensus], reported: Ended, verb: Verb
    ) -> None:
        ended = verb(planted[0], "data", "report", "--json")
        assert ended.code == 1
        assert "Too few usable images" in ended.report["error"]["message"]


def _license(table: Path, target: Path) -> None:
    """The table with CC BY 4.0 in every row."""
    target.parent.mkdir(parents=True)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "license": "CC BY 4.0"} for row in rows)
