"""Limits of a mean loss where losses are rare and large: losses under every truth in, limits over patients out.

Legend: N images, C classes.

A good classifier's Brier score, or log loss, is made by the few images it has wrong: where none happens to be wrong its
spread is near 0, and limits by that spread hold the truth far less often than they say. Of a proportion Agresti and
Coull (1998) cure this by adding half the square of the quantile to the hits and as much to the misses. The same is done
here: so many images are added that are wrong, and so many that are right, each with the loss that the classifier's own
probabilities expect of such an image. Losses are skewed as well: bent outwards by that (Hall 1992, to the first term),
the plain mean's upper limit may be the further one, and stands then.

Laws: never below 0; as images grow in number the limits become those of the plain mean.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cxr_core.stats.clusters import Patients, t_quantile
from cxr_core.stats.intervals import Interval

__all__ = ["loss_limits"]

_Floats = NDArray[np.float64]


def loss_limits(
    losses: _Floats, probabilities: _Floats, labels: NDArray[np.integer], patients: Patients, *, confidence: float
) -> Interval:
    """Limits of the mean loss over whole patients, with t for z; they hold the mean itself.

    Args:
        losses: What each image would cost, were each class the true one (N, C), at least 0.
        probabilities: Of each class (N, C).
        labels: True classes (N,).
        patients: Of the N images, at least one.
        confidence: Two-sided coverage, in (0, 1).

    Raises:
        EvidenceError: Fewer than two patients, or a confidence outside (0, 1).
    """
    t, n = t_quantile(confidence, patients.n), len(labels)
    rows = np.arange(n)
    paid = losses[rows, labels]
    mean = float(paid.mean())
    influence = (paid - mean) / n
    independent, spread = float((influence**2).sum()), patients.variance(influence)
    # So many images count as one: patients' images are alike, and so are the ones that are added.
    alike = max(1.0, spread / independent) if independent > 0 else patients.images_that_go_together
    likeliest = probabilities.argmax(axis=1)
    sure = probabilities[rows, likeliest]
    unlikely = probabilities.copy()
    unlikely[rows, likeliest] = 0.0
    right = float(sure @ losses[rows, likeliest] / sure.sum())
    # Where every probability is 1 no image is expected to be wrong, and a wrong one costs what the worst class would.
    doubt = float(unlikely.sum())
    wrong = float((unlikely * losses).sum() / doubt) if doubt > 0 else float(losses.max())
    added = t * t / 2 * alike
    weight = n + 2 * added
    centre = (paid.sum() + added * (wrong + right)) / weight
    squares = ((paid - centre) ** 2).sum() * alike + added * alike * ((wrong - centre) ** 2 + (right - centre) ** 2)
    half = t * math.sqrt(squares) / weight
    bent = t * math.sqrt(spread) + patients.bend(influence, t)
    return Interval(low=max(0.0, min(centre - half, mean)), high=max(centre + half, mean + max(0.0, bent)))
