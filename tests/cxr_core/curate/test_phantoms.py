"""Ingest and curate together on phantoms: what the generator meant must be what the cohort holds."""

from collections import Counter

import pytest

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate import stage as curate
from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, REPORT_PATH, read_cohort, read_exclusions
from cxr_core.files import read_json, write_text
from cxr_core.imaging.phantom import write_sources
from cxr_core.imaging.phantom_defects import DefectKind
from cxr_core.ingest import stage as ingest
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, pin_of, with_pin
from tests.cxr_core.curate.build import params

ALL = params("curate.quota.covid=null", "curate.quota.viral=null", "curate.quota.normal=null")
NO_PINS = "schema: 1\nsources: {sirm: null, github: null, rsna: null, kaggle: null}\n"


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    mirrors, workspace = tmp_path_factory.mktemp("mirrors"), tmp_path_factory.mktemp("workspace")
    census = write_sources(mirrors, seed=3, images=dict.fromkeys(CLASSES, 9), size=96)
    lock = NO_PINS
    for source in SOURCES:
        lock = with_pin(lock, source, pin_of(list_source(mirrors / source), licence="-"))
    write_text(workspace / PINS_PATH, lock)
    for source in SOURCES:
        ingest.run(source, workspace=workspace, address=mirrors / source, patient_key=b"k" * 32, params=ALL)
    curate.run(workspace=workspace, params=ALL)
    return workspace, census


def test_the_cohort_is_every_usable_phantom(curated):
    workspace, census = curated
    found = Counter((row.label, row.source) for row in read_cohort(workspace / COHORT_PATH))
    assert found == {(label, source): n for label, of in census.usable.items() for source, n in of.items() if n}
    assert read_json(workspace / REPORT_PATH)["synthetic"] is True


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (DefectKind.LATERAL, "lateral_view"),
        (DefectKind.CT, "not_xray"),
        (DefectKind.BACTERIAL, "bacterial"),
        (DefectKind.TRUNCATED, "truncated"),
        (DefectKind.FILE_WITHOUT_ROW, "no_metadata"),
        (DefectKind.NEAR_DUPLICATE, "duplicate"),
        (DefectKind.BYTE_DUPLICATE, "duplicate"),
    ],
)
def test_every_planted_defect_is_left_out_for_its_own_reason(curated, kind, reason):
    workspace, census = curated
    reasons = {row.name: row.reason for row in read_exclusions(workspace / EXCLUSIONS_PATH)}
    planted = [defect.name for defect in census.defects if defect.kind == kind]
    assert planted
    assert {reasons[name] for name in planted} == {reason}


def test_copies_are_found_across_and_within_sources_and_nothing_else_is_taken_for_one(curated):
    workspace, census = curated
    copies = [sorted([defect.name, defect.original]) for defect in census.defects if defect.original]
    assert read_json(workspace / REPORT_PATH)["clusters"] == sorted(copies)
