"""Tables as people really save them: encodings, byte-order marks, short rows, column names of all ages."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.errors import SourceError
from cxr_core.ingest.tables import age_years, read_table, sex

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(cells=st.lists(st.tuples(CELLS, CELLS), max_size=8))
@settings(max_examples=25, deadline=None)
def test_what_was_written_is_read_but_for_blanks_around(cells):
    out = io.StringIO()
    csv.writer(out).writerows([("Patientid", " url"), *cells])
    found = read_table(out.getvalue().encode(), name="t.csv", required=("patientid", "url"))
    expected = [{"patientid": a.strip(), "url": b.strip()} for a, b in cells if a or b]
    assert [dict(row) for row in found] == expected


def test_a_stray_byte_is_read_alone_and_the_rest_stays_utf_8():
    data = "\ufefffile,note\né.jpg,".encode() + b"caf\xe9 \x81\n"
    assert read_table(data, name="t.csv", required=("file",)) == [{"file": "é.jpg", "note": "café \ufffd"}]


def test_line_ends_and_quoted_breaks_are_kept_apart():
    found = read_table(b'file,note\r\na.jpg,"one\r\ntwo"\r\n\r\n', name="t.csv", required=("file",))
    assert found == [{"file": "a.jpg", "note": "one\r\ntwo"}]


def test_short_and_long_rows_are_rows():
    found = read_table(b"a,b\n1\n1,2,3\n", name="t.csv", required=("a", "b"))
    assert found == [{"a": "1", "b": ""}, {"a": "1", "b": "2"}]


@pytest.mark.parametrize("data", [b"", b"name,finding\nx,y\n", b"\x89PNG\r\n"])
def test_a_missing_column_is_named(data):
    with pytest.raises(SourceError, match="patientid") as caught:
        read_table(data, name="metadata.csv", required=("patientid", "finding"))
    assert caught.value.reason == "missing_columns"


def test_a_cell_without_end_is_a_bad_table():
    with pytest.raises(SourceError) as caught:
        read_table(b'a\n"' + b"x" * 200_000, name="t.csv", required=("a",))
    assert caught.value.reason == "bad_table"


@pytest.mark.parametrize(
    ("text", "years"),
    [("65.0", 65.0), ("0", 0.0), ("120", 120.0), ("155", None), ("-1", None), ("", None), ("nan", None)],
)
def test_an_age_is_years_or_unknown(text, years):
    assert age_years(text) == years


@pytest.mark.parametrize(("text", "found"), [("M", "M"), ("f", "F"), ("", ""), ("unknown", "")])
def test_sex_is_m_f_or_unknown(text, found):
    assert sex(text) == found
