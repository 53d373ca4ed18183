"""A balance holds for what the stages leave, and for nothing else."""

from dataclasses import replace

import pytest

from cxr_core.classes import SOURCES
from cxr_core.curate.account import balances
from cxr_core.curate.cohort import (
    COHORT_PATH,
    EXCLUSIONS_PATH,
    read_cohort,
    read_exclusions,
    write_cohort,
    write_exclusions,
)
from cxr_core.curate.stage import run
from cxr_core.files import read_json, write_json
from cxr_core.ingest.record import Exclusion, Quarantined, read_records, write_rows
from tests.cxr_core.curate.build import params, record, write_raw
from tests.cxr_core.ingest.build import fill, pinned_workspace

FILES = {
    "sirm": {"cases.csv": "t", "caso-01/rx-1.jpg": "a", "caso-01/side.jpg": "b", "broken.jpg": "c"},
    "github": {"metadata.csv": "t", "readme.md": "r", "images/a.png": "d", "images/stray.png": "e"},
    "rsna": {"stage_2_train_images/a.dcm": "f"},
    "kaggle": {"chest_xray/train/a.jpeg": "g"},
}
RECORDS = [
    record("sirm:caso-01/rx-1.jpg"),
    record("sirm:caso-01/side.jpg", view="L"),
    record("github:images/a.png", finding="Influenza"),
    record("rsna:stage_2_train_images/a.dcm"),
    record("kaggle:chest_xray/train/a.jpeg", finding="virus", view="AP"),
]
STRAY = Exclusion(
    name="github:images/stray.png", path="images/stray.png", sha256="sha256:00", reason="no_metadata", detail=""
)
ABSENT = Exclusion(name="github:metadata.csv#4", path="images/x.png", sha256=None, reason="file_missing", detail="")
BROKEN = Quarantined(
    name="sirm:broken.jpg", path="broken.jpg", sha256="sha256:01", bytes=1, reason="truncated", detail=""
)
WHOLE = params(*(f"curate.quota.{slug}=null" for slug in ("covid", "viral", "normal")))


@pytest.fixture
def workspace(tmp_path):
    for source, files in FILES.items():
        fill(tmp_path / "sources" / source, files)
    place = pinned_workspace(tmp_path / "workspace", tmp_path / "sources")
    write_raw(place, RECORDS, exclusions=(STRAY, ABSENT), quarantine=(BROKEN,))
    for source, others in zip(SOURCES, (1, 2, 0, 0), strict=True):
        write_json(place / "data/raw" / source / "summary.json", {"other_files": others})
    run(workspace=place, params=WHOLE)
    return place


def of(workspace, source):
    (balance,) = balances(workspace, [source])
    return balance


def test_each_file_is_in_one_place(workspace):
    found = {balance.source: balance for balance in balances(workspace, SOURCES)}
    assert all(balance.ok for balance in found.values())
    assert {
        source: (b.files, b.cohort, b.excluded, b.quarantined, b.others, b.rows_without_file)
        for source, b in found.items()
    } == {
        "sirm": (4, 1, 1, 1, 1, 0),
        "github": (4, 1, 1, 0, 2, 1),
        "rsna": (1, 1, 0, 0, 0, 0),
        "kaggle": (1, 1, 0, 0, 0, 0),
    }


def test_a_file_that_no_table_names_does_not_add_up(workspace):
    path = workspace / "data/raw/github/summary.json"
    write_json(path, {"other_files": read_json(path)["other_files"] - 1})
    assert not of(workspace, "github").ok
    assert of(workspace, "sirm").ok


def test_a_record_that_is_neither_kept_nor_left_out_does_not_add_up(workspace):
    rows = read_exclusions(workspace / EXCLUSIONS_PATH)
    write_exclusions(workspace / EXCLUSIONS_PATH, [row for row in rows if row.reason != "lateral_view"])
    assert not of(workspace, "sirm").ok


def test_a_row_that_is_kept_twice_does_not_add_up(workspace):
    rows = read_cohort(workspace / COHORT_PATH)
    write_cohort(workspace / COHORT_PATH, [*rows, rows[0]])
    assert not of(workspace, rows[0].source).ok


def test_a_row_under_another_name_does_not_add_up(workspace):
    first, *others = read_cohort(workspace / COHORT_PATH)
    write_cohort(workspace / COHORT_PATH, [replace(first, name=f"{first.source}:elsewhere"), *others])
    assert not of(workspace, first.source).ok


def test_a_lost_record_does_not_add_up(workspace):
    path = workspace / "data/raw/rsna/records.jsonl"
    assert read_records(path)
    write_rows(path, [])
    assert not of(workspace, "rsna").ok
