import csv
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.cohort import (
    CohortRow,
    Exclusion,
    read_cohort,
    read_exclusions,
    write_cohort,
    write_exclusions,
)
from cxr_core.errors import CohortError
from tests.cxr_core.curate.build import cohort_row

WORDS = st.text(st.characters(codec="utf-8"), max_size=12) | st.text("'=+-@", max_size=4)
ROWS = st.builds(
    CohortRow,
    name=WORDS,
    source=st.sampled_from(SOURCES),
    sha256=WORDS,
    source_sha256=WORDS,
    label=st.sampled_from(CLASSES),
    label_provenance=WORDS,
    group=WORDS,
    patient=WORDS,
    view=WORDS,
    sex=WORDS,
    age_years=st.none() | st.floats(0, 120),
    origin_url=WORDS,
    licence=WORDS,
    synthetic=st.booleans(),
    pixel_sha256=WORDS,
)
EXCLUSIONS = st.builds(Exclusion, name=WORDS, source=st.sampled_from(SOURCES), reason=WORDS, detail=WORDS, label=WORDS)


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, max_size=4))
def test_a_cohort_survives_the_disk(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("cohort") / "cohort.csv"
    write_cohort(path, rows)
    assert read_cohort(path) == rows


@settings(max_examples=25, deadline=None)
@given(st.lists(EXCLUSIONS, max_size=4))
def test_exclusions_survive_the_disk(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("cohort") / "exclusions.csv"
    write_exclusions(path, rows)
    assert read_exclusions(path) == rows


@pytest.mark.parametrize(
    "words", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "'=1", "''=1", "'tis so", "'"]
)
def test_no_cell_begins_as_a_formula_does_and_the_words_come_back(tmp_path, words):
    path = tmp_path / "cohort.csv"
    row = replace(cohort_row("sirm:a.png"), view=words, origin_url=words, licence=words)
    write_cohort(path, [row])
    with path.open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and cell]
    assert read_cohort(path) == [row]


def test_an_absent_cohort_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(CohortError, match="dvc repro curate") as caught:
        read_cohort(tmp_path / "cohort.csv")
    assert caught.value.reason == "no_cohort"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name,source", "source,name"),
        (",covid,", ",flu,"),
        ("sirm:a.png,sirm,", "sirm:a.png,elsewhere,"),
        (",50.0,", ",old,"),
        (",false,", ",perhaps,"),
        ("sirm:a.png,", ""),
    ],
)
def test_a_changed_cohort_is_refused(tmp_path, old, new):
    path = tmp_path / "cohort.csv"
    write_cohort(path, [cohort_row("sirm:a.png")])
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CohortError) as caught:
        read_cohort(path)
    assert caught.value.reason == "damaged_cohort"
