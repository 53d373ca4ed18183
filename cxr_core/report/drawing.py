"""Boxes, arrows and words as SVG text; colours are the page's CSS classes, so that a drawing suits light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

__all__ = ["LINE_PIXELS", "arrow", "box", "path", "svg", "words"]

LINE_PIXELS = 15
_HEAD = 6


def svg(parts: Sequence[Markup], *, width: float, height: float, title: str) -> Markup:
    """A drawing with a title that is read aloud.

    Args:
        parts: What is drawn, first to last.
        width: Pixels.
        height: Pixels.
        title: What it shows.
    """
    frame = Markup(
        '<svg class="drawing" role="img" viewBox="0 0 {w} {h}" width="{w}" height="{h}">'
        "<title>{title}</title>{body}</svg>"
    )
    return frame.format(w=round(width), h=round(height), title=title, body=Markup("").join(parts))


def box(x: float, y: float, width: float, height: float, lines: Sequence[str] = (), *, kind: str = "plain") -> Markup:
    """A rectangle with centred lines of text; ``kind`` is its CSS class: ``plain``, ``strong`` or ``soft``."""
    top = y + height / 2 - (len(lines) - 1) * LINE_PIXELS / 2 + 4
    text = Markup("").join(words(x + width / 2, top + row * LINE_PIXELS, line) for row, line in enumerate(lines))
    return Markup(
        '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="4"/>{text}'
    ).format(kind=kind, x=x, y=y, w=width, h=height, text=text)


def words(x: float, y: float, text: str, *, kind: str = "") -> Markup:
    """A line of text, centred at x on the baseline y; ``kind`` is its CSS class."""
    return Markup('<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{text}</text>').format(
        kind=kind, x=x, y=y, text=escape(text)
    )


def arrow(x: float, y: float, length: float) -> Markup:
    """An arrow to the right."""
    return path([(x, y), (x + length, y)])


def path(points: Sequence[tuple[float, float]]) -> Markup:
    """Straight lines from point to point, with a head at the end; the last leg lies along an axis."""
    (x0, y0), (x1, y1) = points[-2:]
    dx, dy = _sign(x1 - x0), _sign(y1 - y0)
    back = (x1 - dx * _HEAD, y1 - dy * _HEAD)
    side = _HEAD / 2
    head = [(x1, y1), (back[0] - dy * side, back[1] + dx * side), (back[0] + dy * side, back[1] - dx * side)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*points[:-1], back])
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in head)
    return Markup('<polyline class="line" points="{line}"/><polygon class="head" points="{corners}"/>').format(
        line=line, corners=corners
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
