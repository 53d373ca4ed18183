"""Figures 2 and 3 of the paper as PNG bytes, with n and intervals in the picture.

Curves by epoch (2A-C), one-vs-rest ROC (2D-F), actual against predicted (3). Colours follow Okabe and Ito; nothing is
told by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.canvas import CLASS_COLOURS, FOLD_COLOURS, GREY, INK, new_figure, png, tidy
from cxr_core.evaluate.p_words import p_words
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Estimate, Evidence, PairTest, Population
from cxr_core.stats.roc import roc_curve

__all__ = [
    "CURVES",
    "Curve",
    "EpochLike",
    "check_histories",
    "confusion_figure",
    "curves_figure",
    "draw_curve",
    "draw_roc",
    "roc_figure",
]

_FOLD_MARKERS = ("o", "s", "^", "D", "v")
# Beyond so many folds single curves are background, told apart by nothing.
_FOLDS_NAMED = len(FOLD_COLOURS)


class EpochLike(Protocol):
    """What a curve needs of an epoch: its number from 1, mean losses, and the validation error rate in [0, 1].

    Without validation images the last two are None and their curves stay empty.
    """

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def train_loss(self) -> float: ...  # noqa: D102
    @property
    def val_loss(self) -> float | None: ...  # noqa: D102
    @property
    def error_rate(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One panel of Fig. 2A-C: what is drawn over the epochs, and its unit."""

    letter: str
    title: str
    unit: str
    value_of: Callable[[EpochLike], float | None]
    percent: bool = False


CURVES = (
    Curve(letter="A", title="Training loss", unit="mean cross-entropy, nats", value_of=lambda epoch: epoch.train_loss),
    Curve(letter="B", title="Validation loss", unit="mean cross-entropy, nats", value_of=lambda epoch: epoch.val_loss),
    Curve(
        letter="C",
        title="Error rate on validation images",
        unit="share wrong",
        value_of=lambda epoch: epoch.error_rate,
        percent=True,
    ),
)


def curves_figure(histories: Mapping[int, Sequence[EpochLike]]) -> bytes:
    """Training loss, validation loss and error rate by epoch, every fold and their mean (Fig. 2A-C).

    Args:
        histories: Epochs of each fold, by the fold's number from 0.

    Raises:
        EvidenceError: No fold, or a fold without an epoch.
    """
    check_histories(histories)
    figure = new_figure(width=12.5, height=4.1)
    axes_of = figure.subplots(1, len(CURVES))
    for axes, curve in zip(axes_of, CURVES, strict=True):
        draw_curve(axes, histories, curve)
        axes.set_title(f"{curve.letter}  {curve.title}", loc="left", fontsize=12, fontweight="bold")
    handles, labels = axes_of[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False, fontsize=10)
    return png(figure)


def check_histories(histories: Mapping[int, Sequence[EpochLike]]) -> None:
    """Refuse histories that give no curve.

    Raises:
        EvidenceError: No fold, or a fold without an epoch.
    """
    if not histories or not all(histories.values()):
        raise EvidenceError("Curves need at least one epoch of every fold.", reason="no_epochs")


def roc_figure(predictions: Sequence[Prediction], evidence: Evidence) -> bytes:
    """One-vs-rest ROC curves of all and of leak-free test images, with AUC, interval and n (Fig. 2D-F).

    Args:
        predictions: What ``evidence`` was measured on.
        evidence: Where the areas and intervals are read.
    """
    figure = new_figure(width=12.5, height=4.4)
    for letter, slug, axes in zip("DEF", CLASSES, figure.subplots(1, len(CLASSES)), strict=True):
        draw_roc(axes, predictions, evidence, slug)
        axes.set_title(f"{letter}  {CLASS_NAMES[slug]} vs. rest", loc="left", fontsize=12, fontweight="bold")
    return png(figure)


