"""Evidence as text: the counts are in it, and what is missing is a dash with a reason."""

import csv
import io

import pytest

from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.schema import Coverage
from cxr_core.evaluate.tables import figures_markdown, flat_metrics, table2_csv, table2_markdown
from cxr_core.params import EvaluateParams
from tests.cxr_core.evaluate.examples import context, prediction, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=100, seed=7)


@pytest.fixture(scope="module")
def evidence():
    return measure(predictions(120, leaking=0.2), PARAMS, context=context())


def test_table_2_has_a_row_a_fold_and_their_mean(evidence):
    lines = table2_markdown(evidence).splitlines()
    assert len(lines) == 2 + 5 + 1
    first = evidence.all.folds[0]
    assert lines[2].startswith(f"| 1 | {first.correct} / {first.n} | {first.accuracy * 100:.2f} (")
    assert f"{(1 - evidence.all.mean_fold_accuracy.value) * 1000:.2f}" in lines[-1]


def test_table_2_as_csv_multiplies_back_to_whole_images(evidence):
    rows = list(csv.DictReader(io.StringIO(table2_csv(evidence))))
    assert [row["k"] for row in rows] == ["1", "2", "3", "4", "5", "mean"]
    for row in rows[:-1]:
        assert float(row["accuracy"]) * int(row["n"]) == pytest.approx(int(row["correct"]))
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])
    assert float(rows[-1]["accuracy"]) == evidence.all.mean_fold_accuracy.value


def test_both_populations_stand_side_by_side(evidence):
    text = figures_markdown(evidence)
    accuracy, clean = evidence.all.accuracy, evidence.leak_free.accuracy
    assert f"{accuracy.k} of {accuracy.n}) | {clean.value:.3f}" in text
    assert f"{evidence.leak.leaking} of {evidence.leak.n} test images" in text
    assert "COVID-19: sensitivity" in text


def test_what_is_missing_is_a_dash_with_its_reason_and_no_metric():
    bare = measure(
        [prediction(number, label=number % 3, group="one") for number in range(9)], PARAMS, context=context()
    )
    assert "| mean | – | – (Limits over patients need at least 2 of them, found 1.) | – |" in table2_markdown(bare)
    assert table2_csv(bare).splitlines()[-1] == "mean,9,3,,,,"
    assert "macro auc | – (Limits over patients need" in figures_markdown(bare)
    metrics = flat_metrics(bare)
    assert "all.macro_auc" not in metrics
    assert metrics["all.macro_auc.n"] == 9
    assert metrics["all.accuracy"] == pytest.approx(3 / 9)


def test_held_out_images_are_a_column_and_metrics_of_their_own_and_what_is_untested_is_said(evidence):
    rows = predictions(120, leaking=0.2)
    held_out = [
        prediction(900 + row.label + 3 * number, fold=None, label=row.label, probabilities=row.probabilities)
        for number, row in enumerate(rows[:30])
    ]
    why = "To test rsna each of its classes needs 5 patient groups elsewhere: normal has 2."
    coverage = Coverage(tested=120, held_out=30, cohort=160, not_identifiable={"rsna": why})
    both = measure(rows, PARAMS, context=context(), coverage=coverage, holdout=held_out)
    text = figures_markdown(both)
    assert text.startswith("120 of 160 images tested, 30 held out; not identifiable: rsna.")
    assert why in text
    assert "| held-out images, by the registered model |\n| --- | --- | --- | --- |" in text
    accuracy = both.holdout.accuracy
    assert f"{accuracy.value:.3f} ({accuracy.low:.3f} to {accuracy.high:.3f}; {accuracy.k} of 30) |" in text
    assert "– (These images are tested by the refit, not by folds.) |" in text
    metrics = flat_metrics(both)
    assert (metrics["tested.n"], metrics["cohort.n"]) == (120, 160)
    assert metrics["holdout.accuracy"] == accuracy.value
    assert not any(name.startswith(("holdout", "tested")) for name in flat_metrics(evidence))
