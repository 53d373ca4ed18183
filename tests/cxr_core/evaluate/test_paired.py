"""Two models on the same images: DeLong's paired test against a calculation of its own, and what 'no worse' takes."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from cxr_core.classes import CLASSES
from cxr_core.evaluate.paired import area_differences, non_inferior, shared_images
from tests.cxr_core.evaluate.examples import prediction, predictions


def noisy(rows, scale, *, seed=1):
    """The same rows with noise on every probability."""
    rng = np.random.default_rng(seed)
    made = []
    for row in rows:
        scores = np.exp(np.log(np.array(row.probabilities) + 1e-6) + rng.normal(scale=scale, size=3))
        made.append(replace(row, probabilities=tuple(float(p) for p in scores / scores.sum())))
    return made


def by_hand(truth, one, other):
    """DeLong, DeLong and Clarke-Pearson 1988, eq. 4 to 6, as it is written: every positive against every negative."""
    truth = np.asarray(truth)
    parts = []
    for scores in (np.asarray(one), np.asarray(other)):
        wins = np.sign(scores[truth][:, None] - scores[~truth][None, :]) / 2 + 0.5
        parts.append((wins.mean(), wins.mean(axis=1), wins.mean(axis=0)))
    m, n = int(truth.sum()), int((~truth).sum())
    s10 = np.cov([parts[0][1], parts[1][1]])
    s01 = np.cov([parts[0][2], parts[1][2]])
    contrast = np.array([1, -1])
    return parts[0][0] - parts[1][0], float(contrast @ (s10 / m + s01 / n) @ contrast)


@pytest.mark.parametrize("seed", range(5))
def test_areas_differ_as_delongs_own_formulas_say(seed):
    rows = predictions(90, seed=seed, strength=1.5)
    other = noisy(rows, 1.5, seed=seed)
    shared = shared_images(rows, other)
    found = area_differences(shared, confidence=0.95)
    for index, slug in enumerate(CLASSES):
        truth = [row.label == index for row in shared.first]
        scores = [[row.probabilities[index] for row in side] for side in (shared.first, shared.second)]
        value, variance = by_hand(truth, *scores)
        z = stats.norm.ppf(0.975)
        area = found[slug]
        assert area.value == pytest.approx(value, abs=1e-12)
        assert area.first - area.second == pytest.approx(value, abs=1e-12)
        assert area.low == pytest.approx(value - z * variance**0.5, abs=1e-12)
        assert area.p == pytest.approx(2 * stats.norm.sf(abs(value) / variance**0.5), abs=1e-12)


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
        assert "nothing varies" in area.why
    lonely = [prediction(number, label=min(number, 1)) for number in range(5)]
    for area in area_differences(shared_images(lonely, lonely), confidence=0.95).values():
        assert area.value is None
        assert "at least" in area.why


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
