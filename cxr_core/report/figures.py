"""Fig. 2 and what stands beside it, one panel a picture, as SVG: sharp in print, side by side where there is room.

Law: the same figure gives the same bytes; letters are paths, so that a page looks alike everywhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.canvas import CLASS_COLOURS, GREY, INK, new_figure, tidy
from cxr_core.evaluate.figures import CURVES, EpochLike, check_histories, draw_curve, draw_roc
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Bin, Evidence, Population
from cxr_core.explain.records import Saliency
from cxr_core.explain.worth_figure import PANELS
from cxr_core.stats.intervals import wilson

__all__ = [
    "Panel",
    "curve_panels",
    "photograph",
    "reliability_panel",
    "roc_panels",
    "saliency_panels",
    "strata_panel",
    "svg_address",
]

_WIDTH, _HEIGHT = 5.0, 4.0
_LONGEST_SIDE = 320
_QUALITY = 85
_STRATA_SHOWN = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One picture of the page: a ``data:`` address, what it shows in words, and its caption."""

    source: str
    alt: str
    caption: str


def curve_panels(histories: Mapping[int, Sequence[EpochLike]]) -> list[Panel]:
    """Training loss, validation loss, error rate (Fig. 2A-C).

    Raises:
        EvidenceError: No fold, or a fold without an epoch.
    """
    check_histories(histories)
    panels: list[Panel] = []
    for curve in CURVES:
        figure = new_figure(width=_WIDTH, height=_HEIGHT)
        axes = figure.subplots()
        draw_curve(axes, histories, curve)
        if axes.get_lines():
            axes.legend(fontsize=9, frameon=False)
        ends = [
            (value, last)
            for epochs in histories.values()
            if (value := curve.value_of(epochs[0])) is not None and (last := curve.value_of(epochs[-1])) is not None
        ]
        moved = f": mean from {_mean(ends, 0):.3f} to {_mean(ends, 1):.3f}" if ends else ": no validation image"
        folds, epochs = len(histories), max(len(each) for each in histories.values())
        panels.append(
            Panel(
                source=svg_address(figure),
                alt=f"{curve.title} over {epochs} epochs of {folds} folds{moved}.",
                caption=f"{curve.letter}  {curve.title}",
            )
        )
    return panels


def roc_panels(predictions: Sequence[Prediction], evidence: Evidence) -> list[Panel]:
    """One class against the rest, over all and over leak-free images (Fig. 2D-F)."""
    panels: list[Panel] = []
    for letter, slug in zip("DEF", CLASSES, strict=True):
        figure = new_figure(width=_WIDTH, height=_WIDTH)
        draw_roc(figure.subplots(), predictions, evidence, slug)
        area, clean = evidence.all.per_class[slug].auc.value, evidence.leak_free.per_class[slug].auc.value
        told = f"area {_told(area)} over all test images, {_told(clean)} over leak-free ones"
        panels.append(
            Panel(
                source=svg_address(figure),
                alt=f"ROC curve of {CLASS_NAMES[slug]} against the other two: {told}.",
                caption=f"{letter}  {CLASS_NAMES[slug]} against the rest",
            )
        )
    return panels


def reliability_panel(bins: Sequence[Bin], *, confidence: float, title: str) -> Panel:
    """How often the named class is right, against the probability given to it, with Wilson's intervals."""
    figure = new_figure(width=_WIDTH, height=_HEIGHT)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="probability = accuracy")
    for each in bins:
        limits = wilson(round(each.accuracy * each.n), each.n, confidence=confidence)
        axes.plot([each.mean_probability] * 2, [limits.low, limits.high], color=INK, linewidth=1)
    axes.scatter(
        [each.mean_probability for each in bins],
        [each.accuracy for each in bins],
        s=[12 + 2 * each.n for each in bins],
        color=CLASS_COLOURS["viral"],
        zorder=3,
        label="images in a bin (area: how many)",
    )
    axes.set(xlim=(0.3, 1.02), ylim=(-0.02, 1.02))
    axes.set_xlabel("mean probability of the named class", fontsize=11)
    axes.set_ylabel("share that is right", fontsize=11)
    axes.legend(loc="upper left", fontsize=9, frameon=False)
    tidy(axes)
    points = "; ".join(f"{each.mean_probability:.2f}: {each.accuracy:.2f} of {each.n} images" for each in bins)
    return Panel(source=svg_address(figure), alt=f"Reliability, {title}. {points}.", caption=title)


