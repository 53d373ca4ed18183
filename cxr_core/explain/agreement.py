"""Maps of the same images under several folds' networks to how far they agree: rank correlations, a class at a time.

Networks of one run start from the same weights and share most of their training images, so that their agreement is
more than that of networks which share nothing. What different images' maps give is told beside it: a map that lies in
one place whatever it shows agrees with every other.

Legend: n images, K networks, (h, w) the layer's positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.evaluate.estimates import mean_of
from cxr_core.evaluate.predictions import Prediction
from cxr_core.explain.likeness import CORRELATION, spearman
from cxr_core.explain.records import Agreed
from cxr_core.params import EvaluateParams

__all__ = ["agreement", "by_class"]

_Floats = NDArray[np.float64]


def agreement(
    rows: Sequence[Prediction], maps: Sequence[_Floats], trained: NDArray[np.bool_], params: EvaluateParams
) -> dict[ClassSlug, Agreed]:
    """Compare every pair of networks, on the same image and on different ones.

    Args:
        rows: The images (n).
        maps: Of every image under each network (K), each (n, h, w).
        trained: Whether each network has trained on each image (K, n).
        params: Confidence, bootstrap samples and seed.
    """
    made: dict[ClassSlug, Agreed] = {}
    for slug, those in by_class(rows).items():
        unseen, every, others = np.full((3, len(those)), np.nan)
        for place, row in enumerate(those.tolist()):
            pairs = {pair: spearman(*(maps[one][row] for one in pair)) for pair in combinations(range(len(maps)), 2)}
            unseen[place] = _nanmean([rho for pair, rho in pairs.items() if not trained[list(pair), row].any()])
            every[place] = _nanmean(list(pairs.values()))
            if (other := _another(rows, those, place)) is not None:
                crossed = [spearman(maps[one][row], maps[two][other]) for one, two in permutations(range(len(maps)), 2)]
                others[place] = _nanmean(crossed)
        groups = [rows[row].group for row in those.tolist()]
        made[slug] = Agreed(
            unseen=mean_of(unseen, groups, params, within=CORRELATION),
            every=mean_of(every, groups, params, within=CORRELATION),
            others=mean_of(others, groups, params, within=CORRELATION),
        )
    return made


def by_class(rows: Sequence[Prediction]) -> dict[ClassSlug, NDArray[np.int64]]:
    """Places of the images of each true class."""
    return {slug: np.flatnonzero([row.label == index for row in rows]) for index, slug in enumerate(CLASSES)}


def _another(rows: Sequence[Prediction], those: NDArray[np.int64], place: int) -> int | None:
    """The next image of the class, round and round, that shows another patient."""
    following = [*those[place + 1 :].tolist(), *those[:place].tolist()]
    return next((row for row in following if rows[row].group != rows[those[place]].group), None)


def _nanmean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
