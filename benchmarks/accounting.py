"""The mirrors, whole: is every X-ray on the disk kept, left out with a reason, or in quarantine, and in one place only?

    python benchmarks/accounting.py [FOLDER] [--json]

FOLDER holds the sources as they are published; it is ``CXR_SOURCES`` where it is not given. The four are pinned,
ingested and curated as the verbs do it, with every quota open. Then the files on the disk are counted by their names
alone, and the tables are read by json and csv alone: none of the project's code has a say in the count. Exit code 1
unless all four were read, and every image file stands in exactly one table.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, pin_of, with_pin, without_pins
from cxr_core.params import override_params

ROOT = Path(__file__).resolve().parents[1]
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".dcm"})


def main(argv: list[str] | None = None) -> int:
    """Read everything, count, and print."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="accounting-") as scratch:
        workspace = Path(scratch)
        _walk(workspace, options.folder.absolute())
        rows = {source: _balance(workspace, options.folder / source, source) for source in SOURCES}
        classes = json.loads((workspace / "data/cohort/report.json").read_text(encoding="utf-8"))["counts"]
    report: dict[str, Any] = {"schema": 1, "benchmark": "accounting", "sources": rows, "counts": classes}
    report["ok"] = all(row["images"] > 0 and not row["in_no_table"] and not row["in_several"] for row in rows.values())
    accounted = sum(row["kept"] + row["left_out"] + row["quarantine"] for row in rows.values())
    report["ratios"] = {"accounted": accounted / max(1, sum(row["images"] for row in rows.values()))}
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _walk(workspace: Path, folder: Path) -> None:
    pins = without_pins((ROOT / PINS_PATH).read_text(encoding="utf-8"))
    for source in SOURCES:
        pins = with_pin(pins, source, pin_of(list_source(folder / source), licence="as published"))
    (workspace / PINS_PATH).parent.mkdir(parents=True)
    (workspace / PINS_PATH).write_text(pins, encoding="utf-8")
    quotas = [f"curate.quota.{slug}=null" for slug in CLASSES]
    params = override_params((ROOT / "params.yaml").read_text(encoding="utf-8"), quotas)
    (workspace / "params.yaml").write_text(params, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    environment = kept | {"CXR_SOURCES": str(folder), "CXR_PATIENT_KEY": "a key of the benchmark"}
    for verb in (*(["ingest", source] for source in SOURCES), ["curate"]):
        command = [sys.executable, "-m", "cxr_core", *verb, "--json", "--workspace", str(workspace)]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(verb)}: {done.stdout}")


def _balance(workspace: Path, folder: Path, source: str) -> dict[str, Any]:
    """Where the image files of one source are."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    images = {f"{source}:{path.relative_to(folder).as_posix()}" for path in files if path.suffix.lower() in IMAGES}
    quarantine = _lines(workspace / "data/raw" / source / "quarantine.jsonl")
    held = {row["name"] for row in quarantine}
    kept = [row["name"] for row in _cells(workspace / "data/cohort/cohort.csv") if row["source"] == source]
    left_out = [row for row in _cells(workspace / "data/cohort/exclusions.csv") if row["source"] == source]
    places = Counter(kept) + Counter(row["name"] for row in left_out)
    return {
        "files": len(files),
        "images": len(images),
        "kept": len(images.intersection(kept)),
        "left_out": sum(row["name"] in images and row["name"] not in held and bool(row["reason"]) for row in left_out),
        "quarantine": len(images & held),
        "in_no_table": sorted(images - set(places)),
        "in_several": sorted(name for name in images if places[name] > 1),
        "rows_without_file": sum(row["name"] not in images for row in left_out),
        "reasons": dict(Counter(row["reason"] for row in left_out if row["name"] in images).most_common()),
    }


def _cells(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _words(report: dict[str, Any]) -> str:
    heads = ("files", "images", "kept", "left_out", "quarantine")
    lines = [f"{'source':8}" + "".join(f"{name.replace('_', ' '):>12}" for name in heads)]
    for source, row in report["sources"].items():
        lines.append(f"{source:8}" + "".join(f"{row[name]:>12}" for name in heads))
        lines += [f"  in no table: {name}" for name in row["in_no_table"]]
        lines += [f"  in several places: {name}" for name in row["in_several"]]
    reasons: Counter[str] = Counter()
    for row in report["sources"].values():
        reasons.update(row["reasons"])
    lines.append("left out: " + " · ".join(f"{reason} {n}" for reason, n in reasons.most_common()))
    lines.append("every X-ray is accounted for" if report["ok"] else "NOT every X-ray is accounted for")
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    named = os.environ.get("CXR_SOURCES")
    folder = Path(named) if named else None
    parser.add_argument("folder", type=Path, nargs="?" if folder else None, default=folder, help="holds the sources")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
