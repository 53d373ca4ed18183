"""One temperature for a classifier: probabilities and truths in, the factor that makes them honest out.

Legend: N images, C classes. Class scores are divided by the temperature T before the softmax (Guo et al. 2017, § 4.2);
of probabilities that is the power 1/T, made to sum to 1 again. Above 1 they become less sure.

Laws: the likeliest class stays the likeliest; T = 1 changes nothing; the fitted T has the least log loss of all, which
is convex in 1/T, so there is one.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from cxr_core.errors import EvidenceError
from cxr_core.stats.clusters import Patients, t_quantile
from cxr_core.stats.intervals import Interval

__all__ = ["fit_temperature", "log_losses", "temper", "temperature_limits"]

# Beyond these factors the validation images have no best temperature: nearly all are right, or the scores say nothing.
_SMALLEST, _LARGEST = 0.05, 20.0
# The smallest positive float64; a probability that was rounded to 0 has a finite, and very bad, score.
_TINY = float(np.finfo(np.float64).tiny)

_Floats = NDArray[np.float64]


def temper(probabilities: _Floats, temperature: float) -> _Floats:
    """Probabilities (N, C) at a temperature above 0, float64."""
    return _softmax(_scores(probabilities) / temperature)


def log_losses(probabilities: _Floats) -> _Floats:
    """-ln p of each image, were each class the true one (N, C), in nats, finite and at least 0."""
    return -_scores(probabilities) + 0.0


def fit_temperature(probabilities: _Floats, labels: NDArray[np.integer]) -> float:
    """The temperature with the least mean log loss: where its slope in 1/T is 0.

    Args:
        probabilities: (N, C), of images that did not train.
        labels: True classes (N,).

    Raises:
        EvidenceError: There is no image, or no best temperature in [0.05, 20]: where every likeliest class is the true
            one, less and less would be better for ever.
    """
    if len(labels) == 0:
        raise EvidenceError("A temperature needs validation images, found none.", reason="no_observations")

    def slope(inverse: float) -> float:
        return float(_slopes(probabilities, labels, inverse)[0].sum())

    coldest, hottest = 1 / _SMALLEST, 1 / _LARGEST
    if not slope(hottest) < 0 < slope(coldest):
        right = int((probabilities.argmax(axis=1) == labels).sum())
        raise EvidenceError(
            f"No temperature from {_SMALLEST} to {_LARGEST} is best: {right} of {len(labels)} validation images are "
            "right, which says nothing of how sure the others should be.",
            reason="no_temperature",
        )
    inverse = cast(float, optimize.brentq(slope, hottest, coldest, xtol=1e-14))
    return 1 / inverse


def temperature_limits(
    temperature: float,
    probabilities: _Floats,
    labels: NDArray[np.integer],
    patients: Patients,
    *,
    confidence: float,
) -> Interval:
    """Limits of a fitted temperature over whole patients: those that a score test with t for z does not refuse.

    Were a temperature the true one, the slope of the log loss there would vary as its curvature says (the probabilities
    at that temperature being honest), more by the design effect where a patient's images are alike. That stands where
    few images are wrong; a sandwich, or the slope's own spread, knows only the wrong images that happened and covered
    78 to 95 in 100 simulated cohorts of 60.

    Args:
        temperature: As :func:`fit_temperature` found it on these images.
        probabilities: (N, C).
        labels: True classes (N,).
        patients: Of the N images.
        confidence: Two-sided coverage, in (0, 1).

    Returns:
        Limits in [0.05, 20], where temperatures are looked for.

    Raises:
        EvidenceError: Fewer than two patients, or a confidence outside (0, 1).
    """
    t, best = t_quantile(confidence, patients.n), -math.log(temperature)
    slopes, _ = _slopes(probabilities, labels, 1 / temperature)
    effect = max(1.0, patients.variance(slopes) / float((slopes**2).sum()))

    def excess(log_inverse: float) -> float:
        there, curvatures = _slopes(probabilities, labels, math.exp(log_inverse))
        return float(there.sum() ** 2 - t * t * effect * curvatures.sum())

    hottest, coldest = -math.log(_LARGEST), -math.log(_SMALLEST)
    high = cast(float, optimize.brentq(excess, hottest, best)) if excess(hottest) > 0 else hottest
    low = cast(float, optimize.brentq(excess, best, coldest)) if excess(coldest) > 0 else coldest
    return Interval(low=math.exp(-low), high=math.exp(-high))


def _slopes(probabilities: _Floats, labels: NDArray[np.integer], inverse: float) -> tuple[_Floats, _Floats]:
    """First and second derivative of each image's log loss in 1/T (N,): excess and variance of the expected score."""
    scores = _scores(probabilities)
    shares = _softmax(inverse * scores)
    expected = (shares * scores).sum(axis=1)
    variance = (shares * (scores - expected[:, None]) ** 2).sum(axis=1)
    return expected - scores[np.arange(len(labels)), labels], variance


def _scores(probabilities: _Floats) -> _Floats:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _TINY))


def _softmax(scores: _Floats) -> _Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