def strata_panel(people: Population) -> Panel | None:
    """Accuracy of every stratum with its interval, worst first, and the whole as a line; None without any."""
    shown = [row for row in people.strata if row.accuracy.value is not None][:_STRATA_SHOWN]
    if not shown:
        return None
    figure = new_figure(width=7.2, height=1.1 + 0.32 * len(shown))
    axes = figure.subplots()
    if people.accuracy.value is not None:
        axes.axvline(people.accuracy.value, color=GREY, linewidth=1, linestyle="--", label="all of them")
    for row, stratum in enumerate(shown):
        one = stratum.accuracy
        if one.value is not None and one.low is not None and one.high is not None:
            axes.plot([one.low, one.high], [row, row], color=INK, linewidth=1.4)
            axes.plot([one.value], [row], marker="o", markersize=6, color=CLASS_COLOURS["viral"], linestyle="none")
    few = [", too few" if row.too_few else "" for row in shown]
    names = [
        f"{row.by}: {row.value or 'not stated'} ({row.accuracy.n}{mark})".replace("_", " ")
        for row, mark in zip(shown, few, strict=True)
    ]
    axes.set_yticks(range(len(shown)), names, fontsize=10)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlabel("accuracy", fontsize=11)
    tidy(axes)
    return Panel(
        source=svg_address(figure),
        alt=f"Accuracy of {len(shown)} strata with intervals; worst {names[0]} at {shown[0].accuracy.value:.1%}.",
        caption="Accuracy by stratum",
    )


def saliency_panels(saliency: Saliency) -> list[Panel]:
    """What the maps are worth: likeness by stages drawn anew, mass in the lung field, agreement of folds."""
    steps, lungs, agreed = saliency.cascade.steps, saliency.lungs, saliency.agreement.per_class
    told = (
        "; ".join(f"{step.stage} {_told(step.rank.value)}" for step in steps) or "no image",
        f"area {lungs.area:.3f}; "
        + "; ".join(f"{slug} {_told(lungs.per_class[slug].share.value)}" for slug in CLASSES),
        "; ".join(f"{slug} {_told(agreed[slug].unseen.value)}" for slug in CLASSES),
    )
    panels: list[Panel] = []
    for (title, draw), words in zip(PANELS, told, strict=True):
        figure = new_figure(width=_WIDTH, height=_WIDTH)
        draw(figure.subplots(), saliency)
        panels.append(Panel(source=svg_address(figure), alt=f"{title[3:]} {words}.", caption=title))
    return panels


def photograph(png: bytes) -> str:
    """A picture of X-rays as a ``data:`` address: JPEG, each of the two halves at most 320 pixels wide."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as picture:
        made = picture.convert("RGB")
    scale = min(1.0, 2 * _LONGEST_SIDE / made.width)
    if scale < 1:
        made = made.resize((round(made.width * scale), round(made.height * scale)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    made.save(out, format="JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def svg_address(figure: Figure) -> str:
    """A figure as a ``data:`` address, the same bytes each time."""
    out = io.BytesIO()
    # A salt of our own: ids inside the file are otherwise random.
    with mpl.rc_context({"svg.hashsalt": "cxr", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def _mean(ends: Sequence[tuple[float, float]], side: int) -> float:
    return float(np.mean([end[side] for end in ends]))


def _told(area: float | None) -> str:
    return "not measured" if area is None else f"{area:.3f}"
