"""Our HTML page in, every figure that its stated count cannot give out: the page read as a person reads it.

Laws: a percentage outside the elements that state a count, quote what is printed elsewhere or name a confidence level
is a fault; so is a figure whose digits, interval or mean do not follow from the counts beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from cxr_core.paper.fault import Fault
from cxr_core.paper.texts import interval_faults, share_faults

__all__ = ["page_faults"]

_NUMBER = r"\d+(?:\.\d+)?"
# A difference may be below nothing; a share or an area may not.
_SIGNED = rf"-?{_NUMBER}"
_PATIENTS = rf"(?:; by patients ({_NUMBER}) to ({_NUMBER}))?"
_COUNTED = re.compile(rf"({_NUMBER}) % \(({_NUMBER}) to ({_NUMBER})\), (\d+) of (\d+){_PATIENTS}")
_MEASURED = re.compile(rf"({_SIGNED})(?: %)? \(({_SIGNED}) to ({_SIGNED})\), n = (\d+){_PATIENTS}")
_PART = re.compile(rf"({_NUMBER}) (%|× 10⁻³), (\d+) of (\d+)")
_CELL = re.compile(rf"(\d+) of (\d+), ({_NUMBER}) %")
_MEAN = re.compile(rf"({_NUMBER}) × 10⁻³, mean of (\d+)")
_PERCENTAGE = re.compile(r"\d\s*%")
_SCALES = {"%": 100, "× 10⁻³": 1000}
# What may show a percentage that is no measurement of ours.
_QUOTED = frozenset({"printed", "level"})
_VOID = frozenset({"br", "img", "link", "meta"})
_UNREAD = frozenset({"style", "script", "title"})


def page_faults(html: str) -> list[Fault]:
    """Faults of ``report.html``."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    faults = [fault for where, kind, text in reader.figures for fault in _faults(where, kind, text, reader.confidence)]
    faults += _mean_faults(reader.figures)
    faults += [
        Fault(where=where, printed=text, stated="nothing", why="no count stands beside the figure")
        for where, text in reader.bare
    ]
    return faults


class _Reader(HTMLParser):
    """Collects figures, and percentages that stand outside of them, with the heading they stand under."""

    def __init__(self) -> None:
        super().__init__()
        self.figures: list[tuple[str, str, str]] = []
        self.bare: list[tuple[str, str]] = []
        self.confidence = 0.0
        self._open: list[tuple[str, set[str]]] = []
        self._heading = ""
        self._figure: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br" and self._figure is not None:
            self._figure.append(" ")
        if tag in _VOID:
            return
        given = dict(attrs)
        self._open.append((tag, set((given.get("class") or "").split())))
        self.confidence = float(given.get("data-confidence") or self.confidence)
        if tag in ("h1", "h2", "h3"):
            self._heading = ""
        if tag == "data":
            self._figure = []

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, classes = self._open.pop()
            if name == "data" and self._figure is not None:
                text = " ".join("".join(self._figure).split())
                self.figures.append((f"report.html, {self._heading}", " ".join(classes), text))
                self._figure = None
            if name == tag:
                break

    def handle_data(self, data: str) -> None:
        tags = {name for name, _ in self._open}
        if self._figure is not None:
            self._figure.append(data)
        elif not tags & _UNREAD and not any(classes & _QUOTED for _, classes in self._open):
            self._heading += " ".join(data.split()) if tags & {"h1", "h2", "h3"} else ""
            self.bare += [(f"report.html, {self._heading}", " ".join(data.split()))] if _PERCENTAGE.search(data) else []


def _faults(where: str, kind: str, text: str, confidence: float) -> Iterator[Fault]:
    if kind == "figure" and (found := _COUNTED.fullmatch(text)):
        k, n = int(found[4]), int(found[5])
        yield from share_faults(where, found[1], k, n, scale=100)
        yield from interval_faults(where, (found[2], found[3]), k, n, confidence, scale=100)
    elif kind == "figure" and (found := _MEASURED.fullmatch(text)):
        value, low, high = (float(found[group]) for group in (1, 2, 3))
        if not low <= value <= high:
            yield Fault(where=where, printed=text, stated=f"n = {found[4]}", why="the point is outside its interval")
    elif kind == "part" and (found := _PART.fullmatch(text)):
        yield from share_faults(where, found[1], int(found[3]), int(found[4]), scale=_SCALES[found[2]])
    elif kind == "cell" and (found := _CELL.fullmatch(text)):
        yield from share_faults(where, found[3], int(found[1]), int(found[2]), scale=100)
    elif not (kind == "mean" and _MEAN.fullmatch(text)):
        yield Fault(where=where, printed=text, stated="nothing", why="no count stands beside the figure")


def _mean_faults(figures: list[tuple[str, str, str]]) -> Iterator[Fault]:
    """A mean of folds against the counts of the folds above it, under the same heading."""
    for place, (where, kind, text) in enumerate(figures):
        found = _MEAN.fullmatch(text) if kind == "mean" else None
        if found is None:
            continue
        above = [_PART.fullmatch(other) for name, of, other in figures[:place] if (name, of) == (where, "part")]
        shares = [int(one[3]) / int(one[4]) for one in above if one and one[2] != "%"]
        mean = 1000 * sum(shares) / len(shares) if shares else 0.0
        unit = 10.0 ** -len(found[1].partition(".")[2])
        # Half a unit of the last digit, and what float64 loses on the way.
        if len(shares) != int(found[2]) or abs(float(found[1]) - mean) > unit * (0.5 + 1e-9):
            yield Fault(where=where, printed=text, stated=f"{len(shares)} rows", why=f"their mean is {mean:.6f}")
