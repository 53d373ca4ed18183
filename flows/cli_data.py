"""``cxr sources`` and ``cxr data``: the verbs about data alone, which train and judge nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_core.errors import ParamsError
from flows.options import Json, Set, Workspace
from flows.output import boundary

__all__ = ["data", "sources"]

sources = typer.Typer(help="Where the four sources lie, and what they are pinned to.", no_args_is_help=True)
data = typer.Typer(help="What the cohort is made of, and a run's data, byte for byte.", no_args_is_help=True)

Sources = Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Default: all there are.")]
Version = Annotated[
    str | None, typer.Argument(metavar="[COMMIT|RUN|MODEL]", help="Whose data; default: the model that serves.")
]


@sources.command("status")
def sources_status(as_json: Json = False) -> None:
    """Where each source is reached, what is there, and whether it is what the pin says. Asks no network."""
    with boundary(as_json) as out:
        from flows.source_views import show_sources
        from tasks.sources import source_status

        report = source_status()
        out.report(report, show_sources)
        out.demand(bool(report["ok"]))


@sources.command("check")
def sources_check(names: Sources = None, as_json: Json = False) -> None:
    """Ask upstream what it has now. Exit code 1 where a pin could be moved."""
    with boundary(as_json) as out:
        from flows.source_views import show_check
        from tasks.sources import check_sources

        with out.events():
            report = check_sources(names or [])
        out.report(report, show_check)
        out.demand(bool(report["ok"]))


@sources.command("update")
def sources_update(
    names: Sources = None,
    accept_relabelled: Annotated[
        bool, typer.Option("--accept-relabelled", help="A person has looked: take labels that changed in mass.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; move no pin.")] = False,
    as_json: Json = False,
) -> None:
    """Show what changed since the pin (added, removed, relabelled images), then move the pin."""
    with boundary(as_json) as out:
        from flows.source_views import show_update
        from tasks.sources import update_pins

        with out.events():
            report = update_pins(names or [], accept_relabelled=accept_relabelled, dry_run=dry_run)
        out.report(report, show_update)
        out.demand(bool(report["ok"]))


@data.command("report")
def data_report(
    overrides: Set = None,
    purpose: Annotated[
        str | None, typer.Option("--for", metavar="commercial", help="List the rows whose licence forbids this use.")
    ] = None,
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """What the cohort is made of: classes, sources, duplicates, patients, licences, and every exclusion's reason."""
    with boundary(as_json) as out:
        from flows.data_views import show_data_report
        from tasks.data_report import data_report as make_report

        if purpose not in (None, "commercial"):
            raise ParamsError(
                f"Expected `--for commercial`; found {purpose!r}.", reason="unknown_purpose", hint="cxr data report"
            )
        with out.events():
            report = make_report(overrides or [], commercial=purpose == "commercial", workspace=workspace)
        out.report(report, show_data_report)
        out.demand(bool(report["ok"]))


@data.command("pull")
def data_pull(
    version: Version = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the files go; default: a workspace of that commit.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring back every byte that a run or a model was made from, each checked; or say which are missing."""
    with boundary(as_json) as out:
        from flows.transfer_views import show_pull
        from tasks.data_transfer import pull_data

        with out.events():
            report = pull_data(version, to=to)
        out.report(report, show_pull)
        out.demand(bool(report["ok"]))


@data.command("verify")
def data_verify(
    version: Version = None,
    quick: Annotated[bool, typer.Option("--quick", help="Presence and sizes only; no bytes are read.")] = False,
    as_json: Json = False,
) -> None:
    """Check that the remote holds every object of a run's data, byte for byte."""
    with boundary(as_json) as out:
        from flows.transfer_views import show_verify
        from tasks.data_transfer import verify_data

        with out.events():
            report = verify_data(version, quick=quick)
        out.report(report, show_verify)
        out.demand(bool(report["ok"]))
