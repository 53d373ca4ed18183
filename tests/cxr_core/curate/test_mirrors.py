"""Real chest X-rays, whole: every file of every source is kept, left out with a reason, or in quarantine."""

import os
from collections import Counter

import pytest

from cxr_core.classes import SOURCES
from cxr_core.curate import stage
from cxr_core.curate.account import balances
from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, REPORT_PATH, read_cohort, read_exclusions
from cxr_core.curate.reasons import ExclusionReason
from cxr_core.files import read_json
from cxr_core.ingest.record import read_records
from tests.cxr_core.curate.build import params

pytestmark = [
    pytest.mark.mirrors,
    pytest.mark.skipif("CXR_TEST_MIRRORS" not in os.environ, reason="CXR_TEST_MIRRORS names no folder of real images"),
]

IMAGES = {".jpg", ".jpeg", ".png", ".dcm"}


@pytest.fixture(scope="module")
def workspace(ingested_mirrors):
    stage.run(workspace=ingested_mirrors.workspace, params=params())
    return ingested_mirrors.workspace


def test_every_x_ray_on_disk_is_in_exactly_one_place(mirrors, workspace):
    for balance in balances(workspace, SOURCES):
        files = [path for path in (mirrors / balance.source).rglob("*") if path.is_file()]
        images = [path for path in files if path.suffix.lower() in IMAGES]
        assert balance.files == len(files)
        assert balance.cohort + balance.excluded + balance.quarantined == len(images), balance
        assert balance.ok, balance


def test_cohort_and_exclusions_cover_every_record_once(workspace):
    places = Counter(row.name for row in read_cohort(workspace / COHORT_PATH))
    places.update(row.name for row in read_exclusions(workspace / EXCLUSIONS_PATH))
    records = [
        row.name for source in SOURCES for row in read_records(workspace / "data/raw" / source / "records.jsonl")
    ]
    assert len(records) > 6_800
    assert {places[name] for name in records} == {1}


def test_the_default_quotas_draw_the_paper_s_cohort_of_one_picture_a_cluster(workspace):
    report = read_json(workspace / REPORT_PATH)
    assert report["cohort"] == "paper"
    assert {slug: sum(of.values()) for slug, of in report["counts"].items()} == {
        "covid": 240,
        "viral": 274,
        "normal": 267,
    }
    kept = {row.name for row in read_cohort(workspace / COHORT_PATH)}
    assert all(len(kept & set(cluster)) <= 1 for cluster in report["clusters"])
    assert report["cramers_v"] > 0.5


def test_every_left_out_x_ray_has_a_reason_of_the_closed_list(workspace):
    records = {
        row.name for source in SOURCES for row in read_records(workspace / "data/raw" / source / "records.jsonl")
    }
    reasons = {row.reason for row in read_exclusions(workspace / EXCLUSIONS_PATH) if row.name in records}
    assert reasons <= set(ExclusionReason)


def test_a_patient_or_an_x_ray_never_stands_in_two_groups(workspace):
    groups = {}
    for row in read_cohort(workspace / COHORT_PATH):
        assert groups.setdefault(row.patient, row.group) == row.group
