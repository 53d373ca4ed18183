"""Comparing two models: the same images, leak-free for both, differences with their pairing kept."""

from dataclasses import replace

import numpy as np
import pytest

from cxr_core.evaluate.compare import compare, compare_predictions
from tests.cxr_core.evaluate.examples import prediction, predictions

HOW = {"confidence": 0.95, "resamples": 500, "seed": 3}


def spoilt(rows, share, *, seed=1):
    """The same rows with some predictions turned to another class."""
    rng = np.random.default_rng(seed)
    return [replace(row, probabilities=row.probabilities[::-1]) if rng.random() < share else row for row in rows]


def test_a_model_against_itself_does_not_differ():
    rows = predictions(120)
    same = compare(rows, rows[::-1], **HOW)
    assert (same.n, same.shared, same.relabelled) == (120, 120, 0)
    for difference in (same.accuracy, same.macro_auc):
        assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert (same.only_first_right, same.only_second_right, same.mcnemar_p) == (0, 0, 1.0)
    assert same.first_predictions == same.second_predictions


def test_the_difference_is_that_of_the_accuracies_and_swapping_turns_it_round():
    rows = predictions(150)
    worse = spoilt(rows, 0.3)
    there, back = compare(rows, worse, **HOW), compare(worse, rows, **HOW)
    accuracies = [np.mean([row.correct for row in side]) for side in (rows, worse)]
    assert there.accuracy.value == pytest.approx(accuracies[0] - accuracies[1])
    assert there.accuracy.value == pytest.approx((there.only_first_right - there.only_second_right) / 150)
    assert there.accuracy.low > 0
    assert there.mcnemar_p < 0.001
    for name in ("accuracy", "macro_auc"):
        one, other = getattr(there, name), getattr(back, name)
        assert one.value == pytest.approx(-other.value)
        assert one.low == pytest.approx(-other.high)
        assert (one.first, one.second) == (other.second, other.first)


def test_pairing_makes_the_interval_narrower_than_two_apart():
    rows = predictions(150, strength=1.0)
    nearly = [*spoilt(rows[:10], 0.5), *rows[10:]]
    paired = compare(rows, nearly, **HOW).accuracy
    accuracy = np.mean([row.correct for row in rows])
    apart = 2 * 1.96 * np.sqrt(2 * accuracy * (1 - accuracy) / 150)
    assert paired.high - paired.low < apart / 2


def test_only_images_leak_free_for_both_are_compared():
    first = [prediction(number, label=number % 3, leak_free=number != 0) for number in range(40)]
    second = [prediction(number, label=number % 3, leak_free=number != 1) for number in range(60)]
    comparison = compare(first, second, **HOW)
    assert (comparison.shared, comparison.n) == (40, 38)


def test_both_are_judged_by_the_first_tables_labels():
    first = [prediction(number, label=1, probabilities=(0.1, 0.8, 0.1)) for number in range(10)]
    second = [replace(row, label=0) for row in first]
    comparison = compare(first, second, **HOW)
    assert comparison.relabelled == 10
    assert (comparison.accuracy.first, comparison.accuracy.second) == (1.0, 1.0)


def test_nothing_shared_is_null_with_a_reason_and_said_in_words():
    first, second = predictions(12), [prediction(number) for number in range(100, 105)]
    report = compare_predictions(first, second, names=("new", "old"), **HOW)
    assert report["n"] == 0
    assert report["accuracy"]["value"] is report["mcnemar_p"] is report["macro_auc"]["low"] is None
    assert report["accuracy"]["why"]
    assert "new against old: 0 of 0 images" in report["text"]


def test_the_sentence_holds_the_numbers():
    rows = predictions(90)
    report = compare_predictions(rows, spoilt(rows, 0.3), names=("new", "old"), **HOW)
    assert "90 of 90 images" in report["text"]
    assert f"{report['accuracy']['value']:+.3f}" in report["text"]
    assert f"{report['only_first_right']} : {report['only_second_right']}" in report["text"]
