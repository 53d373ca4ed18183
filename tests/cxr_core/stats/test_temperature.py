"""Temperature: the least log loss by another optimiser, the sandwich by statsmodels, and what it may not change."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from sklearn import metrics

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients, t_quantile
from cxr_core.stats.temperature import fit_temperature, log_losses, temper, temperature_limits

SEEDS = st.integers(0, 2**31)


def images(seed, n=120, *, classes=3, boast=2.0):
    """Softmax probabilities that are honest but for a factor ``boast`` on the scores."""
    rng = np.random.default_rng(seed)
    scores = 1.5 * rng.normal(size=(n, classes))
    honest = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in honest])
    return temper(honest, 1 / boast), labels


def mean_loss(probabilities, labels):
    return log_losses(probabilities)[np.arange(len(labels)), labels].mean()


@given(SEEDS, st.floats(0.5, 4.0))
def test_the_temperature_is_the_one_that_another_optimiser_finds(seed, boast):
    probabilities, labels = images(seed, boast=boast)
    found = fit_temperature(probabilities, labels)
    reference = optimize.minimize_scalar(
        lambda log_t: metrics.log_loss(labels, temper(probabilities, np.exp(log_t)), labels=[0, 1, 2]),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert np.log(found) == pytest.approx(reference.x, abs=1e-4)
    assert mean_loss(temper(probabilities, found), labels) <= reference.fun + 1e-9


def test_of_two_classes_it_is_logistic_regression_on_the_difference_of_scores_without_intercept():
    probabilities, labels = images(4, n=400, classes=2)
    x = np.log(probabilities[:, 1] / probabilities[:, 0])
    fit = sm.Logit(labels, x[:, None]).fit(disp=False)
    found = fit_temperature(probabilities, labels)
    assert found == pytest.approx(1 / fit.params[0], rel=1e-6)
    alone = Patients.named([str(number) for number in range(400)])
    limits = temperature_limits(found, probabilities, labels, alone, confidence=0.95)
    for slope in (1 / limits.low, 1 / limits.high):
        # Rao's score test of that slope by statsmodels' own score and information, at the edge of refusal.
        tested = sm.Logit(labels, x[:, None])
        statistic = tested.score([slope])[0] ** 2 / -tested.hessian([slope])[0, 0]
        assert statistic == pytest.approx(t_quantile(0.95, 400) ** 2 * 400 / 399, rel=1e-6)


@given(SEEDS, st.floats(0.5, 4.0))
def test_limits_hold_the_temperature_and_copies_of_a_patients_images_add_no_certainty(seed, boast):
    probabilities, labels = images(seed, n=40, boast=boast)
    try:
        found = fit_temperature(probabilities, labels)
    except EvidenceError:
        return
    alone = Patients.named([str(number) for number in range(40)])
    once = temperature_limits(found, probabilities, labels, alone, confidence=0.95)
    assert 0.05 <= once.low <= found <= once.high <= 20
    rows = np.repeat(np.arange(40), 5)
    copied = temperature_limits(found, probabilities[rows], labels[rows], Patients(of=rows), confidence=0.95)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), rel=1e-6)


@given(SEEDS, st.floats(0.1, 10.0))
def test_the_likeliest_stays_the_likeliest_and_rows_sum_to_one(seed, temperature):
    probabilities, _ = images(seed, n=20)
    tempered = temper(probabilities, temperature)
    assert (tempered.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(tempered.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(temper(tempered, 1 / temperature), probabilities, atol=1e-9)
    if temperature > 1:
        assert (tempered.max(axis=1) <= probabilities.max(axis=1) + 1e-12).all()


def test_one_changes_nothing_and_a_probability_of_nothing_has_a_finite_loss():
    probabilities, labels = images(1, n=10)
    np.testing.assert_allclose(temper(probabilities, 1.0), probabilities, atol=1e-15)
    assert mean_loss(probabilities, labels) == pytest.approx(metrics.log_loss(labels, probabilities, labels=[0, 1, 2]))
    ((loss, *others),) = log_losses(np.array([[0.0, 1.0, 0.0]]))
    assert 700 < loss < 800
    assert others == [0.0, loss]


@pytest.mark.parametrize(
    ("probabilities", "labels", "reason"),
    [
        (np.empty((0, 3)), [], "no_observations"),
        # Every likeliest class is the true one: colder is better for ever.
        ([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], [0, 1], "no_temperature"),
        # None is: hotter is better for ever.
        ([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], [2, 0], "no_temperature"),
    ],
)
def test_images_without_a_best_temperature_are_refused_by_name(probabilities, labels, reason):
    with pytest.raises(EvidenceError) as caught:
        fit_temperature(np.asarray(probabilities, dtype=float), np.asarray(labels, dtype=int))
    assert caught.value.reason == reason
