"""What the maps are worth, drawn: likeness by stages drawn anew, mass in the lung field, agreement of folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from cxr_core.classes import CLASSES
from cxr_core.evaluate.canvas import CLASS_COLOURS, GREY, INK, new_figure, png, tidy
from cxr_core.evaluate.parts import Estimate
from cxr_core.explain.records import Saliency

__all__ = ["PANELS", "worth_figure"]

_SPREAD = "#56B4E9"


def worth_figure(saliency: Saliency) -> bytes:
    """All three panels as PNG."""
    figure = new_figure(width=15.5, height=4.6)
    for axes, (title, draw) in zip(figure.subplots(1, len(PANELS), width_ratios=[1.35, 1, 1]), PANELS, strict=True):
        draw(axes, saliency)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    return png(figure)


def _draw_cascade(axes: Axes, saliency: Saliency) -> None:
    """Mean likeness to the trained network's maps after each stage, with limits, and where half of the images lie."""
    steps = saliency.cascade.steps
    places = range(1, len(steps) + 1)
    axes.axhline(0, color=GREY, linewidth=1)
    spread = [(place, step.quartiles) for place, step in zip(places, steps, strict=True) if step.quartiles]
    axes.fill_between(
        [place for place, _ in spread],
        [low for _, (low, _) in spread],
        [high for _, (_, high) in spread],
        color=_SPREAD,
        alpha=0.3,
        linewidth=0,
        label="half of the images lie here (rank)",
    )
    for name, marker, style, means in (
        ("rank correlation", "o", "-", [step.rank for step in steps]),
        ("structural similarity", "s", "--", [step.ssim for step in steps]),
    ):
        colour = CLASS_COLOURS["viral"] if marker == "o" else INK
        _points(axes, places, means, colour=colour, marker=marker, style=style, label=f"{name}, mean")
    axes.set_xticks(places, [f"{step.stage}\nn = {step.rank.n}" for step in steps], fontsize=8, rotation=30, ha="right")
    axes.set(xlim=(0.6, max(len(steps), 1) + 0.4), ylim=(-1.05, 1.05))
    axes.set_xlabel("drawn anew up to and with this stage", fontsize=11)
    axes.set_ylabel("likeness to the trained network's map", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    tidy(axes)


def _draw_lungs(axes: Axes, saliency: Saliency) -> None:
    """Mean share of mass in the lung field, trained and random, and the field's share of the picture."""
    lungs = saliency.lungs
    axes.axhline(lungs.area, color=GREY, linestyle="--", linewidth=1.2, label="share of the picture's area")
    rows = [lungs.per_class[slug] for slug in CLASSES]
    _bars(
        axes,
        [
            ("trained network", [row.share for row in rows], "o", CLASS_COLOURS["viral"]),
            ("random weights", [row.random for row in rows], "s", INK),
        ],
    )
    axes.set(ylim=(0, 1.02))
    axes.set_ylabel("share of the map's mass in the lung field", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _draw_agreement(axes: Axes, saliency: Saliency) -> None:
    """Mean rank correlation of maps under different folds' networks."""
    rows = [saliency.agreement.per_class[slug] for slug in CLASSES]
    axes.axhline(0, color=GREY, linewidth=1)
    _bars(
        axes,
        [
            ("same image, neither trained on it", [row.unseen for row in rows], "o", CLASS_COLOURS["viral"]),
            ("same image, every pair", [row.every for row in rows], "^", CLASS_COLOURS["normal"]),
            ("different images", [row.others for row in rows], "s", INK),
        ],
    )
    axes.set(ylim=(-1.05, 1.05))
    axes.set_ylabel("rank correlation of maps", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _bars(axes: Axes, kinds: Sequence[tuple[str, Sequence[Estimate], str, str]]) -> None:
    """Points with limits, the kinds beside each other for each class, and how many images each class has."""
    for number, (label, means, marker, colour) in enumerate(kinds):
        places = [place + 0.22 * (number - (len(kinds) - 1) / 2) for place in range(len(CLASSES))]
        _points(axes, places, means, colour=colour, marker=marker, style="none", label=label)
    counts = [max(means[place].n for _, means, _, _ in kinds) for place in range(len(CLASSES))]
    axes.set_xticks(
        range(len(CLASSES)), [f"{slug}\nn = {n}" for slug, n in zip(CLASSES, counts, strict=True)], fontsize=10
    )
    axes.set_xlim(-0.6, len(CLASSES) - 0.4)
    tidy(axes)


def _points(
    axes: Axes, places: Sequence[float], means: Sequence[Estimate], *, colour: str, marker: str, style: str, label: str
) -> None:
    known = [
        (place, one.value, one.low, one.high)
        for place, one in zip(places, means, strict=True)
        if one.value is not None and one.low is not None and one.high is not None
    ]
    axes.plot(
        [place for place, *_ in known],
        [value for _, value, *_ in known],
        color=colour,
        marker=marker,
        markersize=6,
        linestyle=style,
        linewidth=1.6,
        label=label,
    )
    for place, _, low, high in known:
        axes.plot([place, place], [low, high], color=colour, linewidth=1.3)


PANELS: tuple[tuple[str, Callable[[Axes, Saliency], None]], ...] = (
    ("A  Do maps depend on the weights?", _draw_cascade),
    ("B  Do maps lie in the lungs?", _draw_lungs),
    ("C  Do the folds' networks agree?", _draw_agreement),
)
"""Title and what draws each."""
