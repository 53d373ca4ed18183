"""Two models on the same images: areas against calculations of their own, and what 'no worse' takes."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from cxr_core.classes import CLASSES
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.drafts import auc
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


def components(truth, scores):
    """DeLong, DeLong and Clarke-Pearson 1988, eq. 4 and 5, as they are written: each positive against each negative."""
    wins = np.sign(scores[truth][:, None] - scores[~truth][None, :]) / 2 + 0.5
    return wins.mean(), wins.mean(axis=1), wins.mean(axis=0)


def by_hand(truth, one, other):
    """Eq. 6 for the difference, each covariance over all of its images."""
    parts = [components(truth, scores) for scores in (one, other)]
    s10 = np.cov([parts[0][1], parts[1][1]], ddof=0) / truth.sum()
    s01 = np.cov([parts[0][2], parts[1][2]], ddof=0) / (~truth).sum()
    contrast = np.array([1, -1])
    return parts[0][0] - parts[1][0], float(contrast @ (s10 + s01) @ contrast)


def by_patient(truth, one, other, groups):
    """Obuchowski 1997: a patient's components, less their means, are summed before they are squared."""
    sums = dict.fromkeys(groups, 0.0)
    for sign, scores in ((1, one), (-1, other)):
        area, of_positives, of_negatives = components(truth, scores)
        moved = np.empty(len(truth))
        moved[truth] = (of_positives - area) / truth.sum()
        moved[~truth] = (of_negatives - area) / (~truth).sum()
        for group, each in zip(groups, moved, strict=True):
            sums[group] += sign * each
    return len(sums) / (len(sums) - 1) * sum(each**2 for each in sums.values())


def columns(shared, index):
    truth = np.array([row.label == index for row in shared.first])
    return truth, *(np.array([row.probabilities[index] for row in side]) for side in (shared.first, shared.second))


@pytest.mark.parametrize("seed", range(5))
def test_with_one_image_a_patient_p_is_delongs(seed):
    rows = [replace(row, group=str(number)) for number, row in enumerate(predictions(90, seed=seed, strength=1.5))]
    shared = shared_images(rows, noisy(rows, 1.5, seed=seed))
    found = area_differences(shared, confidence=0.95)
    for index, slug in enumerate(CLASSES):
        value, variance = by_hand(*columns(shared, index))
        assert found[slug].value == pytest.approx(value, abs=1e-12)
        assert found[slug].first - found[slug].second == pytest.approx(value, abs=1e-12)
        t = abs(value) / (variance * 90 / 89) ** 0.5
        assert found[slug].p == pytest.approx(2 * stats.t.sf(t, 89), abs=1e-12)


def test_with_several_images_a_patient_p_is_obuchowskis_and_limits_are_put_together_from_both_sides():
    rows = predictions(120, strength=1.5)
    rows = [replace(row, group=str(number // 3)) for number, row in enumerate(rows)]
    shared = shared_images(rows, noisy(rows, 1.5))
    groups = [row.group for row in shared.first]
    sides = [Arrays.of(side) for side in (shared.first, shared.second)]
    for index, slug in enumerate(CLASSES):
        truth, one, other = columns(shared, index)
        between = by_patient(truth, one, other, groups)
        nothing = np.zeros(len(truth))
        mine, theirs = (by_patient(truth, scores, nothing, groups) for scores in (one, other))
        area = area_differences(shared, confidence=0.95)[slug]
        assert area.p == pytest.approx(2 * stats.t.sf(abs(area.value) / between**0.5, len(set(groups)) - 1), abs=1e-12)
        first, second = (auc(side, index, confidence=0.95) for side in sides)
        down, up = first.value - first.clustered.low, second.clustered.high - second.value
        correlation = (mine + theirs - between) / (2 * (mine * theirs) ** 0.5)
        half = (down**2 + up**2 - 2 * correlation * down * up) ** 0.5
        assert area.low == pytest.approx(area.value - half, abs=1e-12)


def test_two_that_order_these_images_alike_are_not_proven_to_order_others_alike():
    rows = predictions(90, strength=1.5)
    sharper = []
    for row in rows:
        scores = np.array(row.probabilities) ** 2
        sharper.append(replace(row, probabilities=tuple(float(p) for p in scores / scores.sum())))
    shared = shared_images(rows, sharper)
    perfect = [replace(row, probabilities=tuple(float(p) for p in np.eye(3)[row.label])) for row in rows]
    for found in (
        area_differences(shared, confidence=0.95),
        area_differences(shared_images(rows, perfect), confidence=0.95),
    ):
        assert all(area.low < area.value < area.high for area in found.values())


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