def draw_curve(axes: Axes, histories: Mapping[int, Sequence[EpochLike]], curve: Curve) -> None:
    """Draw one panel of Fig. 2A-C: every fold, and their mean."""
    named = len(histories) <= _FOLDS_NAMED
    values: dict[int, list[float]] = {}
    for position, (fold, epochs) in enumerate(sorted(histories.items())):
        points = [(epoch.epoch, value) for epoch in epochs if (value := curve.value_of(epoch)) is not None]
        for number, value in points:
            values.setdefault(number, []).append(value)
        axes.plot(
            [number for number, _ in points],
            [value for _, value in points],
            color=FOLD_COLOURS[position] if named else GREY,
            marker=_FOLD_MARKERS[position] if named else "",
            markersize=4,
            linewidth=1.1,
            label=f"fold {fold + 1}" if named else ("each fold" if position == 0 else None),
        )
    # The mean stands only where every fold has the epoch: a mean of fewer folds would jump.
    whole = sorted(epoch for epoch, found in values.items() if len(found) == len(histories))
    means = [float(np.mean(values[epoch])) for epoch in whole]
    if len(histories) > 1:
        axes.plot(whole, means, color=INK, linewidth=2.6, label=f"mean of {len(histories)} folds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.03)
    if curve.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xlabel("epoch", fontsize=11)
    axes.set_ylabel(curve.unit, fontsize=11)
    tidy(axes)


def draw_roc(axes: Axes, predictions: Sequence[Prediction], evidence: Evidence, slug: ClassSlug) -> None:
    """Draw one panel of Fig. 2D-F: a class against the rest, over all and over leak-free test images."""
    colour = CLASS_COLOURS[slug]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="chance")
    _draw_area(axes, predictions, slug, evidence.all, name="all", colour=colour, style="-")
    if evidence.leak.leaking:
        clean = [row for row in predictions if row.leak_free]
        _draw_area(axes, clean, slug, evidence.leak_free, name="leak-free", colour=INK, style="--")
    tidy(axes)
    axes.set_xlabel("false-positive rate (1 − specificity)", fontsize=11)
    axes.set_ylabel("true-positive rate (sensitivity)", fontsize=11)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.legend(loc="lower right", fontsize=9, framealpha=0.95, edgecolor="#DDDDDD")


def confusion_figure(people: Population, *, title: str) -> bytes:
    """Actual against predicted: all three classes, then each pair with its chi-square (Fig. 3 and its missing third).

    Args:
        people: The population shown.
        title: Which images these are.
    """
    figure = new_figure(width=13.5, height=4.1)
    words = f"{title}: n = {people.n}, accuracy {_shown(people.accuracy)}"
    figure.suptitle(words, fontsize=12, x=0.01, ha="left")
    axes_of = figure.subplots(1, 1 + len(people.chi_square), width_ratios=[1.25, *(1 for _ in people.chi_square)])
    _draw_counts(axes_of[0], people.confusion, [str(slug) for slug in CLASSES])
    axes_of[0].set_title("all three classes", fontsize=11, fontweight="bold")
    for letter, axes, pair in zip("abc", axes_of[1:], _papers_order(people.chi_square), strict=True):
        _draw_counts(axes, pair.table, [str(slug) for slug in pair.classes])
        axes.set_title(f"{letter}  {pair.classes[0]} and {pair.classes[1]}", fontsize=11, fontweight="bold")
        axes.set_xlabel(f"predicted\n{_test_words(pair)}", fontsize=10)
    return png(figure)


def _draw_area(
    axes: Axes, rows: Sequence[Prediction], slug: ClassSlug, people: Population, *, name: str, colour: str, style: str
) -> None:
    figures, index = people.per_class[slug], CLASSES.index(slug)
    count = f"{figures.n} of {people.n} images"
    if figures.auc.value is None:
        axes.plot([], [], linestyle="none", label=f"{name}: no curve, {count}")
        return
    curve = roc_curve([row.label == index for row in rows], [row.probabilities[index] for row in rows])
    label = f"{name}: AUC {_shown(figures.auc)}\n{count}"
    fpr, tpr = curve.false_positive_rate, curve.true_positive_rate
    axes.plot(fpr, tpr, color=colour, linestyle=style, linewidth=2, label=label)


def _draw_counts(axes: Axes, table: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    counts = np.array(table, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        share = f"\n{shares[row, column]:.1%}" if totals[row, 0] else ""
        colour = "white" if shares[row, column] > 0.55 else INK
        words = f"{int(counts[row, column])}{share}"
        axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=11)
    rows = [f"{name}\nn = {int(total)}" for name, total in zip(names, totals[:, 0], strict=True)]
    axes.set_xticks(range(len(names)), names, fontsize=10)
    axes.set_yticks(range(len(names)), rows, fontsize=10)
    axes.set_xlabel("predicted", fontsize=10)
    axes.set_ylabel("actual", fontsize=10)
    axes.tick_params(length=0)


def _papers_order(pairs: Sequence[PairTest]) -> list[PairTest]:
    """The paper shows each disease against normal; the pair it leaves out comes last."""
    return sorted(pairs, key=lambda pair: "normal" not in pair.classes)


def _test_words(pair: PairTest) -> str:
    outside = f"\n{pair.outside} more named the third class"
    if pair.statistic is None or pair.p is None:
        return f"no χ²: a row or column is empty\nn = {pair.n}{outside}"
    return f"χ² = {pair.statistic:.1f}, df = {pair.df}, {p_words(pair.p)}\nn = {pair.n}{outside}"


def _shown(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
