"""ROC and AUC against scikit-learn, brute force, and the published DeLong variance written out as its authors did."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics

from cxr_core.errors import EvidenceError
from cxr_core.stats.roc import delong_auc, mean_area, roc_curve

# Few distinct scores, so that ties are common.
SAMPLES = st.tuples(
    st.lists(st.integers(0, 8), min_size=2, max_size=25), st.lists(st.integers(0, 8), min_size=2, max_size=25)
)


def rows(sample):
    high, low = sample
    truth = np.array([True] * len(high) + [False] * len(low))
    return truth, np.array([*high, *low], dtype=float) / 8


def kernel_matrix(truth, score):
    """psi(X_i, Y_j) of DeLong 1988, § 2: 1 won, 1/2 tied, 0 lost."""
    high, low = score[truth], score[~truth]
    return (high[:, None] > low[None, :]) + 0.5 * (high[:, None] == low[None, :])


def delong_by_hand(truth, *scores):
    """Covariance matrix S10/m + S01/n of DeLong 1988, eq. 6, from the full kernel matrices."""
    kernels = [kernel_matrix(truth, score) for score in scores]
    s10 = np.cov(np.stack([kernel.mean(axis=1) for kernel in kernels]))
    s01 = np.cov(np.stack([kernel.mean(axis=0) for kernel in kernels]))
    return np.atleast_2d(s10 / truth.sum() + s01 / (~truth).sum())


@given(SAMPLES)
def test_auc_and_variance_agree_with_sklearn_and_with_delongs_own_form(sample):
    truth, score = rows(sample)
    auc = delong_auc(truth, score, confidence=0.95)
    assert auc.value == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)
    assert auc.variance == pytest.approx(delong_by_hand(truth, score)[0, 0], abs=1e-12)
    assert 0 <= auc.low <= auc.value + 1e-12
    assert auc.value <= auc.high + 1e-12 <= 1 + 2e-12


@given(SAMPLES)
def test_the_limits_are_one_standard_error_of_the_logit_apart_on_each_side(sample):
    truth, score = rows(sample)
    auc = delong_auc(truth, score, confidence=0.95)
    if auc.method == "newcombe":
        return
    half = 1.959963984540054 * math.sqrt(auc.variance) / (auc.value * (1 - auc.value))
    assert special.logit(auc.high) - special.logit(auc.value) == pytest.approx(half, rel=1e-6)
    assert special.logit(auc.value) - special.logit(auc.low) == pytest.approx(half, rel=1e-6)


@given(SAMPLES)
def test_the_curve_is_sklearns_and_its_area_the_auc(sample):
    truth, score = rows(sample)
    curve = roc_curve(truth, score)
    fpr, tpr, _ = metrics.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, fpr)
    np.testing.assert_allclose(curve.true_positive_rate, tpr)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(delong_auc(truth, score, confidence=0.95).value)


@given(SAMPLES)
def test_only_order_matters_and_negation_mirrors(sample):
    truth, score = rows(sample)
    here = delong_auc(truth, score, confidence=0.9)
    assert delong_auc(truth, np.exp(3 * score) - 7, confidence=0.9) == here
    mirrored = delong_auc(truth, -score, confidence=0.9)
    assert mirrored.method == here.method
    assert mirrored.value == pytest.approx(1 - here.value)
    assert mirrored.low == pytest.approx(1 - here.high, abs=1e-9)


@given(SAMPLES)
def test_the_area_alone_is_sklearns(sample):
    truth, score = rows(sample)
    area = mean_area([truth], [score]).value
    assert area == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)
    assert area == delong_auc(truth, score, confidence=0.95).value


@pytest.mark.parametrize(("n", "least_low"), [(5, 0.5), (50, 0.9), (250, 0.98)])
def test_perfect_separation_claims_only_what_its_n_allows(n, least_low):
    truth = np.arange(2 * n) >= n
    auc = delong_auc(truth, np.arange(2 * n), confidence=0.95)
    assert (auc.value, auc.high, auc.method) == (1.0, 1.0, "newcombe")
    assert least_low < auc.low < 1
    # The limit solves Newcombe's score equation with Hanley and McNeil's variance.
    a, star = auc.low, n - 1
    variance = a * (1 - a) / n**2 * (1 + star * (1 - a) / (2 - a) + star * a / (1 + a))
    assert 1 - a == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-6)


def test_all_tied_is_one_half_with_room_on_both_sides():
    auc = delong_auc([True] * 10 + [False] * 10, [0.3] * 20, confidence=0.95)
    assert auc.value == 0.5
    assert auc.low == pytest.approx(1 - auc.high)
    assert 0.2 < auc.low < 0.3


def test_delong_covers_the_true_auc_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    true = 0.5 * (1 + math.erf(1 / 2))  # two normals one standard deviation apart
    truth = np.arange(120) < 60
    hits = 0
    for _ in range(300):
        auc = delong_auc(truth, truth + rng.normal(size=120), confidence=0.9)
        hits += auc.low <= true <= auc.high
    assert 0.85 <= hits / 300 <= 0.95


@pytest.mark.parametrize(
    ("truth", "score", "reason"),
    [
        ([True, True, False], [1, 2, 3], "too_few"),
        ([True, True], [1, 2], "too_few"),
        ([], [], "too_few"),
        ([True, False], [1], "length_mismatch"),
        ([True, True, False, False], [1, 2, float("nan"), 1], "not_finite"),
    ],
)
def test_scores_without_an_auc_are_refused_by_name(truth, score, reason):
    with pytest.raises(EvidenceError) as caught:
        delong_auc(truth, score, confidence=0.95)
    assert caught.value.reason == reason
