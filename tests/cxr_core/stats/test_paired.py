"""McNemar against statsmodels and the binomial written out; DeLong's p and Obuchowski's as printed; limits by law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients
from cxr_core.stats.paired import delong_p, difference_limits, mcnemar
from cxr_core.stats.roc import mean_area
from tests.cxr_core.stats.test_roc import delong_by_hand, kernel_matrix

VERDICTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@given(VERDICTS)
def test_agrees_with_statsmodels_and_swaps(verdicts):
    first, second = zip(*verdicts, strict=True)
    table = [[sum(a == x and b == y for a, b in verdicts) for y in (True, False)] for x in (True, False)]
    ours, swapped = mcnemar(first, second), mcnemar(second, first)
    # statsmodels doubles the tail and may pass 1 where the two counts are equal.
    assert ours.p == pytest.approx(min(1.0, reference(table, exact=True).pvalue))
    assert (ours.only_first, ours.only_second, ours.p) == (swapped.only_second, swapped.only_first, swapped.p)
    assert ours.n == len(verdicts)


def test_six_disagreements_all_one_way():
    assert mcnemar([True] * 6 + [True], [False] * 6 + [True]).p == pytest.approx(2 * 0.5**6)


def test_no_image_or_unequal_lengths_are_refused():
    with pytest.raises(EvidenceError, match="none"):
        mcnemar([], [])
    with pytest.raises(EvidenceError, match="found 1 and 2"):
        mcnemar([True], [True, False])


def sides(positives, negatives, seed, *, apart=0.5, images=1):
    """Two scores of the same images, and the images' patients: the second score is the first with noise on it."""
    rng = np.random.default_rng(seed)
    truth = np.arange(positives + negatives) < positives
    patients = Patients(of=np.arange(len(truth)) // images)
    first = rng.normal(size=len(truth)) + 1.5 * truth
    return truth, first, first + rng.normal(scale=apart, size=len(truth)), patients


def moved(truth, first, second):
    mine, theirs = (mean_area([truth], [score]) for score in (first, second))
    return mine.value - theirs.value, mine.influence - theirs.influence


def limits(truth, first, second, patients, *, below=0.05, above=0.03, confidence=0.95):
    value, influence = moved(truth, first, second)
    rarer = min(patients.among(truth).n, patients.among(~truth).n)
    found = difference_limits(value, influence, patients, below=below, above=above, rarer=rarer, confidence=confidence)
    return value, found


SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(1, 3))
def test_limits_hold_the_difference_turn_round_and_stay_in_range(seed, images):
    truth, first, second, patients = sides(12, 24, seed, images=images)
    value, there = limits(truth, first, second, patients)
    assert -1 <= there.low <= value <= there.high <= 1
    _, back = limits(truth, second, first, patients, below=0.03, above=0.05)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
    _, wider = limits(truth, first, second, patients, confidence=0.99)
    assert wider.low <= there.low
    assert there.high <= wider.high


@given(SEEDS)
def test_the_less_two_differ_the_surer_is_by_how_little(seed):
    truth, first, second, patients = sides(30, 60, seed)
    _, far = limits(truth, first, second, patients)
    _, near = limits(truth, first, first + (second - first) / 50, patients)
    value, alike = limits(truth, first, first * 2, patients)
    assert alike.high - alike.low <= near.high - near.low <= far.high - far.low
    # One patient more than the none that was seen, of the 30 of the rarer side.
    assert (value, alike.low, alike.high) == (
        0,
        pytest.approx(-0.05 * (1 / 30) ** 0.5),
        pytest.approx(0.03 * (1 / 30) ** 0.5),
    )


def test_of_many_patients_the_limits_become_those_of_the_spread():
    truth, first, second, patients = sides(3000, 3000, 5)
    value, found = limits(truth, first, second, patients, below=0.01, above=0.01)
    _, influence = moved(truth, first, second)
    half = 1.96 * patients.variance(influence) ** 0.5
    assert (found.low, found.high) == (pytest.approx(value - half, rel=0.03), pytest.approx(value + half, rel=0.03))


@given(SEEDS)
def test_with_one_image_a_patient_p_is_delongs(seed):
    truth, first, second, patients = sides(9, 21, seed)
    value, influence = moved(truth, first, second)
    covariance, contrast = delong_by_hand(truth, first, second), np.array([1, -1])
    wanted = 2 * stats.norm.sf(abs(value) / (contrast @ covariance @ contrast) ** 0.5)
    assert delong_p(value, influence, truth, patients) == pytest.approx(wanted, abs=1e-9)


def obuchowski(truth, first, second, patients):
    """Obuchowski 1997, eq. 3 to 6: components are summed by patient; each of the three sums has its own factor."""
    value, variance = 0.0, 0.0
    positive, negative = np.zeros(patients.n), np.zeros(patients.n)
    for sign, scores in ((1, first), (-1, second)):
        wins = kernel_matrix(truth, scores)
        area = wins.mean()
        value += sign * area
        for of, each in zip(patients.of[truth], wins.mean(axis=1) - area, strict=True):
            positive[of] += sign * each / truth.sum()
        for of, each in zip(patients.of[~truth], wins.mean(axis=0) - area, strict=True):
            negative[of] += sign * each / (~truth).sum()
    with_positive, with_negative = (len(set(patients.of[side])) for side in (truth, ~truth))
    variance += with_positive / (with_positive - 1) * sum(positive**2)
    variance += with_negative / (with_negative - 1) * sum(negative**2)
    variance += 2 * patients.n / (patients.n - 1) * sum(positive * negative)
    return 2 * stats.norm.sf(abs(value) / variance**0.5)


@given(SEEDS)
def test_with_several_images_a_patient_p_is_obuchowskis(seed):
    truth, first, second, _ = sides(12, 24, seed)
    # Patients with images on both sides, too.
    patients = Patients.named([str(each) for each in np.random.default_rng(seed).integers(14, size=36)])
    value, influence = moved(truth, first, second)
    assert delong_p(value, influence, truth, patients) == pytest.approx(
        obuchowski(truth, first, second, patients), abs=1e-9
    )


def test_there_is_no_p_where_nothing_varies_or_a_side_is_one_patient():
    truth, first, _, patients = sides(6, 12, 3)
    # Scores of one patient's images of one class change places: no sum moves but by rounding.
    of = Patients(of=np.arange(18) // 3)
    exchanged = first.copy()
    exchanged[:3] = first[[1, 2, 0]]
    for second, who in ((first * 2, patients), (exchanged, of)):
        value, influence = moved(truth, first, second)
        assert value == pytest.approx(0, abs=1e-12)
        assert delong_p(value, influence, truth, who) is None
    value, influence = moved(truth, first, -first)
    assert delong_p(value, influence, truth, Patients(of=np.where(truth, 0, np.arange(18)))) is None
    assert 0 < delong_p(value, influence, truth, patients) < 0.1
