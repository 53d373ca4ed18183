"""Limits of a mean loss: Agresti and Coull's for a loss of 0 or 1, laws, and no certainty where nothing is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients, t_quantile
from cxr_core.stats.losses import loss_limits

SEEDS = st.integers(0, 2**31)


def brier(probabilities):
    return ((probabilities[:, None, :] - np.eye(probabilities.shape[1])) ** 2).sum(axis=2)


def images(seed, n=60, patients=30, *, signal=3.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    scores = signal * (rng.normal(size=(n, 3)) + signal * np.eye(3)[labels])
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities, labels, Patients.named([str(each) for each in rng.integers(patients, size=n)])


def limits_of(probabilities, labels, patients, confidence=0.95):
    return loss_limits(brier(probabilities), probabilities, labels, patients, confidence=confidence)


@pytest.mark.parametrize("wrong", [1, 5, 20])
def test_of_a_loss_of_nothing_or_one_they_are_agresti_and_coulls(wrong):
    n = 4000
    sure = np.tile([0.9, 0.1], (n, 1))
    nothing_or_one = np.tile([0.0, 1.0], (n, 1))
    labels = (np.arange(n) < wrong).astype(int)
    limits = loss_limits(nothing_or_one, sure, labels, Patients(of=np.arange(n)), confidence=0.95)
    # So many patients that t is z; the design effect is G / (G - 1).
    low, high = proportion_confint(wrong, n, alpha=0.05, method="agresti_coull")
    assert t_quantile(0.95, n) == pytest.approx(1.96, abs=1e-3)
    assert limits.low == pytest.approx(max(low, 0), abs=2e-6)
    assert limits.high == pytest.approx(high, rel=2e-3)


@given(SEEDS, st.floats(0.5, 4.0))
def test_limits_hold_the_mean_and_are_never_negative(seed, signal):
    probabilities, labels, patients = images(seed, signal=signal)
    limits = limits_of(probabilities, labels, patients)
    assert 0 <= limits.low <= brier(probabilities)[np.arange(60), labels].mean() <= limits.high


def test_where_no_image_is_wrong_one_may_still_be():
    probabilities = np.tile([0.98, 0.01, 0.01], (60, 1))
    limits = limits_of(probabilities, np.zeros(60, dtype=int), Patients(of=np.arange(60)))
    assert limits.low == 0
    # Wilson's upper limit of a share of 0 in 60 is 0.06, and a wrong image costs 0.98 ** 2 + 0.99 ** 2 + 0.01 ** 2.
    assert 0.06 < limits.high / 1.94 < 0.12
    certain = limits_of(np.tile([1.0, 0.0, 0.0], (60, 1)), np.zeros(60, dtype=int), Patients(of=np.arange(60)))
    assert 0.06 < certain.high / 2 < 0.12


def test_many_images_have_the_limits_of_the_plain_mean():
    probabilities, labels, _ = images(3, 20_000, signal=1.5)
    alone = Patients(of=np.arange(20_000))
    paid = brier(probabilities)[np.arange(20_000), labels]
    limits, half = limits_of(probabilities, labels, alone), 1.96 * paid.std() / 20_000**0.5
    assert limits.high - limits.low == pytest.approx(2 * half, rel=0.01)
    assert (limits.high + limits.low) / 2 == pytest.approx(paid.mean(), abs=half / 10)


@given(SEEDS)
def test_copies_of_a_patients_images_add_no_certainty(seed):
    probabilities, labels, _ = images(seed, n=30)
    rows = np.repeat(np.arange(30), 4)
    once = limits_of(probabilities, labels, Patients(of=np.arange(30)))
    copied = limits_of(probabilities[rows], labels[rows], Patients(of=rows))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-2)
    assert copied.high - copied.low >= (once.high - once.low) * 0.95


def test_one_patient_has_no_limits():
    probabilities, labels, _ = images(1)
    with pytest.raises(EvidenceError) as caught:
        limits_of(probabilities, labels, Patients.named(["a"] * 60))
    assert caught.value.reason == "too_few_groups"
