"""Rows survive their files, and foreign rows are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.errors import SourceError
from cxr_core.files import write_jsonl
from cxr_core.ingest.record import (
    Exclusion,
    Quarantined,
    Record,
    read_exclusions,
    read_quarantine,
    read_records,
    write_rows,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
RECORDS = st.builds(
    Record,
    name=TEXT,
    source=st.sampled_from(["sirm", "github"]),
    path=TEXT,
    sha256=TEXT,
    source_sha256=TEXT,
    bytes=st.integers(min_value=0),
    finding=TEXT,
    modality=TEXT,
    view=TEXT,
    patient=TEXT,
    sex=st.sampled_from(["M", "F", ""]),
    age_years=st.none() | st.floats(min_value=0, max_value=120),
    origin_url=TEXT,
    licence=TEXT,
    label_provenance=st.sampled_from(["rt_pcr", "file_name"]),
    width=st.integers(min_value=16),
    height=st.integers(min_value=16),
    mode=TEXT,
    pixel_sha256=TEXT,
    phash=TEXT,
    synthetic=st.booleans(),
)
EXCLUSIONS = st.builds(Exclusion, name=TEXT, path=TEXT, sha256=st.none() | TEXT, reason=TEXT, detail=TEXT)
QUARANTINED = st.builds(
    Quarantined, name=TEXT, path=TEXT, sha256=TEXT, bytes=st.integers(min_value=0), reason=TEXT, detail=TEXT
)


@pytest.mark.parametrize(
    ("rows", "read"),
    [(RECORDS, read_records), (EXCLUSIONS, read_exclusions), (QUARANTINED, read_quarantine)],
    ids=["records", "exclusions", "quarantine"],
)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_a_table_reads_back_sorted_by_name(tmp_path_factory, data, rows, read):
    path = tmp_path_factory.mktemp("table") / "t.jsonl"
    written = data.draw(st.lists(rows, max_size=4))
    write_rows(path, written)
    assert read(path) == sorted(written, key=lambda row: row.name)


@pytest.mark.parametrize("change", [{"schema": 1}, {"reason": None}, {"more": 1}], ids=["schema", "missing", "unknown"])
def test_a_row_of_another_shape_is_refused(tmp_path, change):
    row = Exclusion(name="n", path="p", sha256=None, reason="r", detail="d").as_dict() | change
    row = {key: value for key, value in row.items() if not (key == "reason" and value is None)}
    write_jsonl(tmp_path / "t.jsonl", [row])
    with pytest.raises(SourceError, match="Exclusion") as caught:
        read_exclusions(tmp_path / "t.jsonl")
    assert caught.value.reason == "bad_record"
