"""Two maps of one image to numbers: how alike they are.

Law: a map that is the same everywhere has no likeness to anything: NaN, never 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

__all__ = ["CORRELATION", "spearman", "structural_similarity"]

# Wang et al. 2004, § III-C: a Gaussian window of 11 × 11 pixels with σ = 1.5; K1, K2; maps lie in [0, 1], so L = 1.
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2

CORRELATION = (-1.0, 1.0)
"""Between which both likenesses lie."""

_Map = NDArray[np.float64]


def spearman(one: _Map, other: _Map) -> float:
    """Rank correlation over positions, in [-1, 1]; ties share their mean rank. NaN where either map is flat."""
    first, second = (stats.rankdata(each) for each in (one, other))
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def structural_similarity(one: _Map, other: _Map) -> float:
    """Mean structural similarity (SSIM; Wang et al. 2004, eq. 13) of two maps in [0, 1], in [-1, 1].

    As there, windows that reach beyond the map are left out, where it is large enough. NaN where either map is flat.

    Args:
        one: (S, S).
        other: (S, S).
    """
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    mean, other_mean = _blurred(one), _blurred(other)
    variance = _blurred(one * one) - mean * mean
    other_variance = _blurred(other * other) - other_mean * other_mean
    covariance = _blurred(one * other) - mean * other_mean
    index = ((2 * mean * other_mean + _C1) * (2 * covariance + _C2)) / (
        (mean**2 + other_mean**2 + _C1) * (variance + other_variance + _C2)
    )
    inside = slice(_RADIUS, -_RADIUS) if len(one) > 2 * _RADIUS else slice(None)
    return float(index[inside, inside].mean())


def _blurred(values: _Map) -> _Map:
    return ndimage.gaussian_filter(values, _SIGMA, radius=_RADIUS)
