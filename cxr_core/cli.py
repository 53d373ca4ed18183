"""``python -m cxr_core <word>``: the stages by hand or by DVC, on files, with no orchestrator and no tracker.

Each verb reads its inputs from the workspace (``--workspace``, the working directory by default), writes its outputs
there and prints one line, or with ``--json`` one object. Exit code 0 only when the outputs are written.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cxr_core.classes import CLASSES, SOURCES, Source
from cxr_core.errors import CxrError, SettingError

__all__ = ["PROGRESS_MARK", "app", "main"]

PROGRESS_MARK = "cxr-progress"
"""Begins the lines that ``CXR_PROGRESS=lines`` asks for: mark, stage, done, total."""

_SECONDS_BETWEEN_LINES = 0.3

Progress = Callable[[int, int], None]

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

WorkspaceOption = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace that holds params.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def ingest(
    source: Annotated[str, typer.Argument(help=f"One of {', '.join(SOURCES)}.")],
    workspace: WorkspaceOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Read one source in its published layout into data/raw/SOURCE: originals, records, exclusions, quarantine."""
    from cxr_core.ingest.address import source_folder
    from cxr_core.ingest.stage import run

    with _verb(as_json), _memo() as memo:
        if source not in SOURCES:
            raise SettingError(
                f"Expected a source, one of {', '.join(SOURCES)}; found {source!r}.", reason="unknown_source"
            )
        name: Source = source
        params = _params(workspace)
        address = source_folder(name, os.environ) if name in params.ingest.sources else workspace
        summary = run(
            name,
            workspace=workspace,
            address=address,
            patient_key=_patient_key(),
            params=params,
            quarantine=Path(held) if (held := os.environ.get("CXR_QUARANTINE")) else None,
            memo=memo,
            progress=_progress(f"ingest {source}"),
        )
        _say(summary | _effort(memo, summary["records"] + summary["quarantined"]), as_json)


@app.command()
def curate(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Make the cohort: views, labels, duplicates, patients, quotas; every exclusion with its reason."""
    from cxr_core.curate.stage import run

    with _verb(as_json):
        _say(run(workspace=workspace, params=_params(workspace)), as_json)


@app.command()
def prepare(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Pack the cohort's images into one uint8 array."""
    from cxr_core.prepare.stage import run

    with _verb(as_json), _memo() as memo:
        params = _params(workspace)
        summary = run(workspace=workspace, params=params, memo=memo, progress=_progress("prepare"))
        _say(summary | _effort(memo, summary["images"]), as_json)


@app.command()
def split(workspace: WorkspaceOption = Path(), as_json: JsonOption = False) -> None:
    """Deal the cohort into folds."""
    from cxr_core.split.stage import run

    with _verb(as_json):
        _say(run(workspace=workspace, params=_params(workspace)), as_json)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="Where the four source folders are written.")],
    seed: Annotated[int, typer.Option(help="Equal seeds write equal bytes.")] = 2021,
    covid: Annotated[int, typer.Option(min=3, help="COVID-19 images.")] = 60,
    viral: Annotated[int, typer.Option(min=3, help="Other viral pneumonia images.")] = 60,
    normal: Annotated[int, typer.Option(min=3, help="Normal images.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Write phantom chest X-rays in the four sources' layouts, with the defects that real mirrors have."""
    import dataclasses

    from cxr_core.imaging.phantom import write_sources

    with _verb(as_json):
        census = write_sources(folder, seed=seed, images=dict(zip(CLASSES, (covid, viral, normal), strict=True)))
        _say(dataclasses.asdict(census), as_json)


@app.command()
def samplesize(
    confidence: Annotated[float, typer.Option(help="Confidence level, in (0, 1).")] = 0.99,
    margin: Annotated[float, typer.Option(help="Half-width of the interval, in (0, 1).")] = 0.01,
    p: Annotated[float, typer.Option(help="Expected proportion, in (0, 1).")] = 0.989,
    as_json: JsonOption = False,
) -> None:
    """Images needed to estimate a proportion: n = z^2 p (1 - p) / e^2 (the paper's 722)."""
    from cxr_core.stats.samplesize import samplesize as rule

    with _verb(as_json):
        n = rule(confidence=confidence, margin=margin, p=p)
        _say({"n": n, "confidence": confidence, "margin": margin, "p": p}, as_json)


def main() -> None:
    """Run the command line."""
    app()


def _params(workspace: Path) -> Any:
    from cxr_core.params import read_params

    path = workspace / "params.yaml"
    if not path.is_file():
        raise SettingError(
            f"Expected params.yaml in {workspace.absolute()}; it is not there.",
            reason="no_params",
            hint="Run in a checkout, or name one with --workspace.",
        )
    return read_params(path.read_text(encoding="utf-8"))


def _patient_key() -> bytes:
    key = os.environ.get("CXR_PATIENT_KEY", "")
    if not key:
        raise SettingError(
            "CXR_PATIENT_KEY is not set: patients are written as digests under a key.",
            reason="no_patient_key",
            hint="`cxr retrain` makes and keeps one; by hand: export CXR_PATIENT_KEY=$(openssl rand -hex 32).",
        )
    return key.encode()


def _memo() -> Any:
    """What earlier runs found out, under ``CXR_CACHE``; without it every picture is decoded."""
    from cxr_core.memo import LIMIT_BYTES, Memo

    folder, limit = os.environ.get("CXR_CACHE", ""), os.environ.get("CXR_CACHE_GIB", "")
    if limit and not limit.isdecimal():
        raise SettingError(
            f"CXR_CACHE_GIB: expected a whole number of GiB, found {limit!r}.",
            reason="bad_cache_limit",
            hint="e.g. export CXR_CACHE_GIB=16",
        )
    return Memo(Path(folder) if folder else None, limit_bytes=int(limit) << 30 if limit else LIMIT_BYTES)


def _effort(memo: Any, images: int) -> dict[str, int]:
    """How many pictures were decoded and how many the memo knew; for people, in no file, since results hold neither."""
    return {"decoded": images - memo.reused, "reused": memo.reused}


def _progress(stage: str) -> Progress | None:
    """Lines for a caller that asked for them, a counter for a person at a terminal, else nothing."""
    lines = os.environ.get("CXR_PROGRESS") == "lines"
    if not lines and not sys.stderr.isatty():
        return None
    last = 0.0

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < _SECONDS_BETWEEN_LINES:
            return
        last = now
        if lines:
            print(PROGRESS_MARK, stage, done, total, flush=True)
        else:
            print(f"\r{stage}: {done} of {total}", end="\n" if done >= total else "", file=sys.stderr, flush=True)

    return show


def _say(summary: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, sort_keys=True, ensure_ascii=False))
    else:
        plain = {key: value for key, value in summary.items() if not isinstance(value, dict | list | tuple)}
        print(", ".join(f"{key} {value}" for key, value in plain.items()))


@contextmanager
def _verb(as_json: bool) -> Generator[None]:
    """Turn our errors into one message, the next step and exit code 1."""
    try:
        yield
    except CxrError as error:
        if as_json:
            print(json.dumps({"error": error.as_dict()}, sort_keys=True, ensure_ascii=False))
        else:
            print(f"error: {error.message}", file=sys.stderr)
            if error.hint:
                print(f"  next: {error.hint}", file=sys.stderr)
        raise typer.Exit(1) from None
