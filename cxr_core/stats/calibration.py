"""How far a probability is from how often it comes true: gaps in, the expected calibration error with its limits out.

Legend: N images, B bins of probability. The gap of an image is its probability less 1 where it is right and less 0
where it is wrong, in its own bin, 0 in the others (N, B).

Law: the error is 0 where every bin's probabilities come true exactly, and never negative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_core.stats.clusters import Patients, clustered_share, t_quantile
from cxr_core.stats.intervals import Interval

__all__ = ["calibration_error", "calibration_limits"]

# Draws of an honest classifier: 1 000 give its 95 % point to within about a tenth of its spread; a hundred at once.
_ROUNDS, _DRAWS, _SEED = 10, 100, 2021


def calibration_error(gaps: NDArray[np.float64]) -> float:
    """Sum over the bins of the absolute mean gap (Guo et al. 2017, eq. 3, as one mean over all images).

    Args:
        gaps: (N, B), at least one image.
    """
    return float(np.abs(gaps.mean(axis=0)).sum())


def calibration_limits(
    gaps: NDArray[np.float64],
    right: NDArray[np.bool_],
    probabilities: NDArray[np.float64],
    patients: Patients,
    *,
    confidence: float,
) -> Interval:
    """Limits of the same over whole patients.

    The error of few images is too large, for chance opens gaps in either direction and both count. Taking each gap's
    variance off its square (Kumar, Liang and Ma 2019, § 4) corrects that by about twice too much where gaps are small;
    the limits stand around the mean of the two, with Student's t, and always hold the error itself. The lower one is 0
    unless an honest classifier's error would be smaller than this one (:func:`_honest_error`).

    Where the lower one is 0 all that may go wrong is left to the upper one, which is a one-sided limit then. Where few
    images are wrong the gaps' own spread is far too small for it; but the error is never smaller than the distance of
    the mean probability from the accuracy, so that the upper limit is at least as far as the accuracy's lower one,
    one-sided as well, is below the mean probability: a hundred sure images of which none is wrong still leave room for
    an error of some hundredths.

    Args:
        gaps: (N, B), at least one image.
        right: Whether each image is right (N,).
        probabilities: Of each image's likeliest class (N,), in [0, 1].
        patients: Of the N images.
        confidence: Coverage, in (0.5, 1).

    Raises:
        EvidenceError: Fewer than two patients, or a confidence outside (0.5, 1).
    """
    # With both tails outside, the coverage of an interval whose limits are one-sided ones.
    one_sided, n = 2 * confidence - 1, len(gaps)
    mean = gaps.mean(axis=0)  # (B,)
    influence = (gaps - mean) / n  # (N, B)
    variance = np.array([patients.variance(column) for column in influence.T])
    less = np.sqrt(np.maximum(mean**2 - variance, 0)).sum()
    error = calibration_error(gaps)
    spread = patients.variance(influence @ np.sign(mean)) ** 0.5
    centre = (error + less) / 2
    half = t_quantile(confidence, patients.n) * spread
    if error > _honest_error(gaps, probabilities, patients, confidence) and centre > half:
        return Interval(low=float(min(centre - half, error)), high=float(max(centre + half, error)))
    share, said = float(right.mean()), float(probabilities.mean())
    accuracy = clustered_share(share, (right - share) / n, patients, confidence=one_sided)
    half = t_quantile(one_sided, patients.n) * spread
    return Interval(low=0.0, high=float(max(centre + half, error, said - accuracy.low)))


def _honest_error(
    gaps: NDArray[np.float64], probabilities: NDArray[np.float64], patients: Patients, confidence: float
) -> float:
    """What the error of a classifier that is honest stays below with this confidence.

    The larger of two: images that come true with their own probabilities, each by itself (Bröcker and Smith 2007), for
    where few are wrong; and each patient's gaps with a sign drawn anew (the wild bootstrap of Liu 1988), for where a
    patient's images are alike. The same draws every time: the figure has no seed of its own.
    """
    rng, n = np.random.default_rng(_SEED), len(gaps)
    bins = (gaps != 0).astype(np.float64)  # (N, B): a gap is 0 in its own bin only where nothing is in doubt
    sums = np.stack([patients.sums(gap) for gap in gaps.T], axis=1)  # (G, B)
    true, wild = [], []
    for _ in range(_ROUNDS):
        came = rng.random((_DRAWS, n)) < probabilities
        true.append(np.abs((probabilities - came) @ bins).sum(axis=1))
        wild.append(np.abs(rng.choice([-1.0, 1.0], size=(_DRAWS, patients.n)) @ sums).sum(axis=1))
    return float(max(np.quantile(np.concatenate(drawn) / n, confidence) for drawn in (true, wild)))
