"""Labels dealt anew among patients: whether a classifier that learned them is right by more than chance.

The classifier is the nearest training thumbnail, which learns everything by heart: where a test image has its patient,
or its copy, among the training images, it finds it. Labels move with whole patients, so that a patient's other images
give him away; where none is there, agreement is chance, and a classifier that does better has been shown the answers.

What it checks are the folds and what is called leak-free. One film under two patients' names it cannot see, for each of
the two gets a label of its own.

Legend: N images of the cohort, G patients, R permutations.
Laws: on test images without a patient in training the excess is 0 but for chance; each one with his own nearest image
in training adds to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.evaluate.control_pictures import thumbnails
from cxr_core.evaluate.estimates import over_patients
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.proofs import PermutedLabels
from cxr_core.params import EvaluateParams
from cxr_core.split.folds import Split, leak_free, members
from cxr_core.stats.clusters import Patients
from cxr_core.stats.intervals import Interval

__all__ = ["permuted_labels"]

_PERMUTATIONS = 1000
_NONE = -1

_Ints = NDArray[np.int64]


def permuted_labels(images: NDArray[np.uint8], dealt: Split, params: EvaluateParams) -> PermutedLabels:
    """Deal the labels anew, again and again, and count agreement.

    Args:
        images: The store, uint8 (N, S, S), in the cohort's order.
        dealt: The run's folds.
        params: Confidence and seed.
    """
    patients = Patients.named(dealt.groups)
    labels = _of_patients(dealt.labels, patients)
    nearest = _nearest(thumbnails(images), dealt)
    tested = nearest != _NONE
    clean = tested & leak_free(dealt)
    chance = _chance(labels)
    if chance is None or not clean.any():
        why = "It needs two patients and a leak-free test image."
        none = over_patients(None, None, method="permutation", n=0, why=why)
        return PermutedLabels(
            permutations=0,
            n=0,
            groups=0,
            chance=None,
            excess=none,
            excess_all=none,
            verdict="not measured",
            why=why,
        )
    rng = np.random.default_rng(params.seed)
    agreed = np.empty((2, _PERMUTATIONS))
    for number in range(_PERMUTATIONS):
        dealt_anew = rng.permutation(labels)[patients.of]
        right = dealt_anew == dealt_anew[nearest]
        agreed[:, number] = right[clean].mean(), right[tested].mean()
    of_clean, of_all = (
        _excess(line, chance, n=int(among.sum()), confidence=params.confidence)
        for line, among in zip(agreed, (clean, tested), strict=True)
    )
    above = of_clean.low is not None and of_clean.low > 0
    return PermutedLabels(
        permutations=_PERMUTATIONS,
        n=of_clean.n,
        groups=patients.among(clean).n,
        chance=chance,
        excess=of_clean,
        excess_all=of_all,
        verdict="above chance" if above else "at chance",
        why=_words(of_clean, of_all, chance),
    )


def _nearest(pictures: NDArray[np.float32], dealt: Split) -> _Ints:
    """For each row that a fold tests, the training row of that fold that correlates most with it (N,); else -1."""
    centred = pictures - pictures.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(length > 0, length, 1)
    nearest = np.full(len(pictures), _NONE, dtype=np.int64)
    for fold in range(dealt.folds):
        part = members(dealt, fold)
        nearest[part.test] = part.train[(unit[part.test] @ unit[part.train].T).argmax(axis=1)]
    return nearest


def _of_patients(labels: _Ints, patients: Patients) -> _Ints:
    """The class of most of each patient's images (G,), the first where two tie."""
    counts = np.zeros((patients.n, len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (patients.of, labels), 1)
    return counts.argmax(axis=1)


def _chance(labels: _Ints) -> float | None:
    """How often two patients agree when labels are dealt among them; None where there is no pair."""
    counts, n = np.bincount(labels), len(labels)
    return float((counts * (counts - 1)).sum() / (n * (n - 1))) if n > 1 else None


def _excess(agreed: NDArray[np.float64], chance: float, *, n: int, confidence: float) -> Estimate:
    low, high = np.quantile(agreed - chance, [(1 - confidence) / 2, (1 + confidence) / 2])
    limits = Interval(low=float(low), high=float(high))
    return over_patients(float(agreed.mean() - chance), limits, method="permutation", n=n)


def _words(clean: Estimate, everyone: Estimate, chance: float) -> str:
    told = [
        f"{excess.value:+.3f} ({excess.low:+.3f} to {excess.high:+.3f}) on {excess.n} {what} test images"
        for excess, what in ((clean, "leak-free"), (everyone, "of all"))
        if excess.value is not None
    ]
    return f"Agreement by chance is {chance:.3f}; {_PERMUTATIONS} permutations gave {' and '.join(told)}."
