"""Decode and pack: the stage ``prepare`` beside a plain single-process Pillow loop on the same files, in one run.

    python benchmarks/decode_pack.py [--json] [--images 2000] [--rounds 5] [--at-least 1.8]
                                     [--sizes 1000 20000] [--most-growth 1.1] [--small]

The files are phantoms in equal parts: 1024 x 1024 JPEG in DICOM, 1024 x 1024 PNG, 224 x 224 JPEG; each has bytes of
its own, though pictures repeat. The plain loop (``support/plain_pack.py``) does the least that gives the same array:
open, to grey, resize, stack, save. It checks no digest, flushes nothing to the disk and keeps no index; ours, the verb
``python -m cxr_core prepare``, does. Each side is a process of its own, timed from start to end by the clock on the
wall; the sides take turns, a ratio is the median of the rounds' ratios, and the two arrays must be equal in every
pixel. Ours takes a worker a processor, and no memo.

Memory is the greatest sum of the resident sizes of the stage's process and its workers, shared pages counted each time,
looked at every 10 ms, for a small and a large cohort (one picture in ten of 1024 x 1024, the others of 224 x 224).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from support.plain_pack import SIZE

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import Source
from cxr_core.curate.cohort import COHORT_PATH, CohortRow, write_cohort
from cxr_core.digests import digest_bytes
from cxr_core.imaging import phantom_files
from cxr_core.imaging.geometry import resize
from cxr_core.imaging.phantom_studio import Studio
from cxr_core.ingest.pool import processors
from cxr_core.params import override_params
from cxr_core.prepare.store import IMAGES_PATH

ROOT = Path(__file__).resolve().parents[1]
PLAIN = ROOT / "benchmarks/support/plain_pack.py"
_PICTURES = 12
_MARK = "PATIENT0"
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process tree took."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with the bounds."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="decode-pack-") as folder:
        report = {"schema": 1, "benchmark": "decode_pack", **_speed(Path(folder), options), **_memory(folder, options)}
    print(json.dumps(report, indent=2) if options.json else _words(report))
    bounds = report["ratios"]["ours_to_plain"] >= options.at_least, report["memory"]["growth"] <= options.most_growth
    return 0 if all(bounds) else 1


def _speed(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    workspace = _workspace(folder / "speed", options.images, large=2 / 3, side=options.side_pixels)
    costs: dict[str, list[Cost]] = {"plain": [], "ours": []}
    for turn in range(options.rounds + 1):  # the first warms the page cache
        for side in costs:
            cost = _run(side, workspace)
            if turn:
                costs[side].append(cost)
                _tell(options, f"round {turn}  {side:6} {cost.seconds:7.2f} s  {cost.cpu_seconds:7.2f} CPU s")
    if not np.array_equal(np.load(workspace / "plain.npy"), np.load(workspace / IMAGES_PATH)):
        raise SystemExit("The two sides made different arrays: they cannot be compared.")
    pairs = list(zip(costs["plain"], costs["ours"], strict=True))
    return {
        "settings": {"images": options.images, "rounds": options.rounds, "workers": processors()},
        "machine": {"processors": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)},
        "seconds": {side: [round(cost.seconds, 3) for cost in each] for side, each in costs.items()},
        "cpu_seconds": {side: [round(cost.cpu_seconds, 3) for cost in each] for side, each in costs.items()},
        "ratios": {
            "ours_to_plain": round(statistics.median(a.seconds / b.seconds for a, b in pairs), 3),
            # What two workers would give on cores of their own, beside nobody.
            "cpu_seconds_plain_to_ours": round(statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in pairs), 3),
        },
    }


def _memory(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    peaks: dict[str, float] = {}
    for images in options.sizes:
        workspace = _workspace(Path(folder) / f"memory-{images}", images, large=0.1, side=options.side_pixels)
        peaks[str(images)] = round(_run("ours", workspace).peak_mib, 1)
        _tell(options, f"{images} images: {peaks[str(images)]} MiB")
    first, *_, last = peaks.values()
    return {"memory": {"peak_mib": peaks, "growth": round(last / first, 3)}}


def _run(side: str, workspace: Path) -> Cost:
    ours = ["-m", "cxr_core", "prepare", "--json", "--workspace", str(workspace)]
    command = [sys.executable, *(ours if side == "ours" else [str(PLAIN), str(workspace)])]
    environment = {name: value for name, value in os.environ.items() if name != "CXR_CACHE"}
    began, before, peak = time.perf_counter(), os.times(), 0.0
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, _resident_mib(watched))
        time.sleep(_LOOK_SECONDS)
    seconds, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise SystemExit(f"{side} ended with {process.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(seconds, cpu, peak)


def _resident_mib(process: psutil.Process) -> float:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 2**20


def _workspace(root: Path, images: int, *, large: float, side: int) -> Path:
    """A cohort of phantom files, ``large`` of which are of ``side`` pixels, half DICOM and half PNG."""
    rows = []
    kinds = _kinds(side)
    for number in range(images):
        big = int((number + 1) * large) > int(number * large)
        source: Source = ("rsna" if number % 2 else "github") if big else "kaggle"
        template, suffix = kinds[source][number % _PICTURES]
        data = _marked(template, number, suffix)
        row = _row(source, f"{number:05}{suffix}", data)
        phantom_files.put(_file(root, row), data)
        rows.append(row)
    write_cohort(root / COHORT_PATH, rows)
    params = override_params((ROOT / "params.yaml").read_text(encoding="utf-8"), [f"prepare.size={SIZE}"])
    (root / "params.yaml").write_text(params, encoding="utf-8")
    return root


def _kinds(side: int) -> dict[Source, list[tuple[bytes, str]]]:
    studio = Studio(seed=1, size=side)
    shots = [studio.shot("rsna", "normal", patient=n, number=1).pixels for n in range(1, _PICTURES + 1)]

    def dicom(pixels: Any) -> bytes:
        return phantom_files.dicom(pixels, patient=_MARK, view="PA", sex="F", age_years=50, inverted=False)

    return {
        "rsna": [(dicom(pixels), ".dcm") for pixels in shots],
        "github": [(phantom_files.png(pixels), ".png") for pixels in shots],
        "kaggle": [(phantom_files.jpeg(resize(pixels, SIZE), quality=90, colour=True), ".jpeg") for pixels in shots],
    }


def _marked(data: bytes, number: int, suffix: str) -> bytes:
    """The same picture in a file with bytes of its own: a name, a comment, a text."""
    mark = f"{number:08}".encode()
    if suffix == ".dcm":
        return data.replace(_MARK.encode(), mark)
    if suffix == ".jpeg":
        return data[:2] + b"\xff\xfe\x00\x0a" + mark + data[2:]
    chunk = b"tEXtn\0" + mark
    return data[:33] + len(chunk[4:]).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4) + data[33:]


def _row(source: Source, path: str, data: bytes) -> CohortRow:
    blank: dict[str, Any] = {field.name: "" for field in fields(CohortRow)}
    known = {"name": f"{source}:{path}", "source": source, "sha256": digest_bytes(data), "label": "normal"}
    return CohortRow(**(blank | known | {"age_years": None, "synthetic": True}))


def _file(workspace: Path, row: CohortRow) -> Path:
    return workspace / "data/raw" / row.source / "files" / row.name.removeprefix(f"{row.source}:")


def _tell(options: argparse.Namespace, words: str) -> None:
    if not options.json:
        print(words, flush=True)


def _words(report: dict[str, Any]) -> str:
    seconds = {side: statistics.median(each) for side, each in report["seconds"].items()}
    ratios, memory = report["ratios"], report["memory"]
    peaks = ", ".join(f"{images} images {peak} MiB" for images, peak in memory["peak_mib"].items())
    return "\n".join(_sentences(report["settings"], seconds, ratios, f"{peaks}: x {memory['growth']}"))


def _sentences(
    settings: dict[str, Any], seconds: dict[str, float], ratios: dict[str, float], peaks: str
) -> Iterator[str]:
    yield f"\n{settings['images']} images: plain loop {seconds['plain']:.2f} s, prepare {seconds['ours']:.2f} s"
    yield f"prepare with {settings['workers']} workers is {ratios['ours_to_plain']:.2f} x as fast"
    yield f"an image takes the plain loop {ratios['cpu_seconds_plain_to_ours']:.2f} x the processor time it takes us"
    yield f"peak memory of all processes together: {peaks}"


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=2000, help="images of the comparison")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 20000], help="images whose memory is compared")
    parser.add_argument("--side-pixels", type=int, default=1024, help="side of the large pictures")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit 1 where ours to plain is less")
    parser.add_argument("--most-growth", type=float, default=100.0, help="exit 1 where memory grows by more")
    parser.add_argument("--small", action="store_true", help="a few images, to see that it runs")
    options = parser.parse_args(argv)
    if options.small:
        options.images, options.rounds, options.sizes, options.side_pixels = 24, 1, [12, 24], 256
    return options


if __name__ == "__main__":
    sys.exit(main())
