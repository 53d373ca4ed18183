"""Hostile and broken files, mixed with good ones, through the product's own unpacking and ingest.

    python benchmarks/hostile.py [--json] [--small] [--seed 1] [--hostile 330] [--good 300]

A corpus is made from the seed: pictures, DICOM files, archives, tables and folders of over a hundred kinds, each with
the reason it must get, and good pictures of 31 kinds, films of 64 million pixels among them (not with ``--small``),
which come packed in archives of five. One process makes it; a second unpacks and ingests it, twice; a third looks at
what was kept. Of the second and of its workers the memory is watched (resident bytes, shared pages counted in each).
Exit code 1 unless every hostile file was refused by the right reason, every good one kept, nothing written beside the
folders meant for it, the second run gave the same bytes, and memory kept to 1 GB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.digests import digest_file
from cxr_core.errors import SourceError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.hashing import pixel_digest
from cxr_core.ingest.archive import Limits, unpack
from cxr_core.ingest.record import read_exclusions, read_quarantine, read_records
from tests.cxr_core.ingest.build import ingest, pinned_workspace
from tests.hostile.corpus import KINDS, Corpus, Expected, make_corpus, read_corpus

MEGABYTE = 1_000_000
# So small that the corpus can go beyond it; the product's own are larger.
LIMITS = Limits(members=5_000, bytes=2_000_000_000)
# Deep below the root, so that names that climb out would still land under it, where they are found.
STAGE, WORKSPACE, RESULT = Path("deep/down/in/stage"), Path("deep/down/in/workspace"), Path("result.json")
SAMPLE_SECONDS = 0.01

Found = tuple[str, str, str, str]
"""Kind, path, the reason expected, the reason found."""


def main(argv: list[str] | None = None) -> int:
    """Make, walk, compare, print."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-hostile-") as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        began = time.monotonic()
        _run(make, root, options.seed, options.hostile, options.good, not options.small)
        made = time.monotonic()
        memory = _run(walk, root)
        walked = time.monotonic()
        _run(look, root)
        result = json.loads((root / RESULT).read_text(encoding="utf-8"))
        corpus = read_corpus(root)
    report = _report(corpus, result, memory, options)
    report["seconds"] = {"make": round(made - began, 1), "walk": round(walked - made, 1)}
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def make(root: Path, seed: int, hostile: int, good: int, films: bool) -> None:
    """Write the corpus."""
    make_corpus(root, seed=seed, hostile=hostile, good=good, films=films)


def walk(root: Path) -> None:
    """Unpack and ingest the corpus, and write down what came of it."""
    corpus = read_corpus(root)
    source = root / "sources" / "sirm"
    for number, delivery in enumerate(corpus.deliveries):
        folder = root / STAGE / f"good-{number}"
        for path in unpack(root / delivery, folder):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).rename(source / path)
    shutil.rmtree(root / STAGE)
    before = _bystanders(root)
    found = [_unpacked(root, expected) for expected in corpus.archives]
    left = sum(1 for path in (root / STAGE).rglob("*"))
    found += [_refused_source(root, expected) for expected in corpus.folders]
    summary, digests = _ingested(root)
    again, digests_again = _ingested(root)
    raw = root / WORKSPACE / "data" / "raw" / "sirm"
    reasons = {row.path: row.reason for row in read_quarantine(raw / "quarantine.jsonl")}
    found += [(each.kind, each.path, each.reason, reasons.get(each.path, "kept")) for each in corpus.images]
    excluded = {row.name: row.reason for row in read_exclusions(raw / "exclusions.jsonl")}
    result: dict[str, Any] = {
        "found": found,
        "rows": [(each.kind, each.path, each.reason, excluded.get(each.path, "kept")) for each in corpus.rows],
        "left_in_stage": left,
        "outside": sorted(before ^ _bystanders(root)) + [str(path) for path in Path("/tmp").glob("cxr-hostile-*.png")],
        "adds_up": summary["files"]
        == summary["records"] + summary["excluded"] + summary["quarantined"]
        == len(corpus.images) + len(corpus.good),
        "rerun_is_a_no_op": summary == again and digests == digests_again,
    }
    (root / RESULT).write_text(json.dumps(result), encoding="utf-8")


def look(root: Path) -> None:
    """Add how many good pictures have a record, and a file that decodes to the record's picture."""
    raw = root / WORKSPACE / "data" / "raw" / "sirm"
    records = {record.path: record for record in read_records(raw / "records.jsonl")}
    kept = sum(
        path in records
        and pixel_digest(decode((raw / "files" / path).read_bytes()).pixels) == records[path].pixel_sha256
        for path in read_corpus(root).good
    )
    result = json.loads((root / RESULT).read_text(encoding="utf-8"))
    (root / RESULT).write_text(json.dumps({**result, "kept": kept}), encoding="utf-8")


def _unpacked(root: Path, expected: Expected) -> Found:
    try:
        unpack(root / expected.path, root / STAGE / Path(expected.path).name, limits=LIMITS)
    except SourceError as error:
        return expected.kind, expected.path, expected.reason, error.reason
    return expected.kind, expected.path, expected.reason, "kept"


