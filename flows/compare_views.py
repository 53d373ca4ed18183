"""Runs side by side as a person reads them: our own first, then each pair, then what the paper prints of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxr_core.classes import CLASS_NAMES
from cxr_core.evaluate.p_words import p_words
from flows.views import figure

__all__ = ["show_comparison"]

_WORDS = {"accuracy": "accuracy", "macro_auc": "macro AUC"}


def show_comparison(console: Console, report: Mapping[str, Any]) -> None:
    """Runs as rows; below, each pair on the images both tested; last, the paper's list, marked as what it is."""
    console.print(_runs(report))
    for pair in report["pairs"]:
        _pair(console, pair)
    console.print(_systems(report))


def _runs(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "architecture", "protocol", "n", "accuracy", "leak-free", "macro AUC, leak-free"):
        table.add_column(name)
    for row in report["runs"]:
        table.add_row(
            escape(str(row["name"])),
            escape(row["architecture"]),
            row["protocol"],
            str(row["n"]) if row.get("cohort") in (None, row["n"]) else f"{row['n']} of {row['cohort']}",
            *(figure(row[key]) for key in ("accuracy", "leak_free_accuracy", "leak_free_macro_auc")),
        )
    return table


def _pair(console: Console, pair: Mapping[str, Any]) -> None:
    console.print(f"\n  {escape(pair['text'])}")
    for slug, area in pair["areas"].items():
        if area["value"] is None:
            console.print(f"    AUC of {CLASS_NAMES[slug]}: {escape(area['why'])}")
            continue
        p = "no p can be told" if area["p"] is None else f"DeLong's {p_words(area['p'])}"
        limits = f"{area['value']:+.3f} ({area['low']:+.3f} to {area['high']:+.3f})"
        console.print(
            f"    AUC of {CLASS_NAMES[slug]}: {area['first']:.3f} against {area['second']:.3f}, {limits}, {p}"
        )
    for key, (one, other) in (
        ("non_inferior", (pair["first"], pair["second"])),
        ("second_non_inferior", (pair["second"], pair["first"])),
    ):
        told = "; ".join(
            f"{_WORDS[name]} {'[green]shown[/]' if judged['verdict'] == 'shown' else '[yellow]not shown[/]'} "
            f"(margin {judged['margin']})"
            for name, judged in pair[key].items()
        )
        console.print(f"    {escape(one)} no worse than {escape(other)}: {told}", soft_wrap=True)


def _systems(report: Mapping[str, Any]) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title="\nas printed in the paper, other data: not to be ranked with the rows above",
        title_justify="left",
        title_style="yellow",
    )
    for name in ("system", "reads", "printed", "remark"):
        table.add_column(name)
    for system in report["systems"]:
        name = f"{system['name']} {system['reference']}"
        table.add_row(*map(escape, (name, system["images"] or "not said", system["printed"], system["note"])))
    return table
