"""What Grad-CAM's maps are worth: maps of the same images under every fold's network in, a ``Saliency`` out.

Three questions. Do maps depend on what was learned (``cascade``)? Do they lie in the lungs more than anything would
(``lungs``)? Do networks trained on different images agree (``agreement``)? Each map is of its image's true class, so
that networks that name different classes can be compared.

Legend: n images, K folds' networks, (h, w) the layer's positions.
Laws: intervals are over patients; whether a network has trained on an image is read from the folds, never guessed; a
flat map counts nowhere, and each figure says how many did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_value
from cxr_core.evaluate.estimates import mean_of
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.predictions import Prediction
from cxr_core.explain.agreement import agreement, by_class
from cxr_core.explain.gradcam import coarse_maps, enlarged
from cxr_core.explain.likeness import CORRELATION
from cxr_core.explain.records import Agreement, Cascade, CascadeStep, DependVerdict, InLungs, Lungs, Saliency
from cxr_core.explain.sanity import Cascaded, cascade
from cxr_core.imaging.field import lung_field
from cxr_core.params import EvaluateParams

__all__ = ["IMAGES_A_CLASS", "RELATED", "FoldMaps", "examine", "sampled", "worth"]

IMAGES_A_CLASS = 12
"""Few enough that a retrain hardly notices; intervals say how much they tell."""
RELATED = 0.5
"""Mean rank correlation with the maps of random weights below which maps are said to depend on the weights. A rule of
thumb: the paper names no bound; at 0.5 the ranks share a quarter of their variance."""
_SHARE = (0.0, 1.0)
_FIELD = (
    "two fixed ellipses, the same in every picture: no segmentation and no expert's mask; in a film that shows more or "
    "less than a chest they lie elsewhere than the lungs"
)

_Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldMaps:
    """What one fold's network gives.

    Attributes:
        maps: Of every image (n, h, w).
        tested: Places of the images that the fold tests (m,).
        cascaded: Of those; None where there is none.
    """

    maps: _Floats
    tested: NDArray[np.int64]
    cascaded: Cascaded | None


def sampled(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The images looked at: of each class the first leak-free ones by the digest of their names, whatever was said."""
    ordered = sorted((row for row in predictions if row.leak_free), key=lambda row: digest_value(row.name))
    return tuple(
        row
        for index in range(len(CLASSES))
        for row in [each for each in ordered if each.label == index][:IMAGES_A_CLASS]
    )


def examine(
    network: nn.Module,
    drawn: nn.Module,
    features: str,
    pixels: NDArray[np.uint8],
    rows: Sequence[Prediction],
    fold: int,
) -> FoldMaps:
    """Make one network's maps of every image, and draw it anew for those that it tests.

    Args:
        network: The fold's.
        drawn: The same architecture with weights that nothing has taught; another for every fold.
        features: The layer explained, a child of the network.
        pixels: uint8 (n, S, S).
        rows: What ``sampled`` gave (n), at least one.
        fold: The network's fold.
    """
    targets = [row.label for row in rows]
    tested = np.flatnonzero([row.fold == fold for row in rows])
    return FoldMaps(
        maps=coarse_maps(network, features, pixels, targets),
        tested=tested,
        cascaded=cascade(network, drawn, features, pixels[tested], [targets[place] for place in tested.tolist()])
        if len(tested)
        else None,
    )


def worth(
    rows: Sequence[Prediction],
    found: Sequence[FoldMaps],
    trained: NDArray[np.bool_],
    params: EvaluateParams,
    *,
    layer: str,
    size: int,
) -> Saliency:
    """Judge the maps.

    Args:
        rows: What ``sampled`` gave (n).
        found: Maps of every fold's network (K).
        trained: Whether each network has trained on each image (K, n).
        params: Confidence, bootstrap samples and seed.
        layer: The layer explained.
        size: Side of the pictures, pixels.
    """
    groups = [row.group for row in rows]
    return Saliency(
        schema=1,
        layer=layer,
        side=int(found[0].maps.shape[-1]) if found else 1,
        images=len(rows),
        groups=len(set(groups)),
        confidence=params.confidence,
        cascade=_cascade([each for each in found if each.cascaded], groups, params),
        lungs=_lungs(rows, found, params, size=size),
        agreement=Agreement(
            networks=len(found), per_class=agreement(rows, [each.maps for each in found], trained, params)
        ),
    )


def _cascade(found: Sequence[FoldMaps], groups: Sequence[str], params: EvaluateParams) -> Cascade:
    results = [each.cascaded for each in found if each.cascaded]
    patients = [groups[int(place)] for each in found for place in each.tested]
    if not results:
        return Cascade(networks=0, steps=(), verdict="not decided", why="There is no leak-free test image.")
    rank, ssim = (
        np.concatenate(each, axis=1) for each in ([one.rank for one in results], [one.ssim for one in results])
    )
    steps = tuple(
        CascadeStep(
            stage=stage,
            rank=mean_of(rank[step], patients, params, within=CORRELATION),
            ssim=mean_of(ssim[step], patients, params, within=CORRELATION),
            quartiles=_quartiles(rank[step]),
        )
        for step, stage in enumerate(results[0].stages)
    )
    verdict, why = _verdict(steps[-1].rank)
    return Cascade(networks=len(results), steps=steps, verdict=verdict, why=why)


def _verdict(last: Estimate) -> tuple[DependVerdict, str]:
    if last.value is None or last.low is None or last.high is None:
        return "not decided", f"With every stage drawn anew there is no mean to read: {last.why}"
    told = (
        f"With every stage drawn anew the mean rank correlation is {last.value:.2f} ({last.low:.2f} to {last.high:.2f})"
    )
    rule = f"n = {last.n}; wholly below {RELATED} maps depend on the weights, from {RELATED} on they do not"
    verdict: DependVerdict = "not decided"
    if last.high < RELATED:
        verdict = "depend on the weights"
    elif last.low >= RELATED:
        verdict = "do not depend on the weights"
    return verdict, f"{told}, {rule}."


def _lungs(rows: Sequence[Prediction], found: Sequence[FoldMaps], params: EvaluateParams, *, size: int) -> Lungs:
    inside = lung_field(size)
    learned, random = np.full((2, len(rows)), np.nan)
    for each in found:
        if each.cascaded:
            learned[each.tested] = _share(each.maps[each.tested], inside)
            random[each.tested] = _share(each.cascaded.random, inside)
    return Lungs(
        field=_FIELD,
        area=float(inside.mean()),
        per_class={
            slug: InLungs(
                share=mean_of(learned[those], _of(rows, those), params, within=_SHARE),
                random=mean_of(random[those], _of(rows, those), params, within=_SHARE),
            )
            for slug, those in by_class(rows).items()
        },
    )


def _share(maps: _Floats, inside: NDArray[np.bool_]) -> _Floats:
    """Share of each map's mass that lies inside (n,), as it is shown; NaN of a map without any."""
    shown = enlarged(maps, size=len(inside))
    whole = shown.sum(axis=(1, 2))
    return np.divide((shown * inside).sum(axis=(1, 2)), whole, out=np.full(len(maps), np.nan), where=whole > 0)


def _of(rows: Sequence[Prediction], those: NDArray[np.int64]) -> list[str]:
    return [rows[row].group for row in those.tolist()]


def _quartiles(values: _Floats) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.25, 0.75])
    return float(low), float(high)
