"""Real chest X-rays: the counts of the four mirrors add up, file by file."""

import os
from collections import Counter

import pytest

from cxr_core.ingest.listing import list_source
from cxr_core.ingest.record import read_exclusions, read_records

pytestmark = [
    pytest.mark.mirrors,
    pytest.mark.skipif("CXR_TEST_MIRRORS" not in os.environ, reason="CXR_TEST_MIRRORS names no folder of real images"),
]

# Of each mirror: files in all, image files, metadata rows without a file of their own, patients.
EXPECTED = {
    "sirm": (67, 66, 0, 46),
    "github": (549, 548, 7, 300),
    "rsna": (402, 400, 0, 400),
    "kaggle": (5840, 5840, 0, 3103),
}


@pytest.mark.parametrize("source", EXPECTED)
def test_every_file_of_a_mirror_is_accounted_for(mirrors, ingested_mirrors, source):
    files, images, rows, patients = EXPECTED[source]
    assert list_source(mirrors / source).files == files
    summary = ingested_mirrors.summaries[source]
    assert summary["files"] == summary["records"] + summary["excluded"] + summary["quarantined"] == images
    assert summary["files"] + summary["other_files"] == files
    assert summary["excluded_rows"] == rows
    records = read_records(ingested_mirrors.workspace / "data" / "raw" / source / "records.jsonl")
    assert len(records) == images
    assert len({record.patient for record in records}) == patients
    assert not any(record.synthetic for record in records)


def test_the_collection_s_rows_without_a_file_keep_their_reasons(ingested_mirrors):
    rows = read_exclusions(ingested_mirrors.workspace / "data" / "raw" / "github" / "exclusions.jsonl")
    assert Counter(row.reason for row in rows) == {"file_missing": 2, "duplicate_row": 5}
