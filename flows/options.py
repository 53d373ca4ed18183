"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "Set", "Workspace"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of params.yaml; repeatable.")
]
Workspace = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Run in this folder (made, or reused); default: one under CXR_HOME.")
]
