"""Protocols side by side as a person reads them: the table, each class, each source, and the drop in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.protocol_parts import ProtocolRow, ProtocolTable, parse_protocols
from cxr_core.evaluate.protocol_tables import difference_words, drop_words
from flows.views import figure

__all__ = ["show_protocols"]


def show_protocols(console: Console, report: Mapping[str, Any]) -> None:
    """What each protocol measures, what it loses against the first, and which sources cannot be tested."""
    table = parse_protocols(report["table"])
    console.print()
    console.print(_rows(table))
    console.print()
    console.print(_areas(table))
    console.print()
    for row in table.rows[1:]:
        console.print(f"  {escape(drop_words(row))}", soft_wrap=True)
    console.print()
    console.print(_sources(table))
    for why in dict.fromkeys(source.why for row in table.rows for source in row.sources if source.why):
        console.print(f"  [yellow]·[/] {escape(why)}", soft_wrap=True)
    console.print("\npooled figures pool:")
    for row in table.rows:
        console.print(f"  [bold]{row.protocol}[/]  {escape(row.pools)}", soft_wrap=True)
    _end(console, report)


def _rows(table: ProtocolTable) -> Table:
    reference = table.rows[0].protocol
    shown = _table(
        "protocol", "folds", "images", "patients", "leaking", "accuracy", "over patients", "macro AUC", "mean of folds"
    )
    for row in table.rows:
        people, covered = row.people, row.coverage
        of = "" if covered.tested == covered.cohort else f" of {covered.cohort}"
        accuracy = people.accuracy
        patients = (
            accuracy.why
            if accuracy.cluster_low is None or accuracy.cluster_high is None
            else f"[{accuracy.cluster_low:.3f}, {accuracy.cluster_high:.3f}]"
        )
        shown.add_row(
            row.protocol,
            str(len(people.folds)),
            f"{people.n}{of}",
            str(people.groups),
            f"{row.leak.leaking} ({row.leak.share:.1%})",
            escape(_figure(accuracy)),
            escape(patients),
            escape(_figure(people.macro_auc)),
            escape(_figure(people.mean_fold_accuracy)),
        )
    shown.caption = (
        f"{table.confidence:.0%} intervals; leaking: images whose patient or duplicate trained or validated the\n"
        f"network that tests them; mean of folds: as the paper's Table 2; the others are held against {reference} below"
    )
    shown.caption_justify = "left"
    return shown


def _areas(table: ProtocolTable) -> Table:
    shown = _table("AUC, against the rest", *(CLASS_NAMES[slug] for slug in CLASSES))
    for row in table.rows:
        shown.add_row(row.protocol, *(escape(_figure(row.people.per_class[slug].auc)) for slug in CLASSES))
        if row.against and row.against.n:
            minus = [escape(difference_words(row.against.auc[slug])) for slug in CLASSES]
            shown.add_row(f"  minus {row.against.reference}, n = {row.against.n}", *minus, style="dim")
    return shown


def _sources(table: ProtocolTable) -> Table:
    """Accuracy by source, each protocol a column."""
    shown = _table("source", *(f"accuracy, {row.protocol}" for row in table.rows))
    for source in dict.fromkeys(one.source for row in table.rows for one in row.sources):
        shown.add_row(source, *(escape(_of_source(row, source)) for row in table.rows))
    return shown


def _of_source(row: ProtocolRow, source: str) -> str:
    one = next((each for each in row.sources if each.source == source), None)
    if one is None or one.verdict != "tested":
        return one.verdict if one else ""
    return f"{_figure(one.accuracy)}, n = {one.n}"


def _figure(estimate: Any) -> str:
    return figure(estimate.model_dump(mode="json"))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name)
    return table


def _end(console: Console, report: Mapping[str, Any]) -> None:
    reused, trainings = report["reused"], report["trainings"]
    told = f", {reused} of {trainings} folds reused" if reused else f", {trainings} folds trained"
    console.print(f"\nrun {report['run'][:8]}, {report['seconds']:.0f} s{told}")
    console.print(f"page {escape(report['page'])}", soft_wrap=True)
    console.print()
    for text, command in report["next"]:
        console.print(f"  {text.ljust(24)} [bold]{escape(command)}[/]", soft_wrap=True)
