"""Two models on the same images: areas against calculations of their own, and what 'no worse' takes."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from cxr_core.classes import CLASSES
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import auc
from cxr_core.evaluate.paired import area_differences, non_inferior, shared_images
from cxr_core.stats.paired import delong_p
from tests.cxr_core.evaluate.examples import prediction, predictions


def noisy(rows, scale, *, seed=1):
    """The same rows with noise on every probability."""
    rng = np.random.default_rng(seed)
    made = []
    for row in rows:
        scores = np.exp(np.log(np.array(row.probabilities) + 1e-6) + rng.normal(scale=scale, size=3))
        made.append(replace(row, probabilities=tuple(float(p) for p in scores / scores.sum())))
    return made


@pytest.mark.parametrize("images", [1, 3])
def test_areas_differ_by_patient(images):
    rows = [replace(row, group=str(number // images)) for number, row in enumerate(predictions(90, strength=1.5))]
    shared = shared_images(rows, noisy(rows, 1.5))
    found = area_differences(shared, confidence=0.95)
    first, second = (Arrays.of(side) for side in (shared.first, shared.second))
    for index, slug in enumerate(CLASSES):
        mine, theirs = (auc(side, index, confidence=0.95) for side in (first, second))
        wanted = difference(mine, theirs, first.patients, confidence=0.95)
        area = found[slug]
        assert (area.first, area.second, area.value) == (mine.value, theirs.value, wanted.value)
        assert (area.low, area.high) == (wanted.clustered.low, wanted.clustered.high)
        influence = mine.influence - theirs.influence
        assert area.p == delong_p(area.value, influence, first.label == index, first.patients)
        assert area.why == ""


def test_two_that_order_these_images_alike_are_not_proven_to_order_others_alike():
    rows = predictions(90, strength=1.5)
    nearly = [replace(row, probabilities=tuple(p * (1 + 1e-13) for p in row.probabilities)) for row in rows]
    for area in area_differences(shared_images(rows, nearly), confidence=0.95).values():
        assert (area.value, area.p) == (0, None)
        assert -0.05 < area.low < 0 < area.high < 0.05
        assert "do not tell" in area.why


def test_images_of_one_patient_have_no_limits_and_say_why():
    rows = [replace(row, group="one") for row in predictions(30)]
    for second in (rows, noisy(rows, 1)):
        for area in area_differences(shared_images(rows, second), confidence=0.95).values():
            assert area.p is None
            assert area.why


def test_swapping_turns_the_difference_round_and_keeps_p():
    rows = predictions(60, strength=1)
    other = noisy(rows, 2)
    there = area_differences(shared_images(rows, other), confidence=0.9)
    back = area_differences(shared_images(other, rows), confidence=0.9)
    for slug in CLASSES:
        assert there[slug].value == pytest.approx(-back[slug].value)
        assert there[slug].low == pytest.approx(-back[slug].high)
        assert there[slug].p == pytest.approx(back[slug].p)


def test_a_model_against_itself_differs_by_nothing_and_too_few_images_say_why():
    rows = predictions(30)
    for area in area_differences(shared_images(rows, rows), confidence=0.95).values():
        assert (area.value, area.low, area.high, area.p) == (0, 0, 0, None)
        assert "do not tell" in area.why
    lonely = [prediction(number, label=min(number, 1)) for number in range(5)]
    for area in area_differences(shared_images(lonely, lonely), confidence=0.95).values():
        assert area.value is None
        assert "2 images on each side" in area.why


def test_only_images_leak_free_for_both_are_shared_and_the_first_has_the_last_word_on_labels():
    first = [prediction(number, label=number % 3, leak_free=number != 0) for number in range(40)]
    second = [prediction(number, label=0, leak_free=number != 1) for number in range(60)]
    shared = shared_images(first, second)
    assert (shared.tested, len(shared.first), len(shared.second)) == (40, 38, 38)
    assert [row.label for row in shared.first] == [row.label for row in shared.second]
    assert shared.relabelled == sum(number % 3 != 0 for number in range(2, 40))


@pytest.mark.parametrize(
    ("low", "margin", "verdict"),
    [
        (-0.02, 0.05, "shown"),
        (-0.05, 0.05, "shown"),
        (-0.0501, 0.05, "not shown"),
        (0.01, 0.0, "shown"),
        (None, 0.05, "not shown"),
        (float("nan"), 0.05, "not shown"),
    ],
)
def test_no_worse_is_claimed_only_of_a_limit_within_the_margin(low, margin, verdict):
    assert asdict(non_inferior(low, margin=margin))["verdict"] == verdict
