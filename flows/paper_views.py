"""What arithmetic says of printed figures, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["show_paper_check"]


def show_paper_check(console: Console, report: Mapping[str, Any]) -> None:
    """The paper's figures, each with what would give it; then a run's own, and what does not follow from its counts."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_lines=False, padding=(0, 2, 1, 0))
    table.add_column("", no_wrap=True)
    table.add_column("the paper prints", ratio=2)
    table.add_column("what arithmetic says", ratio=5)
    for remark in report["paper"]:
        mark = "[green]✓[/]" if remark["holds"] else "[yellow]·[/]"
        printed = f"{escape(remark['printed'])}\n[dim]{escape(remark['where'])}[/]"
        table.add_row(mark, printed, escape(remark["words"]))
    console.print(table)
    ours = report["ours"]
    if ours is None:
        console.print("[bold]our own[/]  no run here yet; `cxr retrain` or `cxr demo` makes one")
        return
    read = ", ".join(ours["read"])
    if not ours["faults"]:
        console.print(f"[bold green]our own[/]  run {ours['run'][:8]}: every figure of {escape(read)} has its count")
        return
    console.print(
        f"[bold red]our own[/]  run {ours['run'][:8]}: {len(ours['faults'])} figures of {escape(read)} have not"
    )
    for fault in ours["faults"]:
        words = f"{fault['where']}: {fault['printed']} is said to be {fault['stated']}; {fault['why']}"
        console.print(f"  [red]✗[/] {escape(words)}", soft_wrap=True)