def _refused_source(root: Path, expected: Expected) -> Found:
    sources = (root / expected.path).parent
    workspace = root / WORKSPACE / "of" / sources.name
    try:
        pinned_workspace(workspace, sources)
        ingest("sirm", workspace=workspace, sources=sources)
    except SourceError as error:
        return expected.kind, expected.path, expected.reason, error.reason
    return expected.kind, expected.path, expected.reason, "kept"


def _ingested(root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The summary, and every file that ingest left, the quarantine's too."""
    workspace = pinned_workspace(root / WORKSPACE, root / "sources")
    summary = ingest("sirm", workspace=workspace, sources=root / "sources")
    return summary, {
        path.relative_to(workspace).as_posix(): digest_file(path) for path in workspace.rglob("*") if path.is_file()
    }


def _bystanders(root: Path) -> set[str]:
    """Everything under the root that is not there to be written to, as it is."""
    meant = (root / STAGE, root / WORKSPACE)
    found: set[str] = set()
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name not in meant]
        for name in (*folders, *files):
            state = (here / name).lstat()
            size = "" if (here / name).is_dir() else f" {state.st_size} {state.st_mtime_ns}"
            found.add(f"{here / name} {state.st_mode:o}{size}".encode("utf-8", "backslashreplace").decode())
    return found


def _run(function: Callable[..., None], *given: Any) -> dict[str, float]:
    """Run a function in a process of its own; the peaks of its memory and its workers', in MB."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=given)
    process.start()
    watched = psutil.Process(process.pid)
    peaks = {"parent": 0.0, "largest_worker": 0.0, "together": 0.0}
    while process.is_alive():
        try:
            parent, workers = watched.memory_info().rss, [each.memory_info().rss for each in watched.children()]
        except psutil.Error:  # it, or a worker, ended meanwhile
            continue
        seen = {"parent": parent, "largest_worker": max(workers, default=0), "together": parent + sum(workers)}
        peaks = {key: max(peaks[key], value / MEGABYTE) for key, value in seen.items()}
        process.join(SAMPLE_SECONDS)
    if process.exitcode != 0:
        raise SystemExit(f"{function.__name__} ended with {process.exitcode}")
    return {key: round(value, 1) for key, value in peaks.items()}


def _report(
    corpus: Corpus, result: dict[str, Any], memory: dict[str, float], options: argparse.Namespace
) -> dict[str, Any]:
    wrong = [row for row in (*result["found"], *result["rows"]) if row[2] != row[3]]
    refused = sum(row[2] == row[3] for row in result["found"])
    rows = sum(row[2] == row[3] for row in result["rows"])
    ok = (
        not wrong
        and result["kept"] == len(corpus.good)
        and not result["outside"]
        and result["left_in_stage"] == 0
        and result["adds_up"]
        and result["rerun_is_a_no_op"]
        and memory["together"] <= options.memory
    )
    return {
        "schema": 1,
        "benchmark": "hostile",
        "kinds": KINDS,
        "reasons": len({row[2] for row in result["found"]}),
        "hostile": corpus.hostile,
        "refused_rightly": refused,
        "rows": len(corpus.rows),
        "rows_refused_rightly": rows,
        "good": len(corpus.good),
        "kept": result["kept"],
        "files_outside_staging": len(result["outside"]),
        "left_in_staging": result["left_in_stage"],
        "counts_add_up": result["adds_up"],
        "rerun_is_a_no_op": result["rerun_is_a_no_op"],
        "memory_mb": memory,
        "wrong": wrong[:20],
        "outside": result["outside"][:20],
        "ratios": {
            "refused_rightly": round(refused / corpus.hostile, 4),
            "kept": round(result["kept"] / len(corpus.good), 4),
            "memory_to_limit": round(memory["together"] / options.memory, 3),
        },
        "ok": ok,
    }


def _words(report: dict[str, Any]) -> str:
    memory = report["memory_mb"]
    lines = [
        f"{report['kinds']} kinds with {report['reasons']} reasons, {report['hostile']} hostile files and sources",
        f"refused by the right reason   {report['refused_rightly']}/{report['hostile']}",
        f"rows of a table likewise      {report['rows_refused_rightly']}/{report['rows']}",
        f"good files kept               {report['kept']}/{report['good']}",
        f"files outside staging         {report['files_outside_staging']}, left in it {report['left_in_staging']}",
        f"counts add up                 {'yes' if report['counts_add_up'] else 'NO'}",
        f"a second run is a no-op       {'yes' if report['rerun_is_a_no_op'] else 'NO'}",
        f"peak memory, MB               parent {memory['parent']}, largest worker {memory['largest_worker']}, "
        f"all together {memory['together']}",
        f"seconds                       {report['seconds']['make']} to make, {report['seconds']['walk']} to take in",
    ]
    lines += [
        f"WRONG: {kind} {path}: expected {wanted}, found {found}" for kind, path, wanted, found in report["wrong"]
    ]
    lines += [f"OUTSIDE: {path}" for path in report["outside"]]
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--small", action="store_true", help="one file of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hostile", type=int, default=330, help="hostile files and sources, at least one a kind")
    parser.add_argument("--good", type=int, default=300, help="good files")
    parser.add_argument("--memory", type=float, default=1000.0, help="MB that parent and workers may take together")
    options = parser.parse_args(argv)
    if options.small:
        options.hostile, options.good = KINDS, 31
    return options


if __name__ == "__main__":
    sys.exit(main())
