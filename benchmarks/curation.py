"""Curation's time as records grow: the whole decision, from ingest's tables to the cohort, its exclusions and report.

    python benchmarks/curation.py [--json] [--sizes 10000 30000 100000] [--rounds 3] [--hashes clumpy|uniform]
                                  [--most-seconds 60] [--most-growth 15]

The records are invented: smooth random pictures over four sources, their true perceptual hashes, patients with several
pictures, and planted copies (equal bytes, equal pixels, or the picture with noise). ``clumpy`` hashes share bits as
those of chest X-rays do, because the pictures share a mean; ``uniform`` ones are drawn bit by bit. Each round is a
process of its own, sizes take turns, times are medians; the inputs are written beforehand and are not part of the time.
Growth is that of CPU seconds, which say the same as seconds on an idle machine and less of who else is at work. Every
planted copy must be found, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import SOURCES
from cxr_core.curate import stage
from cxr_core.curate.cohort import REPORT_PATH
from cxr_core.digests import digest_bytes
from cxr_core.files import read_json, write_json
from cxr_core.ingest.record import Record, image_name, write_rows
from cxr_core.params import override_params, read_params

Array = np.ndarray[Any, Any]

_PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"

# Of the records: how many come from each source, and how many are copies of another one.
_SHARES = {"sirm": 0.02, "github": 0.18, "rsna": 0.3, "kaggle": 0.5}
_COPIES = {"bytes": 0.005, "pixels": 0.003, "near": 0.01}
_FINDINGS = {
    "sirm": ("COVID-19",),
    "github": ("COVID-19", "Pneumonia/Viral/SARS", "No Finding", "todo", "Pneumonia/Bacterial/Streptococcus"),
    "rsna": ("Normal", "Lung Opacity", "No Lung Opacity / Not Normal"),
    "kaggle": ("NORMAL", "virus", "bacteria"),
}
_QUOTAS = [f"curate.quota.{slug}=null" for slug in ("covid", "viral", "normal")]
_FREQUENCIES = 16
# Chosen so that hashes crowd as they do on 6 854 chest X-rays, where 4.6 pairs of 10 000 differ in 8 bits or fewer.
_MEAN, _FACTORS, _COMMON = 0.75, 8, 0.75
_CHUNK = 4096


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with the limits."""
    options = _options(argv)
    if options.child:
        print(json.dumps(curate_once(options.child)))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folders = {size: Path(name) / str(size) for size in options.sizes}
        made = {
            size: write_inputs(folders[size], size, seed=0, uniform=options.hashes == "uniform") for size in folders
        }
        rounds: dict[int, list[dict[str, Any]]] = {size: [] for size in folders}
        for turn in range(options.rounds):
            for size, folder in folders.items():
                rounds[size].append(_in_a_process(folder))
                if not options.json:
                    print(f"round {turn + 1}  {size:>7} records {rounds[size][-1]['seconds']:8.2f} s", flush=True)
        lost = {size: lost_copies(folders[size]) for size in folders}
    report = _report(options, made, rounds, lost)
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def write_inputs(workspace: Path, n: int, *, seed: int, uniform: bool) -> dict[str, Any]:
    """What ingest would leave of ``n`` records; returns how many of each kind of copy were planted."""
    rng = np.random.default_rng(seed)
    source = rng.choice(SOURCES, n, p=list(_SHARES.values()))
    kind = rng.choice(["", *_COPIES], n, p=[1 - sum(_COPIES.values()), *_COPIES.values()])
    kind[0] = ""
    originals = np.flatnonzero(kind == "")
    original = np.where(kind == "", np.arange(n), originals[rng.integers(0, len(originals), n)])
    pictures = _pictures(rng, n)
    for row in np.flatnonzero(kind != ""):
        noise = rng.normal(0, 3, (64, 64)) if kind[row] == "near" else 0
        pictures[row] = np.clip(np.rint(pictures[original[row]] + noise), 0, 255).astype(np.uint8)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64) if uniform else phashes(pictures)
    if uniform:
        hashes = np.where(kind == "", hashes, hashes[original])
    patients = rng.integers(0, max(1, n // 2), n)
    names = [f"{place}/{row:07}.png" for row, place in enumerate(source)]
    digests = [digest_bytes(name.encode()) for name in names]
    records = [
        Record(
            name=image_name(source[row], names[row]),
            source=source[row],
            path=names[row],
            sha256=digests[original[row]] if kind[row] == "bytes" else digests[row],
            source_sha256=digests[original[row]] if kind[row] == "bytes" else digests[row],
            bytes=100_000,
            finding=str(rng.choice(_FINDINGS[source[row]])),
            modality="X-ray",
            view=str(rng.choice(("PA", "AP", "L"), p=(0.6, 0.35, 0.05))),
            patient=digest_bytes(f"{source[row]} {patients[row]}".encode())[7:23],
            sex="F",
            age_years=50.0,
            origin_url=f"https://example.org/{row}",
            licence="CC BY 4.0",
            label_provenance="case_report",
            width=640,
            height=480,
            mode="L",
            pixel_sha256=digests[original[row]] if kind[row] in ("bytes", "pixels") else digests[row],
            phash=f"{hashes[row]:016x}",
            synthetic=True,
        )
        for row in range(n)
    ]
    for place in SOURCES:
        rows = sorted(np.flatnonzero(source == place).tolist(), key=lambda row: records[row].name)
        folder = workspace / "data/raw" / place
        write_rows(folder / "records.jsonl", [records[row] for row in rows])
        write_rows(folder / "exclusions.jsonl", [])
        write_rows(folder / "quarantine.jsonl", [])
        np.save(folder / "thumbnails.npy", pictures[rows])
    # Noise can carry a copy beyond the bounds: then it is no near-duplicate, and nobody has to find it.
    bounds = _params().curate
    far = np.bitwise_count(hashes ^ hashes[original]) > bounds.max_hamming
    weak = [kind[row] == "near" and _correlation(pictures, row, original) < bounds.min_correlation for row in range(n)]
    found = (kind != "") & ~((kind == "near") & (far | np.array(weak)))
    copies = [(records[row].name, records[original[row]].name) for row in np.flatnonzero(found)]
    write_json(workspace / "planted.json", copies)
    one, other = rng.integers(0, n, 1 << 20), rng.integers(0, n, 1 << 20)
    near = np.bitwise_count(hashes[one] ^ hashes[other])[one != other] <= bounds.max_hamming
    return {"copies": len(copies), "near_hash_share": float(near.mean())}


def curate_once(workspace: Path) -> dict[str, Any]:
    """Run the stage and say how long it took and the most memory this process has held."""
    params = _params()
    with _peak_memory() as peak:
        began, cpu = time.perf_counter(), time.process_time()
        summary = stage.run(workspace=workspace, params=params)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak[0], "images": summary["images"]}


def lost_copies(workspace: Path) -> int:
    """Planted copies that do not stand in one cluster with their original."""
    clusters = read_json(workspace / REPORT_PATH)["clusters"]
    cluster_of = {name: number for number, cluster in enumerate(clusters) for name in cluster}
    planted = read_json(workspace / "planted.json")
    return sum(cluster_of.get(copy, -1) != cluster_of.get(original, -2) for copy, original in planted)


def phashes(pictures: Array) -> Array:
    """(n, 64, 64) uint8 to (n,) uint64: the 8 x 8 lowest cosine frequencies against their median."""
    waves = _cosines(8)  # (8, 64)
    basis = np.einsum("ui,vj->uvij", waves, waves).reshape(64, -1).astype(np.float32)
    out = np.empty(len(pictures), dtype=np.uint64)
    weights = np.uint64(1) << np.arange(63, -1, -1, dtype=np.uint64)
    for top in range(0, len(pictures), _CHUNK):
        part = pictures[top : top + _CHUNK].reshape(-1, 4096).astype(np.float32) @ basis.T
        bits = part > np.median(part, axis=1, keepdims=True)
        out[top : top + _CHUNK] = (bits * weights).sum(axis=1, dtype=np.uint64)
    return out


def _pictures(rng: np.random.Generator, n: int) -> Array:
    """Smooth pictures of one kind: a mean, a few ways to vary in common, and each its own; uint8 (n, 64, 64)."""
    waves, shape = _cosines(_FREQUENCIES), (_FREQUENCIES, _FREQUENCIES)
    strength = (1 + np.hypot(*np.indices(shape))) ** -1.5
    strength[0, 0] = 0
    # The same for every number of records, or sizes would differ in how much their pictures resemble each other.
    fixed = np.random.default_rng(0)
    mean = _MEAN * fixed.normal(size=shape)
    factors = fixed.normal(size=(_FACTORS, *shape)) * (_COMMON / _FACTORS) ** 0.5
    out = np.empty((n, 64, 64), dtype=np.uint8)
    for top in range(0, n, _CHUNK):
        size = min(_CHUNK, n - top)
        common = np.tensordot(rng.normal(size=(size, _FACTORS)), factors, 1)
        own = (1 - _COMMON) ** 0.5 * rng.normal(size=(size, *shape))
        weights = (strength * (mean + common + own)).astype(np.float32)
        field = np.matmul(np.matmul(waves.T, weights), waves)  # (size, 64, 64)
        out[top : top + size] = np.clip(128 + 40 * field, 0, 255)
    return out


def _correlation(pictures: Array, row: int, original: Array) -> float:
    return float(np.corrcoef(pictures[row].ravel(), pictures[original[row]].ravel())[0, 1])


def _cosines(count: int) -> Array:
    """The first cosines of DCT-II on 64 points, (count, 64)."""
    return np.cos(np.pi * (np.arange(64) + 0.5) * np.arange(count)[:, None] / 64).astype(np.float32)


@contextmanager
def _peak_memory() -> Generator[list[int]]:
    """The most bytes this process held in the block, looked at every 20 ms and when it ends, however soon;
    pages of mapped files, which the system takes back at will, are not counted."""
    peak, done = [0], threading.Event()

    def look() -> None:
        _, resident, shared, *_ = Path("/proc/self/statm").read_text(encoding="ascii").split()
        peak[0] = max(peak[0], (int(resident) - int(shared)) * resource.getpagesize())

    def watch() -> None:
        while not done.wait(0.02):
            look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        done.set()
        watching.join()
        look()


def _params() -> Any:
    return read_params(override_params(_PARAMS.read_text(encoding="utf-8"), _QUOTAS))


def _in_a_process(folder: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _report(
    options: argparse.Namespace,
    made: dict[int, dict[str, Any]],
    rounds: dict[int, list[dict[str, Any]]],
    lost: dict[int, int],
) -> dict[str, Any]:
    median = {size: statistics.median(one["seconds"] for one in of) for size, of in rounds.items()}
    cpu = {size: statistics.median(one["cpu_seconds"] for one in of) for size, of in rounds.items()}
    sizes = sorted(rounds)
    growth = {f"{small}_to_{large}": round(cpu[large] / cpu[small], 2) for small, large in pairwise(sizes)}
    whole = round(cpu[sizes[-1]] / cpu[sizes[0]], 2)
    # Linear is 1: seconds grow as records do.
    linear = round(whole / (sizes[-1] / sizes[0]), 2)
    ok = not any(lost.values()) and median[sizes[-1]] <= options.most_seconds and whole <= options.most_growth
    return {
        "schema": 1,
        "benchmark": "curation",
        "settings": {"hashes": options.hashes, "rounds": options.rounds},
        "sizes": {
            str(size): {
                "seconds": {"median": round(median[size], 2), "rounds": [round(one["seconds"], 2) for one in of]},
                "cpu_seconds": {"median": round(cpu[size], 2), "rounds": [round(one["cpu_seconds"], 2) for one in of]},
                "peak_mib": round(max(one["peak_bytes"] for one in of) / 2**20),
                "images": of[0]["images"],
                "planted_copies": made[size]["copies"],
                "lost_copies": lost[size],
                "near_hash_share": made[size]["near_hash_share"],
            }
            for size, of in rounds.items()
        },
        "ratios": {**growth, "largest_to_smallest": whole, "against_linear": linear},
        "ok": ok,
    }


def _words(report: dict[str, Any]) -> str:
    lines = [f"\n{'records':>9} {'seconds':>8} {'CPU s':>7} {'peak MiB':>9} {'cohort':>8} {'copies found':>15}"]
    for size, row in report["sizes"].items():
        found = f"{row['planted_copies'] - row['lost_copies']} of {row['planted_copies']}"
        times = f"{row['seconds']['median']:>8.2f} {row['cpu_seconds']['median']:>7.2f}"
        lines.append(f"{size:>9} {times} {row['peak_mib']:>9} {row['images']:>8} {found:>15}")
    ratios = report["ratios"]
    lines.append(
        f"\nlargest to smallest: {ratios['largest_to_smallest']} x the CPU time, {ratios['against_linear']} x of "
        f"linear; "
        f"{report['settings']['hashes']} hashes; {'within' if report['ok'] else 'NOT within'} the limits"
    )
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000], help="records")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--hashes", choices=["clumpy", "uniform"], default="clumpy", help="how hashes are drawn")
    parser.add_argument("--folder", type=Path, help="where the inputs lie meanwhile, 5 kB a record")
    parser.add_argument("--most-seconds", type=float, default=60.0, help="exit 1 where the largest takes longer")
    parser.add_argument("--most-growth", type=float, default=15.0, help="exit 1 where largest to smallest is more")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
