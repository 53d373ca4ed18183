"""How every picture is drawn: Matplotlib's objects without its global state, one palette, PNG bytes out.

Law: the same figure gives the same bytes (no date and no program version is written into the file).
"""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cxr_core.classes import ClassSlug

__all__ = ["CLASS_COLOURS", "FOLD_COLOURS", "GREY", "INK", "new_figure", "png", "tidy"]

# Okabe and Ito's palette (2008), which the common colour-vision deficiencies tell apart.
CLASS_COLOURS: dict[ClassSlug, str] = {"covid": "#D55E00", "viral": "#0072B2", "normal": "#009E73"}
FOLD_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2")
INK = "#000000"
GREY = "#8C8C8C"

_DOTS_PER_INCH = 110


def new_figure(*, width: float, height: float) -> Figure:
    """An empty figure of so many inches, at 110 dots each, with an Agg canvas."""
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", facecolor="white", metadata={"Software": None})
    return out.getvalue()


def tidy(axes: Axes) -> None:
    """Light grid, no frame on the upper and right sides."""
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
