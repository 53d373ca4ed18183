"""Every image file once, every row accounted for, one person one patient."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.digests import digest_bytes
from cxr_core.errors import SourceError
from cxr_core.ingest.faults import IngestFault
from cxr_core.ingest.layout import Candidate, Row, Tree, lay_out
from cxr_core.ingest.listing import Entry, Listing
from tests.cxr_core.ingest.build import tree

FILES = ("a.jpg", "b.png", "c.dcm", "d.jpg", "table.csv")
PATHS = st.sampled_from([*FILES, "./a.jpg", "gone.jpg", "/etc/passwd", "../a.jpg", "x/../../a.jpg", "", "C:\\a.jpg"])


def row(number: int, path: str, *, finding: str = "COVID-19", patient: str = "1") -> Row:
    words = {"modality": "X-ray", "view": "PA", "licence": "", "label_provenance": "case_report"}
    return Row(table="t.csv", number=number, candidate=Candidate(path=path, finding=finding, patient=patient, **words))


@pytest.fixture
def source(tmp_path):
    return tree("github", tmp_path, dict.fromkeys(FILES, "x"))


@given(
    named=st.lists(st.tuples(PATHS, st.sampled_from(["COVID-19", "SARS"]), st.sampled_from("123")), max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_every_image_is_one_candidate_or_one_exclusion_and_every_row_one_of_three(named):
    entries = tuple(Entry(path=path, bytes=1, sha256=digest_bytes(path.encode())) for path in FILES)
    listing = Listing(entries=entries, revision="sha256:0", synthetic=False)
    source = Tree(source="github", root=Path("never read"), listing=listing)
    rows = [row(n, path, finding=finding, patient=who) for n, (path, finding, who) in enumerate(named, 1)]
    layout = lay_out(source, rows)
    files = [c.path for c in layout.candidates] + [e.path for e in layout.exclusions if e.sha256]
    assert sorted(files) == sorted(source.images)
    conflicting = [e for e in layout.exclusions if e.reason == IngestFault.CONFLICTING_ROWS]
    excluded_rows = [e for e in layout.exclusions if e.sha256 is None]
    assert len(rows) == len(layout.candidates) + len(conflicting) + len(excluded_rows)
    names = [e.name for e in layout.exclusions] + [f"github:{c.path}" for c in layout.candidates]
    assert len(set(names)) == len(names)


def test_a_missing_file_an_unnamed_one_and_a_table_each_have_their_reason(source):
    layout = lay_out(source, [row(1, "a.jpg"), row(2, "gone.jpg"), row(3, "table.csv")])
    assert {(e.name, e.reason) for e in layout.exclusions} == {
        ("github:t.csv#2", IngestFault.FILE_MISSING),
        ("github:t.csv#3", IngestFault.NOT_AN_IMAGE_FILE),
        ("github:b.png", IngestFault.NO_METADATA),
        ("github:c.dcm", IngestFault.NO_METADATA),
        ("github:d.jpg", IngestFault.NO_METADATA),
    }


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.jpg", "x/../a.jpg", "..\\a.jpg", "C:/a.jpg", "a.jpg\0", ""])
def test_a_path_out_of_the_source_is_refused_and_kept_with_its_reason(source, path):
    [found] = [e for e in lay_out(source, [row(1, path)]).exclusions if e.sha256 is None]
    assert (found.reason, found.path) == (IngestFault.UNSAFE_PATH, path)


def test_a_second_row_says_what_it_tells_otherwise(source):
    layout = lay_out(source, [row(4, "a.jpg"), row(9, "./a.jpg", patient="2")])
    [again] = [e for e in layout.exclusions if e.reason == IngestFault.DUPLICATE_ROW]
    assert (again.name, again.sha256) == ("github:t.csv#9", None)
    assert "row 4" in again.detail
    assert "differs in patient" in again.detail


def test_two_ids_that_share_a_file_are_one_patient_in_all_their_files(source):
    rows = [row(1, "a.jpg", patient="1"), row(2, "a.jpg", patient="2"), row(3, "b.png", patient="2")]
    rows += [row(4, "c.dcm", patient="2"), row(5, "c.dcm", patient="3"), row(6, "d.jpg", patient="3")]
    assert {c.patient for c in lay_out(source, rows).candidates} == {"1"}


def test_files_without_a_patient_are_not_merged(source):
    rows = [row(1, "a.jpg", patient=""), row(2, "a.jpg", patient="2"), row(3, "b.png", patient="")]
    assert [c.patient for c in lay_out(source, rows).candidates] == ["", ""]


def test_rows_that_disagree_on_the_finding_exclude_the_file(source):
    layout = lay_out(source, [row(1, "a.jpg"), row(2, "a.jpg", finding="SARS"), row(3, "b.png")])
    assert [c.path for c in layout.candidates] == ["b.png"]
    [conflict] = [e for e in layout.exclusions if e.reason == IngestFault.CONFLICTING_ROWS]
    assert conflict.name == "github:a.jpg"
    assert "'COVID-19' and 'SARS'" in conflict.detail


def test_a_table_that_changed_since_the_listing_stops_the_reading(source):
    (source.root / "table.csv").write_text("y")
    with pytest.raises(SourceError) as caught:
        source.read("table.csv")
    assert caught.value.reason == "source_changed"
