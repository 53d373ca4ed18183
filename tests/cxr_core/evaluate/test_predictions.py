"""The table of predictions: its CSV keeps every bit, and a table with a fault is refused whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.curate.cohort import CohortRow
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.predictions import check_predictions, parse_predictions, predictions_csv, predictions_of
from tests.cxr_core.evaluate.examples import prediction, predictions

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@st.composite
def tables(draw):
    rows = []
    for number in range(draw(st.integers(1, 6))):
        scores = np.array(draw(st.tuples(*[st.floats(1e-6, 1)] * 3)))
        scores /= scores.sum()
        rows.append(
            prediction(
                number,
                name=f"sirm:{number}{draw(WORDS)}",
                group=draw(WORDS),
                source=draw(st.sampled_from(["sirm", "rsna"])),
                fold=draw(st.none() | st.integers(0, 9)),
                label=draw(st.integers(0, 2)),
                probabilities=tuple(float(score) for score in scores),
                leak_free=draw(st.booleans()),
                view=draw(WORDS),
                sex=draw(st.sampled_from(["M", "F", ""])),
                age_years=draw(st.none() | st.floats(0, 120)),
                label_provenance=draw(st.sampled_from(["", "rt_pcr"])),
            )
        )
    return rows


@given(tables())
def test_csv_keeps_every_bit(rows):
    assert parse_predictions(predictions_csv(rows)) == sorted(rows, key=lambda row: row.name)


def test_csv_does_not_depend_on_the_order_of_rows():
    rows = predictions(20)
    assert predictions_csv(rows) == predictions_csv(rows[::-1])


def test_a_table_of_before_provenance_was_kept_reads_and_is_written_as_it_was():
    old = predictions_csv([prediction()])
    assert "label_provenance" not in old
    assert predictions_csv(parse_predictions(old)) == old
    known = predictions_csv([prediction(label_provenance="rt_pcr"), prediction(1)])
    assert known.splitlines()[0].endswith(",label_provenance")
    assert [row.label_provenance for row in parse_predictions(known)] == ["rt_pcr", ""]
    with pytest.raises(EvidenceError, match="line 2: a cell is missing"):
        parse_predictions(known.replace(",rt_pcr\n", "\n"))


def test_the_likeliest_class_is_predicted_and_a_tie_goes_to_the_first():
    assert prediction(label=1, probabilities=(0.2, 0.5, 0.3)).correct
    assert prediction(probabilities=(0.2, 0.4, 0.4)).predicted == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "found none"),
        ([prediction(probabilities=(0.5, float("nan"), 0.5))], "nan"),
        ([prediction(probabilities=(0.9, 0.2, -0.1))], "-0.1"),
        ([prediction(probabilities=(0.5, 0.3, 0.1))], "sum to 0.9"),
        ([prediction(label=3)], "label 3"),
        ([prediction(fold=-1)], "fold -1"),
        ([prediction(), prediction(1, name=prediction().name)], "kaggle:00000.png is predicted 2 times"),
        ([prediction(), prediction(1, sha256=prediction().sha256)], "is predicted 2 times"),
    ],
)
def test_a_table_with_a_fault_is_refused_and_the_fault_named(rows, words):
    with pytest.raises(EvidenceError, match=words):
        check_predictions(rows)


def test_many_faults_are_named_first_and_counted():
    with pytest.raises(EvidenceError, match="and 3 more"):
        check_predictions([prediction(number, label=7) for number in range(8)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("p_covid", "covid"), "Expected the columns"),
        (lambda text: "", "found none"),
        (lambda text: text.replace(",covid,", ",flu,"), "line 2"),
        (lambda text: text.replace(",0.5,", ",much,"), "line 2: could not convert"),
        (lambda text: text.rsplit(",", 1)[0] + "\n", "line 2"),
    ],
)
def test_unreadable_csv_names_the_line(change, words):
    with pytest.raises(EvidenceError, match=words) as caught:
        parse_predictions(change(predictions_csv([prediction()])))
    assert caught.value.reason == "bad_predictions"


def cohort_row(number):
    return CohortRow(
        name=f"rsna:{number}.dcm",
        source="rsna",
        sha256=f"sha256:{number:064x}",
        source_sha256=f"sha256:{number:064x}",
        label="normal",
        label_provenance="radiologist",
        group=f"g{number}",
        patient="p",
        view="AP",
        sex="M",
        age_years=31.0,
        origin_url="",
        licence="",
        synthetic=False,
        pixel_sha256="",
    )


def test_a_folds_probabilities_are_joined_to_its_rows():
    cohort = [cohort_row(number) for number in range(4)]
    scores = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
    rows = predictions_of(cohort, fold=2, test=[3, 1], probabilities=scores, leak_free=[True, False, True, True])
    assert [(row.name, row.probabilities, row.leak_free, row.fold, row.label) for row in rows] == [
        ("rsna:3.dcm", (0.1, 0.2, 0.7), True, 2, 2),
        ("rsna:1.dcm", (0.6, 0.3, 0.1), False, 2, 2),
    ]
    for fold, words in ((2, "fold 2"), (None, "for refit")):
        with pytest.raises(EvidenceError, match=words):
            predictions_of(cohort, fold=fold, test=[0], probabilities=scores, leak_free=[True] * 4)


def test_the_refit_has_a_word_of_its_own_in_the_table():
    cohort = [cohort_row(0)]
    rows = predictions_of(cohort, fold=None, test=[0], probabilities=np.array([[0.1, 0.2, 0.7]]), leak_free=[True])
    assert ",rsna,refit,normal,1," in predictions_csv(rows)
