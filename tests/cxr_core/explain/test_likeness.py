"""Likeness of maps against SciPy's rank correlation and against the paper's formula written out window by window."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cxr_core.explain.likeness import spearman, structural_similarity

Map = NDArray[np.float64]


def maps(seed: int, side: int = 14) -> tuple[Map, Map]:
    rng = np.random.default_rng(seed)
    one = rng.random((side, side))
    return one, np.clip(one + rng.normal(0, 0.3, one.shape), 0, 1)


def by_hand(one: Map, other: Map) -> float:
    """Eq. 13 of Wang et al. 2004 at every place where an 11 × 11 window fits, weights of σ = 1.5."""
    across = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(across, across) / across.sum() ** 2
    found: list[float] = []
    for row in range(5, len(one) - 5):
        for column in range(5, len(one) - 5):
            x, y = (each[row - 5 : row + 6, column - 5 : column + 6] for each in (one, other))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            found.append((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx * mx + my * my + 1e-4) * (vx + vy + 9e-4)))
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(3))
def test_both_agree_with_a_second_implementation(seed: int) -> None:
    one, other = maps(seed)
    one[:3] = 0  # ties, as a ReLU makes them
    theirs: Any = stats.spearmanr(one.ravel(), other.ravel())
    assert spearman(one, other) == pytest.approx(theirs.statistic)
    assert structural_similarity(one, other) == pytest.approx(by_hand(one, other))


def test_a_map_is_like_itself_unlike_its_opposite_and_like_nothing_where_it_is_flat() -> None:
    one, _ = maps(0)
    assert (spearman(one, one), structural_similarity(one, one)) == (pytest.approx(1), pytest.approx(1))
    assert spearman(one, 1 - one) == pytest.approx(-1)
    for measure in (spearman, structural_similarity):
        assert math.isnan(measure(one, np.zeros_like(one)))
        assert math.isnan(measure(np.full_like(one, 0.3), one))
