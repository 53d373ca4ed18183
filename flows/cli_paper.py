"""``cxr paper``: the paper that the protocol comes from, held against arithmetic."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.options import Json
from flows.output import boundary

__all__ = ["paper"]

paper = typer.Typer(help="The paper's printed figures, and ours, held against arithmetic.", no_args_is_help=True)


@paper.callback()
def group() -> None:
    """Keep ``check`` a verb of its own: a group of one would otherwise be the verb itself."""


@paper.command("check")
def paper_check(
    run: Annotated[
        str | None, typer.Argument(help="A run, the first digits of one, or a model; default: the one that serves.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Which counts can give the figures the paper prints, and whether a run's own follow from theirs. Exit code 1 where
    one of ours does not."""
    with boundary(as_json) as out:
        from flows.paper_views import show_paper_check
        from tasks.paper import check_figures

        report = check_figures(run)
        out.report(report, show_paper_check)
        out.demand(bool(report["ok"]))
