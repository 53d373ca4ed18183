"""Predictions to Grad-CAM panels (Fig. 4): which images are shown, and the picture of each beside its map.

Images are chosen without looking at them: of each class, half rightly and half wrongly classified, in the order of the
digest of their names. That shows failures more often than they happen, so every picture says how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import SubFigure
from numpy.typing import NDArray

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.digests import digest_value
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.canvas import INK, new_figure, png
from cxr_core.evaluate.predictions import Prediction
from cxr_core.explain.halves import half_wrong

__all__ = ["Panel", "choose", "panels_figure"]

_ROW_INCHES = 3.55
_PAIRS_A_ROW = 2
_NAME_CHARACTERS = 60
_OPACITY = 0.65
# Okabe and Ito's vermillion: wrong; black: right. The word says it too.
_WRONG = "#B24700"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Panel:
    """One image beside its map: pixels uint8 (S, S), heat (S, S) in [0, 1] for the predicted class."""

    prediction: Prediction
    pixels: NDArray[np.uint8]
    heat: NDArray[np.float64]


def choose(predictions: Sequence[Prediction], *, per_class: int) -> dict[ClassSlug, tuple[Prediction, ...]]:
    """Pick what is shown of each class: half right, half wrong, in the order of their names' digests.

    Where one half has too few, the other fills up; an odd number shows one right image more. Adding images to the
    cohort moves others down the order but never reshuffles it.

    Args:
        predictions: All test images.
        per_class: How many a class, at least 1.
    """
    ordered = sorted(predictions, key=lambda row: digest_value(row.name))
    chosen: dict[ClassSlug, tuple[Prediction, ...]] = {}
    for index, slug in enumerate(CLASSES):
        right = [row for row in ordered if row.label == index and row.correct]
        wrong = [row for row in ordered if row.label == index and not row.correct]
        chosen[slug] = tuple(half_wrong(right, wrong, limit=per_class))
    return chosen


def panels_figure(slug: ClassSlug, panels: Sequence[Panel], predictions: Sequence[Prediction]) -> bytes:
    """Draw the images of one class beside their maps.

    Args:
        slug: The true class of all panels.
        panels: What to show.
        predictions: All test images, for the counts in the title.

    Raises:
        EvidenceError: There is no panel, or one is of another class.
    """
    if not panels:
        raise EvidenceError(f"There is no image of class {slug} to explain.", reason="no_panels")
    if any(panel.prediction.label != CLASSES.index(slug) for panel in panels):
        raise EvidenceError(f"Expected images of class {slug} only.", reason="foreign_panel")
    rows = -(-len(panels) // _PAIRS_A_ROW)
    figure = new_figure(width=12.5, height=0.8 + rows * _ROW_INCHES)
    figure.suptitle(_title(slug, panels, predictions), fontsize=11, x=0.01, ha="left")
    for cell, panel in zip(figure.subfigures(rows, _PAIRS_A_ROW, squeeze=False).flat, panels, strict=False):
        _draw_pair(cell, panel)
    return png(figure)


def _title(slug: ClassSlug, panels: Sequence[Panel], predictions: Sequence[Prediction]) -> str:
    of_class = [row for row in predictions if row.label == CLASSES.index(slug)]
    wrong = sum(not row.correct for row in of_class)
    wrong_shown = sum(not panel.prediction.correct for panel in panels)
    return (
        f"{CLASS_NAMES[slug]}: {len(panels) - wrong_shown} rightly and {wrong_shown} wrongly classified images, the "
        f"first of each by digest of name; in all, {wrong} of {len(of_class)} are wrong.\n"
        "Left the input, right Grad-CAM of the predicted class, each map scaled to its own maximum "
        "(dark to bright: weak to strong evidence)."
    )


def _draw_pair(cell: SubFigure, panel: Panel) -> None:
    row = panel.prediction
    name = row.name
    if len(name) > _NAME_CHARACTERS:
        name = f"{name[: _NAME_CHARACTERS // 2]}…{name[-_NAME_CHARACTERS // 2 :]}"
    verdict, colour, weight = ("right", INK, "normal") if row.correct else ("WRONG", _WRONG, "bold")
    facts = (
        f"true {CLASSES[row.label]}, predicted {CLASSES[row.predicted]}, p = {max(row.probabilities):.2f}: {verdict}"
    )
    cell.suptitle(f"{name}\n{facts}", x=0.02, ha="left", fontsize=10, color=colour, fontweight=weight)
    left, right = cell.subplots(1, 2)
    for axes in (left, right):
        axes.set_axis_off()
        axes.imshow(panel.pixels, cmap="gray", vmin=0, vmax=255)
    right.imshow(panel.heat, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(panel.heat, 0, 1) * _OPACITY)
    if not panel.heat.any():
        words = "no evidence for this class in the layer"
        note = right.text(0.5, 0.05, words, transform=right.transAxes, ha="center", fontsize=10, color="white")
        note.set_bbox({"facecolor": "black", "alpha": 0.6, "linewidth": 0})
