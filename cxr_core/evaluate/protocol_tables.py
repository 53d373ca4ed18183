"""Protocols side by side as text: a CSV for spreadsheets, flat numbers for a tracker, each drop as a sentence.

Laws: no point stands without its n and interval; what is missing is an empty cell or a reason, never 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from cxr_core.classes import CLASSES
from cxr_core.evaluate.compare import Difference
from cxr_core.evaluate.p_words import p_words
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.protocol_parts import Against, ProtocolRow, ProtocolTable

__all__ = ["difference_words", "drop_words", "protocol_metrics", "protocols_csv"]

_Cell = float | int | str | None


def protocols_csv(table: ProtocolTable) -> str:
    """One line a protocol; ``.low`` and ``.high`` are over images, or over patients where a figure has no others."""
    lines = [dict(_cells(row)) for row in table.rows]
    # The first row is compared with nothing: the columns of a comparison come from the others.
    columns = list(dict.fromkeys(name for line in lines for name in line))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_text(line.get(name)) for name in columns])
    return out.getvalue()


def protocol_metrics(table: ProtocolTable) -> dict[str, float]:
    """Figures as ``<protocol>.<figure>[.low|.high|.n]`` to numbers; what is null is left out."""
    return {
        f"{row.protocol}.{name}": float(cell)
        for row in table.rows
        for name, cell in _cells(row)
        if cell is not None and not isinstance(cell, str)
    }


def drop_words(row: ProtocolRow) -> str:
    """What a row loses against the first, e.g. ``grouped against paper, on the 150 images that both test ...``."""
    against = row.against
    if against is None:
        return f"{row.protocol} is what the others are held against."
    if against.n == 0:
        return f"{row.protocol} and {against.reference} test no image in common: nothing can be compared."
    discordant = f"right with one alone {against.only_this_right} : {against.only_reference_right}"
    p = "" if against.mcnemar_p is None else f", McNemar's {p_words(against.mcnemar_p)}"
    figures = {"accuracy": against.accuracy, "macro AUC": against.macro_auc}
    told = "; ".join(f"{name} {_told(figure)}" for name, figure in figures.items())
    return (
        f"{row.protocol} against {against.reference}, on the {against.n} images of {against.groups} patients that both "
        f"test: {told}; {discordant}{p}."
    )


def difference_words(one: Difference) -> str:
    """``-0.053 (-0.091 to -0.016)``; where there is none, nothing."""
    if one.value is None or one.low is None or one.high is None:
        return ""
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _told(one: Difference) -> str:
    if one.value is None or one.low is None or one.high is None:
        return f"not compared ({one.why})"
    return f"{one.first:.3f} against {one.second:.3f}, {difference_words(one)}, {_shown(one.low, one.high)}"


def _shown(low: float, high: float) -> str:
    return "a drop" if high < 0 else "a rise" if low > 0 else "no difference shown"


def _cells(row: ProtocolRow) -> Iterator[tuple[str, _Cell]]:
    yield "protocol", row.protocol
    yield "folds", len(row.people.folds)
    yield "n", row.people.n
    yield "cohort.n", row.coverage.cohort
    yield "patients", row.people.groups
    yield "leaking", row.leak.leaking
    yield "leak", row.leak.share
    yield from _estimate("accuracy", row.people.accuracy)
    yield from _estimate("leak_free_accuracy", row.leak_free_accuracy)
    yield from _estimate("mean_fold_accuracy", row.people.mean_fold_accuracy)
    yield from _estimate("macro_auc", row.people.macro_auc)
    for slug in CLASSES:
        yield from _estimate(f"{slug}.auc", row.people.per_class[slug].auc)
    yield "not_identifiable", " ".join(row.coverage.not_identifiable)
    if row.against is not None:
        yield from _against(row.against)


def _against(against: Against) -> Iterator[tuple[str, _Cell]]:
    yield "against", against.reference
    yield "against.n", against.n
    yield "against.patients", against.groups
    differences = {"accuracy": against.accuracy, "macro_auc": against.macro_auc} | {
        f"{slug}.auc": against.auc[slug] for slug in CLASSES
    }
    for name, one in differences.items():
        yield f"against.{name}", one.value
        yield f"against.{name}.low", one.low
        yield f"against.{name}.high", one.high
    yield "against.mcnemar_p", against.mcnemar_p


def _estimate(name: str, one: Estimate) -> Iterator[tuple[str, _Cell]]:
    yield name, one.value
    yield f"{name}.low", one.low
    yield f"{name}.high", one.high
    yield f"{name}.patients_low", one.cluster_low
    yield f"{name}.patients_high", one.cluster_high
    yield f"{name}.n", one.n


def _text(cell: _Cell) -> str:
    return "" if cell is None else repr(cell) if isinstance(cell, float) else str(cell)
