"""Simulated cohorts whose truth is known: a design and a generator in, four classifiers' predictions out.

Legend: N images, C = 3 classes.

An image's evidence (N, C) is normal, with variance 1 about 0 but for its own class, whose mean is the signal. Classes
are equally frequent, so the softmax of signal times evidence is the true probability of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cxr_core.classes import CLASSES
from cxr_core.evaluate.arrays import Arrays, bin_members
from cxr_core.stats.calibration import calibration_error as mean_gap
from cxr_core.stats.clusters import Patients
from cxr_core.stats.roc import delong_auc
from cxr_core.stats.temperature import log_losses

__all__ = ["IMAGES_A_PATIENT", "Cohort", "Design", "cohort", "truths_of"]

# Drawn from with equal chances.
IMAGES_A_PATIENT = {"single": (1,), "several": (1, 1, 1, 1, 2, 2, 3, 5)}
# By how much the boastful classifiers' class scores are too large: their true temperature. Those of the sure one, as of
# a network that was trained to the end, leave hardly a doubt of any image.
_BOAST, _SURE = 1.5, 4.0
_FOLDS = 5
# The second model of a paired difference is this much worse, and shares this part of the first one's noise.
_WORSE, _SHARED = 0.03, 0.8
_TRUTH_IMAGES = 1_000_000

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """A kind of cohort."""

    images: int
    patients: str
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Cohort:
    """One simulated cohort: a boastful classifier, a sure, an honest and a slightly worse one, on the same images."""

    boastful: Arrays
    sure: Arrays
    honest: Arrays
    worse: Arrays


def cohort(design: Design, rng: np.random.Generator, *, alike: float) -> Cohort:
    """Draw patients until there are as many images as the design says; the last one's are cut short."""
    sizes = rng.choice(IMAGES_A_PATIENT[design.patients], size=design.images)
    of = np.repeat(np.arange(design.images), sizes)[: design.images]  # (N,)
    patients = Patients(of=of)
    label = rng.integers(len(CLASSES), size=patients.n)[of]
    first, fresh = (_noise(of, patients.n, rng, alike) for _ in range(2))
    second = math.sqrt(_SHARED) * first + math.sqrt(1 - _SHARED) * fresh
    signal, weaker = _signal_of(design.accuracy), _signal_of(design.accuracy - _WORSE)
    return Cohort(
        boastful=_arrays(label, patients, first, signal, _BOAST),
        sure=_arrays(label, patients, first, signal, _SURE),
        honest=_arrays(label, patients, first, signal, 1.0),
        worse=_arrays(label, patients, second, weaker, _BOAST),
    )


def truths_of(accuracy: float, rng: np.random.Generator) -> dict[str, float]:
    """What each figure is over all images of such cohorts, by the name of its interval."""
    label = rng.integers(len(CLASSES), size=_TRUTH_IMAGES)
    alone = Patients(of=np.arange(_TRUTH_IMAGES))
    noise = rng.normal(size=(_TRUTH_IMAGES, len(CLASSES)))
    signal = _signal_of(accuracy)
    arrays, sure = (_arrays(label, alone, noise, signal, boast) for boast in (_BOAST, _SURE))
    worse = _arrays(label, alone, noise, _signal_of(accuracy - _WORSE), _BOAST)
    area, less = (delong_auc(label == 0, one.scores[:, 0], confidence=0.95).value for one in (arrays, worse))
    squares = ((arrays.scores - np.eye(len(CLASSES))[label]) ** 2).sum(axis=1).mean()
    return {
        "accuracy": accuracy,
        "mean_fold_accuracy": accuracy,
        "auc": area,
        "macro_auc": area,
        "calibration_error": _error_of(arrays),
        "sure_calibration_error": _error_of(sure),
        "honest_calibration_error": 0.0,
        "temperature": _BOAST,
        "brier": float(squares),
        "log_loss": float(log_losses(arrays.scores)[np.arange(_TRUTH_IMAGES), label].mean()),
        "mean": float(arrays.scores[:, 0].mean()),
        "accuracy_difference": _WORSE,
        "auc_difference": area - less,
        "macro_auc_difference": area - less,
    }


def _error_of(arrays: Arrays) -> float:
    return mean_gap(bin_members(arrays) * (arrays.scores.max(axis=1) - arrays.correct)[:, None])


def _signal_of(accuracy: float) -> float:
    """How far a class's mean must stand out for the likeliest class to be the true one so often."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def excess(signal: float) -> float:
        return float(weights @ special.ndtr(nodes + signal) ** (len(CLASSES) - 1) / weights.sum()) - accuracy

    return cast(float, optimize.brentq(excess, 0.0, 10.0))


def _noise(of: NDArray[np.int64], patients: int, rng: np.random.Generator, alike: float) -> _Floats:
    """Normal with variance 1, ``alike`` of it the patient's: (N, C)."""
    own, shared = rng.normal(size=(len(of), len(CLASSES))), rng.normal(size=(patients, len(CLASSES)))
    return math.sqrt(1 - alike) * own + math.sqrt(alike) * shared[of]


def _arrays(label: NDArray[np.int64], patients: Patients, noise: _Floats, signal: float, boast: float) -> Arrays:
    # With these means and equal classes, signal times the evidence is the logarithm of each class's likelihood.
    evidence = noise + signal * np.eye(len(CLASSES))[label]
    predicted = evidence.argmax(axis=1)
    return Arrays(
        patients=patients,
        label=label,
        predicted=predicted,
        fold=patients.of % _FOLDS,
        scores=special.softmax(boast * signal * evidence, axis=1),
        correct=predicted == label,
    )
