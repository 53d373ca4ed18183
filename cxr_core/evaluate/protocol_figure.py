"""Protocols side by side as one picture: accuracy and macro AUC with intervals over patients, n and each drop in words.

Protocols are told apart by place, marker and name, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxr_core.evaluate.canvas import FOLD_COLOURS, GREY, INK, new_figure, png, tidy
from cxr_core.evaluate.compare import Difference
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.protocol_parts import Against, ProtocolRow, ProtocolTable
from cxr_core.evaluate.protocol_tables import difference_words

__all__ = ["draw_protocols", "protocols_figure"]

_MARKERS = ("o", "s", "^", "D")
# Orange, blue and green of Okabe and Ito's palette, and their purple.
_COLOURS = (FOLD_COLOURS[0], FOLD_COLOURS[4], FOLD_COLOURS[2], FOLD_COLOURS[3])

# Shares of the axes' height: what is written below the bars, and where it begins; and the axes' upper end.
_WRITTEN, _FOOT, _TOP = 0.32, 0.03, 1.03


def protocols_figure(table: ProtocolTable) -> bytes:
    """The picture as PNG bytes."""
    return png(draw_protocols(table))


def draw_protocols(table: ProtocolTable) -> Figure:
    """The picture, to be written in any form."""
    figure = new_figure(width=1.8 + 3.4 * len(table.rows), height=5.0)
    left, right = figure.subplots(1, 2)
    _panel(left, table, "accuracy", lambda row: row.people.accuracy, lambda against: against.accuracy)
    _panel(right, table, "macro AUC", lambda row: row.people.macro_auc, lambda against: against.macro_auc)
    reference, percent = table.rows[0].protocol, f"{table.confidence:.0%}"
    figure.supxlabel(
        f"bars: {percent} intervals over patients; in italics: minus {reference}, on the images that both test",
        fontsize=9,
        color="#555555",
    )
    return figure


def _panel(
    axes: Axes,
    table: ProtocolTable,
    name: str,
    figure_of: Callable[[ProtocolRow], Estimate],
    difference_of: Callable[[Against], Difference],
) -> None:
    shown = [figure_of(row) for row in table.rows]
    if (first := shown[0].value) is not None:
        axes.axhline(first, color=GREY, linewidth=1, linestyle="--")
    limits = [_limits(one) for one in shown]
    lowest = min((low for one in limits if one for low in one), default=0.0)
    # Below the lowest bar there is room for what is written there.
    axes.set_ylim((lowest - _WRITTEN * _TOP) / (1 - _WRITTEN), _TOP)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1])
    written: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
    for place, (row, one, ends) in enumerate(zip(table.rows, shown, limits, strict=True)):
        if one.value is None or ends is None:
            axes.text(place, _FOOT, "not defined", fontsize=10, color=INK, **written)
            continue
        axes.plot([place, place], ends, color=_COLOURS[place], linewidth=3, solid_capstyle="butt")
        axes.plot([place], [one.value], marker=_MARKERS[place], markersize=10, color=_COLOURS[place], linestyle="none")
        axes.annotate(
            f"{one.value:.3f}", (place, one.value), (9, 4), textcoords="offset points", fontsize=10.5, fontweight="bold"
        )
        if row.against and (words := difference_words(difference_of(row.against)).replace("-", "−")):
            drop, _, interval = words.partition(" ")
            words = f"{drop}\n{interval}\nn = {row.against.n}"
            axes.text(place, _FOOT, words, fontsize=9.5, style="italic", **written)
    axes.set_xticks(range(len(shown)), [_name(row, one) for row, one in zip(table.rows, shown, strict=True)])
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_title(name, loc="left", fontsize=12, fontweight="bold")
    tidy(axes)


def _name(row: ProtocolRow, one: Estimate) -> str:
    leak = f"{row.leak.leaking} leak" if row.leak.leaking else "none leaks"
    return f"{row.protocol}\nn = {one.n}\n{leak}"


def _limits(one: Estimate) -> tuple[float, float] | None:
    if one.cluster_low is not None and one.cluster_high is not None:
        return one.cluster_low, one.cluster_high
    return (one.low, one.high) if one.low is not None and one.high is not None else None
