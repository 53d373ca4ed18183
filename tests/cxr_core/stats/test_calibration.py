"""The calibration error against scikit-learn's curve, and its limits: never negative, around it, wider for fewer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from cxr_core.errors import EvidenceError
from cxr_core.stats.calibration import calibration_error, calibration_limits
from cxr_core.stats.clusters import Patients, clustered_share

SEEDS = st.integers(0, 2**31)


def images(seed, n=80, patients=20, *, boast=0.0):
    """Probabilities of the likeliest class and whether it was right: a boast makes the first too large."""
    rng = np.random.default_rng(seed)
    says = rng.uniform(0.34, 1.0, size=n)
    right = rng.random(n) < np.clip(says - boast, 0, 1)
    return says, right, Patients.named([str(each) for each in rng.integers(patients, size=n)])


def gaps(says, right, bins=10):
    where = np.clip(np.ceil(says * bins) - 1, 0, bins - 1)
    return (where[:, None] == np.arange(bins)) * (says - right)[:, None]


def limits_of(says, right, patients, confidence=0.95):
    return calibration_limits(gaps(says, right), right, says, patients, confidence=confidence)


@given(SEEDS)
def test_the_error_is_the_gap_of_sklearns_curve_weighted_by_its_bins(seed):
    says, right, _ = images(seed)
    came_true, said = calibration_curve(right, says, n_bins=10, strategy="uniform")
    filled = np.histogram(says, bins=np.linspace(0, 1, 11))[0]
    weights = filled[filled > 0] / len(says)
    assert calibration_error(gaps(says, right)) == pytest.approx(float(weights @ np.abs(came_true - said)), abs=1e-9)


@given(SEEDS, st.floats(0, 0.4))
def test_limits_hold_the_error_and_are_never_negative(seed, boast):
    says, right, patients = images(seed, boast=boast)
    limits = limits_of(says, right, patients)
    assert 0 <= limits.low <= calibration_error(gaps(says, right)) <= limits.high


def test_more_patients_are_surer_and_more_confidence_is_wider():
    few, many = (limits_of(*images(3, n, n, boast=0.2)) for n in (60, 600))
    assert many.high - many.low < (few.high - few.low) / 2
    says, right, patients = images(5, boast=0.2)
    narrow, wide = (limits_of(says, right, patients, level) for level in (0.8, 0.99))
    assert wide.low <= narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("patients", [400, 100])
def test_of_an_honest_classifier_nothing_is_proven_and_of_a_boastful_one_something(patients):
    honest = [limits_of(*images(seed, 400, patients)).low for seed in range(40)]
    boastful = [limits_of(*images(seed, 400, patients, boast=0.15)).low for seed in range(40)]
    # 2 of 40 are expected; 7 or more come by chance in 1 of 300 such tests, and the seeds are fixed.
    assert sum(low > 0 for low in honest) < 7
    assert sum(low > 0 for low in boastful) == 40


def test_one_image_of_a_patient_or_five_alike_prove_the_same():
    says, right, _ = images(8, 60, 60, boast=0.25)
    alone = Patients(of=np.arange(60))
    once = limits_of(says, right, alone)
    rows = np.repeat(np.arange(60), 5)
    copied = limits_of(says[rows], right[rows], Patients(of=rows))
    assert copied.high == pytest.approx(once.high)
    assert (copied.low > 0) == (once.low > 0)


@pytest.mark.parametrize("n", [40, 400])
def test_where_every_image_is_right_and_sure_the_limit_is_what_their_number_allows(n):
    says, right, alone = np.full(n, 0.999), np.ones(n, dtype=bool), Patients(of=np.arange(n))
    limits = limits_of(says, right, alone)
    accuracy = clustered_share(1.0, np.zeros(n), alone, confidence=0.9)
    assert limits.low == 0
    assert limits.high == pytest.approx(0.999 - accuracy.low)
    # By the rule of three some 3 / n of all images may be wrong.
    assert limits.high == pytest.approx(3 / n, rel=0.25)


def test_one_patient_has_no_limits():
    says, right, _ = images(1)
    with pytest.raises(EvidenceError) as caught:
        limits_of(says, right, Patients.named(["a"] * len(says)))
    assert caught.value.reason == "too_few_groups"
