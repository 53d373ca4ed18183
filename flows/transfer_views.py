"""``cxr data pull|push|verify`` as a person reads them: what is right, what is missing or damaged, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

__all__ = ["show_pull", "show_push", "show_verify"]

_SHOWN = 20


def show_verify(console: Console, report: Mapping[str, Any]) -> None:
    """A remote held against its manifest."""
    _head(console, report)
    if report["ok"]:
        how = "present in the right size" if report["quick"] else "read whole, each with its SHA-256"
        console.print(f"[bold green]complete[/]  {_amount(report)}, {how}, at {escape(str(report['remote']))}")
        return
    _faults(console, report)
    console.print(f"  [bold]next[/] cxr data push {report['commit'][:12]}, on a machine whose cache still has the data")


def show_pull(console: Console, report: Mapping[str, Any]) -> None:
    """What was brought back, or why it was not."""
    _head(console, report)
    if report["ok"]:
        console.print(
            f"[bold green]every byte is back[/]  {report['files']} files, {_amount(report)}, each with its SHA-256: "
            f"{report['downloaded']} downloaded, {report['copied']} from the cache, {report['kept']} in place before"
        )
        console.print(f"  {escape(str(report['to']))}", soft_wrap=True)
        return
    _faults(console, report)
    if report["complete"]:
        console.print("  what arrived whole is kept; the same command goes on from there")
    console.print(f"  [bold]next[/] cxr data push {report['commit'][:12]}, on a machine whose cache still has the data")


def show_push(console: Console, report: Mapping[str, Any]) -> None:
    """A version that was published again."""
    _head(console, report)
    console.print(
        f"[bold green]complete[/]  {_amount(report)}, every one verified at {escape(str(report['remote']))}: "
        f"{report['read']} read back, {report['restored']} restored"
    )


def _head(console: Console, report: Mapping[str, Any]) -> None:
    console.print(f"[bold]{escape(str(report['reference']))}[/]  commit {report['commit'][:12]}  data {report['data']}")


def _faults(console: Console, report: Mapping[str, Any]) -> None:
    where = escape(str(report["remote"]))
    if not report["complete"]:
        console.print(f"[bold red]not complete[/]  {where} does not prove to hold it: {escape(str(report['why']))}")
    faults = report["faults"]
    if faults:
        console.print(f"[bold red]{len(report['missing'])} missing, {len(report['damaged'])} damaged[/]  at {where}")
    elif not report["complete"]:
        console.print("  no object is missing there, but nothing proves their bytes")
    for fault in faults[:_SHOWN]:
        line = f"  [red]✗[/] {fault['kind']:8} {escape(fault['path'])}  [dim]{escape(fault['detail'])}[/]"
        console.print(line, soft_wrap=True)
    if len(faults) > _SHOWN:
        console.print(f"  and {len(faults) - _SHOWN} more; all of them: --json")


def _amount(report: Mapping[str, Any]) -> str:
    return f"{report['objects']} objects, {decimal(report['bytes'])}"
