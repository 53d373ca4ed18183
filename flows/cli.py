"""The ``cxr`` command: verbs that report in words or, with ``--json``, as one JSON object.

Exit code 0 only when what was asked for holds: a retrain ended with a decision, a trace or a verification found
nothing wrong, an approval or a rollback was carried out. Heavy libraries are imported inside the verbs, so that help
answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_data import data, sources
from flows.cli_paper import paper
from flows.options import Json, Set, Workspace
from flows.output import Output, boundary

__all__ = ["app", "main"]


app = typer.Typer(
    help="Retrain a chest X-ray classifier, judge it by a written policy, and trace every model to its images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(sources, name="sources")
app.add_typer(data, name="data")
app.add_typer(paper, name="paper")

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="models:/NAME@ALIAS, models:/NAME/VERSION, an alias or a version; default: what serves."
    ),
]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it stands in the ledger.")]


@app.command()
def demo(as_json: Json = False) -> None:
    """The whole walk on phantoms: four sources, five folds, a decision. Needs no data and no network."""
    with boundary(as_json) as out:
        from flows.start import run_demo

        _end(out, run_demo(out))


@app.command()
def retrain(overrides: Set = None, workspace: Workspace = None, as_json: Json = False) -> None:
    """Retrain on the sources that CXR_SOURCES names, judge the model, and promote it where the policy allows."""
    with boundary(as_json) as out:
        from flows.start import run_retrain

        _end(out, run_retrain(out, overrides or [], workspace))


@app.command()
def pretrain(
    overrides: Set = None,
    workspace: Workspace = None,
    alias: Annotated[str, typer.Option(help="What points at the new version afterwards.")] = "newest",
    as_json: Json = False,
) -> None:
    """Train a backbone on labelled X-rays that have nothing to do with the cohort, and register it."""
    with boundary(as_json) as out:
        from flows.start import run_pretrain
        from flows.views import show_backbone

        out.report(run_pretrain(out, overrides or [], workspace, alias), show_backbone)


@app.command()
def protocols(
    overrides: Set = None,
    names: Annotated[
        str, typer.Option("--protocols", metavar="NAME,NAME", help="Which; the others are held against the first.")
    ] = "paper,grouped,loso",
    workspace: Workspace = None,
    as_json: Json = False,
) -> None:
    """Cross-validate one cohort under several protocols, and show what of the first one's figures the others leave."""
    with boundary(as_json) as out:
        from flows.protocol_views import show_protocols
        from flows.start import run_protocols

        out.report(run_protocols(out, overrides or [], workspace, names), show_protocols)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 5000,
    as_json: Json = False,
) -> None:
    """Serve MLflow's pages on the store in use, and print their address. Ctrl-C ends it."""
    with boundary(as_json) as out:
        from flows.serve import serve_ui

        serve_ui(out, host=host, port=port)


@app.command()
def trace(model: Model = None, as_json: Json = False) -> None:
    """Walk from a model to every image that made it, and check each copy's SHA-256."""
    with boundary(as_json) as out:
        from flows.views import show_trace
        from tasks.audit import trace_model

        with out.events():
            report = trace_model(model)
        out.report(report, show_trace)
        out.demand(bool(report["ok"]))


@app.command()
def verify(
    mend: Annotated[bool, typer.Option("--mend", help="First set the aliases to the ledger's last word.")] = False,
    as_json: Json = False,
) -> None:
    """Check the ledger's chain, and that the registry's aliases are its last word."""
    with boundary(as_json) as out:
        from flows.views import show_checks
        from tasks.audit import verify_ledger_and_registry

        report = verify_ledger_and_registry(mend=mend)
        out.report(report, show_checks)
        out.demand(bool(report["ok"]))


@app.command()
def promote(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: the newest version.")] = None,
    as_json: Json = False,
) -> None:
    """Judge a registered version by the policy as it stands now; move the aliases where it allows."""
    with boundary(as_json) as out:
        from flows.views import show_decision
        from tasks.promote import judge_version

        report = judge_version(model)
        out.report(report, show_decision)
        out.demand(report["outcome"] in ("promoted", "unchanged"))


@app.command()
def approve(
    version: Annotated[str, typer.Argument(help="The version that waits for approval.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Approve a version whose gates have passed and whose policy wants a person."""
    with boundary(as_json) as out:
        from flows.views import show_decision
        from tasks.promote import approve_version

        report = approve_version(version, reason=reason)
        out.report(report, show_decision)
        out.demand(report["outcome"] == "promoted")


@app.command()
def rollback(
    reason: Reason,
    to: Annotated[str | None, typer.Option(help="Version to return to; default: the one before (`previous`).")] = None,
    as_json: Json = False,
) -> None:
    """Put the version before, or a named one, back into service."""
    with boundary(as_json) as out:
        from flows.views import show_decision
        from tasks.promote import roll_back

        out.report(roll_back(to=to, reason=reason), show_decision)


@app.command()
def why(
    run: Annotated[
        str | None, typer.Argument(help="A run, the first digits of one, or a model; default: the one that serves.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another run: say what differs between the two.")] = None,
    as_json: Json = False,
) -> None:
    """The parts of a run's cache keys: what it was made from, and why it was or was not reused."""
    with boundary(as_json) as out:
        from flows.views import show_why
        from tasks.why import explain_keys

        out.report(explain_keys(run, against=against), show_why)


@app.command()
def report(
    run: Annotated[
        str | None, typer.Argument(help="A run, the first digits of one, or a model; default: the one that serves.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page's file.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write a run's page: every figure and table of the paper, and what to believe of them, in one HTML file."""
    with boundary(as_json) as console:
        from flows.page_views import show_page
        from tasks.page import write_report

        console.report(write_report(run, out), show_page)


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="PNG, JPEG or DICOM files, or folders.")],
    model: Annotated[str | None, typer.Option(help="As for `trace`; default: what serves.")] = None,
    explain: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw a Grad-CAM picture a file into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Class probabilities of X-rays by a registered model. Exit code 1 where a file cannot be used."""
    with boundary(as_json) as out:
        from flows.predict_views import show_predictions
        from tasks.predict import predict_files

        with out.events():
            report = predict_files(files, model=model, explain=explain)
        out.report(report, show_predictions)
        out.demand(bool(report["ok"]))


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs or models; each two are paired.")],
    as_json: Json = False,
) -> None:
    """Runs side by side, paired on the images they share, and the systems that the paper names, as it prints them."""
    with boundary(as_json) as out:
        from flows.compare_views import show_comparison
        from tasks.compare import compare_runs

        out.report(compare_runs(runs), show_comparison)


def main() -> None:
    """Run the command line."""
    # Before torch is imported. OpenMP's threads spin for long while they wait for the next layer; a short spin leaves
    # their cores to others, and is 3 to 5 % faster than none on idle ones. Where others use the cores no spin helps:
    # oneDNN's threads wait inside a layer as well, and tasks/live.py says what does help.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    app()


def _end(out: Output, report: dict[str, object]) -> None:
    from flows.views import show_retrain

    out.report(report, show_retrain)
    out.demand(bool(report["ok"]))


if __name__ == "__main__":
    main()
