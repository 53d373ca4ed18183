"""Predictions as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxr_core.classes import CLASS_NAMES, CLASSES

__all__ = ["show_predictions"]


def show_predictions(console: Console, report: Mapping[str, Any]) -> None:
    """One line a file: the class, the probability of each, or why the file cannot be used."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    table.add_column("class")
    for slug in CLASSES:
        table.add_column(CLASS_NAMES[slug], justify="right")
    refused: list[tuple[str, Mapping[str, str]]] = []
    for row in report["images"]:
        if "error" in row:
            refused.append((row["file"], row["error"]))
            continue
        shown = [f"{row['probabilities'][slug]:.3f}" for slug in CLASSES]
        table.add_row(escape(row["file"]), CLASS_NAMES[row["label"]], *shown)
    if table.row_count:
        console.print(table)
    for file, error in refused:
        console.print(f"[red]refused[/]  {escape(file)}  {escape(error['message'])} [dim]({error['reason']})[/]")
    maps = [row["map"] for row in report["images"] if "map" in row]
    if maps:
        console.print(f"{len(maps)} Grad-CAM pictures, the first: {escape(maps[0])}", soft_wrap=True)
    console.print(f"[dim]{report['model']}, weights {report['weights'][7:19]}; for research, not for diagnosis[/]")
