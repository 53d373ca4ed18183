"""Where a page was written, as a person reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

__all__ = ["show_page"]


def show_page(console: Console, report: Mapping[str, Any]) -> None:
    """The file, its size, and whose page it is."""
    decision = report["decision"] or "without a decision"
    words = f"run {report['run'][:8]}, {decision}, {report['bytes'] / 1e6:.1f} MB, opens without a network"
    console.print(f"[bold]{escape(report['file'])}[/]  {words}", soft_wrap=True)
