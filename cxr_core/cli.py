"""``python -m cxr_core <word>``: the stages by hand or by DVC, on files, with no orchestrator and no tracker.

Each verb reads its inputs from the workspace (``--workspace``, the working directory by default), writes its outputs
there and prints one line, or with ``--json`` one object. Exit code 0 only when the outputs are written.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_core.classes import CLASSES, SOURCES, Source
from cxr_core.errors import CxrError, SettingError

__all__ = ["PROGRESS_MARK", "main"]

PROGRESS_MARK = "cxr-progress"
"""Begins the lines that ``CXR_PROGRESS=lines`` asks for: mark, stage, done, total."""

_SECONDS_BETWEEN_LINES = 0.3
# New objects between two searches for cycles, of which modules and records hold hardly any: at Python's 700 the search
# was a fourteenth of a verb's start.
_NEW_OBJECTS = 50_000

Progress = Callable[[int, int], None]
Verb = Callable[..., dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with 0, 1 (refused) or 2 (words that no verb knows)."""
    gc.set_threshold(_NEW_OBJECTS)
    options = vars(_parser().parse_args(argv))
    verb, as_json = options.pop("verb"), options.pop("json")
    try:
        summary = verb(**options)
    except CxrError as error:
        _tell(error, as_json)
        sys.exit(1)
    _say(summary, as_json)


def _parser() -> argparse.ArgumentParser:
    # Not typer, as `cxr` has: each stage is a program of its own, and typer's start was a third of a small one's time.
    parser = argparse.ArgumentParser(
        prog="python -m cxr_core", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    def add(verb: Verb, *, in_workspace: bool) -> argparse.ArgumentParser:
        words = " ".join((verb.__doc__ or "").split())
        made = verbs.add_parser(verb.__name__.strip("_"), help=words, description=words)
        made.set_defaults(verb=verb)
        if in_workspace:
            made.add_argument(
                "--workspace", "-w", type=Path, default=Path(), help="the workspace that holds params.yaml"
            )
        made.add_argument("--json", action="store_true", help="print one JSON object")
        return made

    add(_ingest, in_workspace=True).add_argument("source", help=f"one of {', '.join(SOURCES)}")
    for stage in (_curate, _prepare, _split):
        add(stage, in_workspace=True)
    phantom = add(_phantom, in_workspace=False)
    phantom.add_argument("folder", type=Path, help="where the four source folders are written")
    phantom.add_argument("--seed", type=int, default=2021, help="equal seeds write equal bytes")
    for slug in CLASSES:
        phantom.add_argument(f"--{slug}", type=_images, default=60, help=f"images of the class {slug}, 3 or more")
    rule = add(_samplesize, in_workspace=False)
    rule.add_argument("--confidence", type=float, default=0.99, help="confidence level, in (0, 1)")
    rule.add_argument("--margin", type=float, default=0.01, help="half-width of the interval, in (0, 1)")
    rule.add_argument("--p", type=float, default=0.989, help="expected proportion, in (0, 1)")
    return parser


def _images(text: str) -> int:
    if not text.isdecimal() or int(text) < 3:
        raise argparse.ArgumentTypeError(f"expected a whole number, 3 or more; found {text!r}")
    return int(text)


def _ingest(source: str, workspace: Path) -> dict[str, Any]:
    """Read one source in its published layout into data/raw/SOURCE: originals, records, exclusions, quarantine."""
    from cxr_core.ingest.address import source_folder
    from cxr_core.ingest.stage import run

    if source not in SOURCES:
        raise SettingError(
            f"Expected a source, one of {', '.join(SOURCES)}; found {source!r}.", reason="unknown_source"
        )
    name: Source = source
    with _memo() as memo:
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
        return summary | _effort(memo, summary["records"] + summary["quarantined"])


def _curate(workspace: Path) -> dict[str, Any]:
    """Make the cohort: views, labels, duplicates, patients, quotas; every exclusion with its reason."""
    from cxr_core.curate.stage import run

    return run(workspace=workspace, params=_params(workspace))


def _prepare(workspace: Path) -> dict[str, Any]:
    """Pack the cohort's images into one uint8 array."""
    from cxr_core.prepare.stage import run

    with _memo() as memo:
        summary = run(workspace=workspace, params=_params(workspace), memo=memo, progress=_progress("prepare"))
        return summary | _effort(memo, summary["images"])


def _split(workspace: Path) -> dict[str, Any]:
    """Deal the cohort into folds."""
    from cxr_core.split.stage import run

    return run(workspace=workspace, params=_params(workspace))


def _phantom(folder: Path, seed: int, **images: int) -> dict[str, Any]:
    """Write phantom chest X-rays in the four sources' layouts, with the defects that real mirrors have."""
    import dataclasses

    from cxr_core.imaging.phantom import write_sources

    return dataclasses.asdict(write_sources(folder, seed=seed, images={slug: images[slug] for slug in CLASSES}))


def _samplesize(confidence: float, margin: float, p: float) -> dict[str, Any]:
    """Images needed to estimate a proportion: n = z^2 p (1 - p) / e^2 (the paper's 722)."""
    from cxr_core.stats.samplesize import samplesize as rule

    return {"n": rule(confidence=confidence, margin=margin, p=p), "confidence": confidence, "margin": margin, "p": p}


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


def _tell(error: CxrError, as_json: bool) -> None:
    """One of our errors as one message and the next step."""
    if as_json:
        print(json.dumps({"error": error.as_dict()}, sort_keys=True, ensure_ascii=False))
        return
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  next: {error.hint}", file=sys.stderr)
