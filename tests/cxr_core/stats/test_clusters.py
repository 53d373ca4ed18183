"""Limits over patients: variances against statsmodels and Obuchowski's formula, laws, and no certainty from few."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients, clustered_area, clustered_share, t_quantile
from cxr_core.stats.intervals import wilson
from cxr_core.stats.roc import delong_auc, mean_area, newcombe_variance
from tests.cxr_core.stats.test_roc import kernel_matrix

IMAGES = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=4, max_size=60)


def columns(images):
    patients, hits = zip(*images, strict=True)
    return Patients.named([str(each) for each in patients]), np.array(hits)


def share_of(hits, patients, confidence=0.95):
    return clustered_share(float(hits.mean()), (hits - hits.mean()) / len(hits), patients, confidence=confidence)


@given(IMAGES)
def test_the_variance_of_a_share_is_statsmodels_cluster_robust_one(images):
    patients, hits = columns(images)
    if patients.n < 2:
        return
    fit = sm.OLS(hits.astype(float), np.ones(len(hits))).fit()
    robust = fit.get_robustcov_results("cluster", groups=patients.of, use_correction=False)
    ours = patients.variance((hits - hits.mean()) / len(hits))
    assert ours * (patients.n - 1) / patients.n == pytest.approx(robust.cov_params()[0, 0], abs=1e-12)


def obuchowski(truth, score, patient):
    """Obuchowski 1997, eq. 5, term by term: S10, S01 and the covariance S11 of the two within a patient."""
    kernel = kernel_matrix(truth, score)
    area, names = kernel.mean(), np.unique(patient)
    m, n, count = truth.sum(), (~truth).sum(), len(names)
    of_positive = [kernel.mean(axis=1)[patient[truth] == name] for name in names]
    of_negative = [kernel.mean(axis=0)[patient[~truth] == name] for name in names]
    by_positive = np.array([each.sum() - len(each) * area for each in of_positive])
    by_negative = np.array([each.sum() - len(each) * area for each in of_negative])
    scale = count / (count - 1)
    return scale * (
        (by_positive**2).sum() / m**2 + (by_negative**2).sum() / n**2 + 2 * by_positive @ by_negative / m / n
    )


@given(st.integers(0, 2**31), st.integers(3, 12))
def test_the_variance_of_an_auc_is_obuchowskis(seed, count):
    rng = np.random.default_rng(seed)
    patient = rng.integers(count, size=30)
    truth = np.arange(30) % 2 == 0
    score = np.round(truth + rng.normal(size=30), 1)
    patients = Patients.named([str(each) for each in patient])
    assert patients.variance(mean_area([truth], [score]).influence) == pytest.approx(
        obuchowski(truth, score, patient), abs=1e-12
    )


def test_with_one_image_a_patient_the_auc_has_delongs_variance():
    rng = np.random.default_rng(1)
    truth = np.arange(400) < 200
    score = truth + rng.normal(size=400)
    alone = Patients.named([str(each) for each in range(400)])
    delong = delong_auc(truth, score, confidence=0.95).variance
    assert alone.variance(mean_area([truth], [score]).influence) == pytest.approx(
        delong * 199 / 200 * 400 / 399, rel=1e-9
    )


@given(IMAGES, st.integers(2, 5))
def test_copies_of_a_patients_images_add_no_certainty(images, times):
    patients, hits = columns(images)
    if patients.n < 2 or hits.all() or not hits.any():
        return
    copied = Patients(of=np.repeat(patients.of, times))
    one, other = share_of(hits, patients), share_of(np.repeat(hits, times), copied)
    # Where a patient's images contradict each other the design effect is held at 1, and copies can only lower it.
    assert other.low >= one.low - 1e-12
    assert patients.variance(hits - hits.mean()) == pytest.approx(
        copied.variance(np.repeat(hits - hits.mean(), times)) / times**2
    )


@given(IMAGES, st.floats(0.5, 0.999))
def test_limits_hold_the_point_mirror_and_never_claim_more_than_the_images(images, confidence):
    patients, hits = columns(images)
    if patients.n < 2:
        return
    limits, mirrored = share_of(hits, patients, confidence), share_of(~hits, patients, confidence)
    assert 0 <= limits.low <= hits.mean() <= limits.high <= 1
    assert limits.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    over_images = wilson(int(hits.sum()), len(hits), confidence=confidence)
    assert limits.low <= over_images.low + 1e-12
    assert over_images.high <= limits.high + 1e-12


def test_all_images_right_is_worth_the_patients_and_not_the_images():
    hits, patients = np.ones(100, dtype=bool), Patients.named([str(each // 10) for each in range(100)])
    t = t_quantile(0.95, 10)
    assert share_of(hits, patients).low == pytest.approx(1 / (1 + t * t / 10))


@given(st.integers(0, 2**31), st.floats(0.0, 6.0))
def test_an_area_stays_inside_its_limits_and_below_certainty(seed, apart):
    rng = np.random.default_rng(seed)
    truth = np.arange(24) % 2 == 0
    score = apart * truth + rng.normal(size=24)
    patients = Patients.named([str(each // 2) for each in range(24)])
    area = mean_area([truth], [score])
    value, influence, alone = area.value, area.influence, float((area.influence**2).sum())
    limits = clustered_area(area, patients, confidence=0.95)
    assert 0 <= limits.low <= value <= limits.high <= 1
    assert limits.low < 1
    if not 0 < value < 1:
        return
    variance, t = patients.variance(influence), t_quantile(0.95, 12)
    for limit in (limits.low, limits.high):
        # The score equation, with Hanley and McNeil's variance and one mean number of images a side.
        q1, q2 = limit / (2 - limit), 2 * limit**2 / (1 + limit)
        there = (limit * (1 - limit) + 11 * (q1 - limit**2) + 11 * (q2 - limit**2)) / 144
        here = variance / newcombe_variance(value, 12, 12)
        wanted = t * t * there * (0.85 * here + 0.15 * variance / alone)
        assert (value - limit) ** 2 == pytest.approx(wanted, rel=1e-5, abs=1e-12)


def test_an_area_of_many_images_has_the_limits_of_its_plain_variance():
    rng = np.random.default_rng(4)
    truth = np.arange(8000) < 4000
    score = 1.5 * truth + rng.normal(size=8000)
    area = delong_auc(truth, score, confidence=0.95)
    limits = clustered_area(mean_area([truth], [score]), Patients(of=np.arange(8000)), confidence=0.95)
    assert limits.low == pytest.approx(area.low, abs=5e-4)
    assert limits.high == pytest.approx(area.high, abs=5e-4)


def test_a_patients_name_is_no_more_than_a_name():
    patients = Patients.named(["b", "a", "b", "c"])
    assert (patients.n, patients.of.tolist()) == (3, [1, 0, 1, 2])
    assert patients.among(np.array([True, False, True, True])).of.tolist() == [0, 0, 1]
    assert patients.images_that_go_together == pytest.approx(6 / 4)


def test_the_quantile_is_scipys_and_one_patient_has_no_limits():
    assert t_quantile(0.95, 31) == pytest.approx(stats.t.ppf(0.975, 30), abs=1e-12)
    with pytest.raises(EvidenceError) as caught:
        share_of(np.array([True, False]), Patients.named(["a", "a"]))
    assert caught.value.reason == "too_few_groups"
    with pytest.raises(EvidenceError) as caught:
        t_quantile(1.0, 5)
    assert caught.value.reason == "out_of_range"


def test_the_skew_is_that_of_the_patients_sums():
    patients = Patients(of=np.array([0, 0, 1, 2, 3]))
    assert patients.skew(np.array([0.1, 0.2, -0.1, -0.1, -0.1])) == pytest.approx(
        (0.3**3 - 3 * 0.1**3) / (0.3**2 + 3 * 0.1**2)
    )
    assert patients.skew(np.array([-0.1, -0.2, 0.1, 0.1, 0.1])) < 0
    assert patients.skew(np.array([0.1, -0.1, 0.0, 0.0, 0.0])) == 0


def test_degrees_of_freedom_are_of_the_patients_that_make_the_variance():
    patients, even = Patients(of=np.arange(100)), np.tile([0.1, -0.1], 50)
    assert patients.degrees(even) == pytest.approx(99)
    assert patients.degrees(np.zeros(100)) == 99
    one, four = np.zeros(100), np.zeros(100)
    one[0], four[:4] = 0.1, [0.1, -0.1, 0.1, -0.1]
    assert patients.degrees(one) == pytest.approx(2, rel=0.02)
    assert patients.degrees(four) == pytest.approx(2 / (1 / 4 - 1 / 100))
    # Of normal numbers it is their number, but for chance.
    many = Patients(of=np.arange(20_000))
    assert many.degrees(np.random.default_rng(1).normal(size=20_000)) == pytest.approx(20_000, rel=0.1)
    assert Patients(of=np.array([0, 1])).degrees(np.array([0.1, -0.1])) == 1
