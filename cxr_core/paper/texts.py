"""Our printed tables in, every figure that its stated count cannot give out.

The tables are read as a person reads them: only digits and the counts beside them, nothing of the evidence they were
made from. Law: a measured figure without a count or an n beside it is a fault too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cxr_core.errors import EvidenceError
from cxr_core.paper.fault import Fault
from cxr_core.stats.granularity import fits, read_digits
from cxr_core.stats.intervals import wilson

__all__ = ["figures_faults", "interval_faults", "share_faults", "table2_faults"]

_NUMBER = r"\d+(?:\.\d+)?"
_INTERVAL = rf"({_NUMBER}) \(({_NUMBER}) to ({_NUMBER})"
_FOLD = re.compile(rf"\| (\d+) \| (\d+) / (\d+) \| {_INTERVAL}\) \| ({_NUMBER}) \|")
_MEAN = re.compile(rf"\| mean \| (\d+) / (\d+) \| {_INTERVAL}\) \| ({_NUMBER}) \|")
_COUNTED = re.compile(rf"{_INTERVAL}; (\d+) of (\d+)\)")
_MEASURED = re.compile(rf"{_INTERVAL}; n = (\d+)\)")
_LEAK = re.compile(rf"(\d+) of (\d+) test images \(({_NUMBER})%\)")
_CONFIDENCE = re.compile(r"\((\d+)% interval")
_PERCENT, _THOUSANDTHS = 100, 1000


def table2_faults(text: str) -> list[Fault]:
    """Faults of ``table2.md``: accuracy, error and interval of each fold, and their mean."""
    confidence = _confidence(text)
    lines = text.splitlines()[2:]
    faults: list[Fault] = []
    counts: list[tuple[int, int]] = []
    for line in lines:
        where = f"table2.md, row {line.split('|')[1].strip()}" if line.count("|") > 2 else "table2.md"
        if found := _FOLD.fullmatch(line):
            k, n = int(found[2]), int(found[3])
            faults += share_faults(where, found[4], k, n, scale=_PERCENT)
            faults += share_faults(where, found[7], n - k, n, scale=_THOUSANDTHS)
            faults += interval_faults(where, (found[5], found[6]), k, n, confidence, scale=_PERCENT)
            counts.append((k, n))
        elif found := _MEAN.fullmatch(line):
            faults += _mean(where, (int(found[1]), int(found[2])), (found[3], found[6]), counts)
        elif "–" not in line:
            faults.append(Fault(where=where, printed=line, stated="nothing", why="no count stands beside the figure"))
    return faults


def figures_faults(text: str) -> list[Fault]:
    """Faults of ``figures.md``: each cell's figure and interval, and the share that leaks."""
    confidence = _confidence(text)
    faults: list[Fault] = []
    if leak := _LEAK.search(text):
        faults += share_faults("figures.md, leak", leak[3], int(leak[1]), int(leak[2]), scale=_PERCENT)
    for line in text.splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| ") or name.startswith(("figure ", "---")):
            continue
        for cell in cells:
            faults += _cell(f"figures.md, {name}", cell.removesuffix(" |"), confidence)
    return faults


def share_faults(where: str, printed: str, k: int, n: int, *, scale: int = 1) -> Iterator[Fault]:
    """A fault unless k of n prints as these digits.

    Args:
        where: What to call the place.
        printed: Digits.
        k: Stated count.
        n: Stated denominator.
        scale: 1, or 100 for per cent, 1000 for thousandths.
    """
    stated = f"{k} of {n}"
    try:
        if not fits(read_digits(printed, scale=scale), k, n):
            yield Fault(where=where, printed=printed, stated=stated, why=f"that is {scale * k / n:.6f}")
    except EvidenceError as error:
        yield Fault(where=where, printed=printed, stated=stated, why=error.message)


def interval_faults(
    where: str, printed: tuple[str, str], k: int, n: int, confidence: float, *, scale: int
) -> Iterator[Fault]:
    """A fault unless the printed limits are Wilson's of k of n.

    Args:
        where: What to call the place.
        printed: Lower and upper limit.
        k: Stated count.
        n: Stated denominator.
        confidence: Of the interval, in (0, 1).
        scale: 1, or 100 for per cent.
    """
    if not 0 <= k <= n or n == 0:
        # Said by the share already.
        return
    limits = wilson(k, n, confidence=confidence)
    wanted = tuple(
        f"{scale * limit:.{len(text.partition('.')[2])}f}"
        for limit, text in zip((limits.low, limits.high), printed, strict=True)
    )
    if wanted != printed:
        words = f"Wilson's is {wanted[0]} to {wanted[1]}"
        yield Fault(where=where, printed=" to ".join(printed), stated=f"{k} of {n}", why=words)


def _cell(where: str, cell: str, confidence: float) -> Iterator[Fault]:
    if cell.startswith("–"):
        return
    if found := _COUNTED.fullmatch(cell):
        k, n = int(found[4]), int(found[5])
        yield from share_faults(where, found[1], k, n)
        yield from interval_faults(where, (found[2], found[3]), k, n, confidence, scale=1)
    elif found := _MEASURED.fullmatch(cell):
        low, value, high = float(found[2]), float(found[1]), float(found[3])
        if not low <= value <= high:
            yield Fault(where=where, printed=cell, stated=f"n = {found[4]}", why="the point is outside its interval")
    else:
        yield Fault(where=where, printed=cell, stated="nothing", why="no count stands beside the figure")


def _mean(
    where: str, stated: tuple[int, int], printed: tuple[str, str], counts: list[tuple[int, int]]
) -> Iterator[Fault]:
    together = (sum(k for k, _ in counts), sum(n for _, n in counts))
    if stated != together:
        words = f"{together[0]} of {together[1]} in all"
        yield Fault(where=where, printed=f"{stated[0]} / {stated[1]}", stated=f"{len(counts)} rows", why=words)
    mean = sum(k / n for k, n in counts if n) / len(counts) if counts else 0.0
    for text, value in zip(printed, (_PERCENT * mean, _THOUSANDTHS * (1 - mean)), strict=True):
        unit = 10.0 ** -len(text.partition(".")[2])
        # Half a unit of the last digit, and what float64 loses on the way.
        if abs(float(text) - value) > unit * (0.5 + 1e-9):
            yield Fault(where=where, printed=text, stated=f"{len(counts)} rows", why=f"their mean is {value:.6f}")


def _confidence(text: str) -> float:
    found = _CONFIDENCE.search(text)
    return int(found[1]) / _PERCENT if found else 0.0
