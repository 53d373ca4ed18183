"""One image more: the four data stages for the first time, and again when a source has one image more.

    python benchmarks/incremental.py [--json] [--sources FOLDER | --phantoms 6800] [--rounds 3] [--dvc]
                                     [--most 0.15] [--small]

The sources are a folder of mirrors (``CXR_SOURCES`` by default), else phantoms. Quotas take every usable image. The
first time starts from an empty memo and reads all four sources; then one new X-ray (a mirrored picture of the Kaggle
collection) is added, its source's pin is moved, and what depends on it runs again: ``ingest kaggle``, ``curate``,
``prepare``, ``split``, each as a process of its own, as the verbs do. The ratio is the second total over the first; it
is also given for reading all four sources again. ``--dvc`` adds the same by ``dvc repro`` in a workspace, where DVC
itself decides what runs, hashes what it made and keeps it in its cache.

The second time must decode the new image and no other, and must leave the bytes that a run without memo leaves.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import CLASSES, SOURCES, Source
from cxr_core.digests import digest_file
from cxr_core.imaging.phantom import write_sources
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, pin_of, with_pin, without_pins
from cxr_core.params import override_params

ROOT = Path(__file__).resolve().parents[1]
CHANGED: Source = "kaggle"
ADDED = Path("chest_xray/train/PNEUMONIA/person9999_virus_99999.jpeg")
AGAIN = [["ingest", CHANGED], ["curate"], ["prepare"], ["split"]]
FIRST = [*(["ingest", source] for source in SOURCES), *AGAIN[1:]]
_QUOTAS = [f"curate.quota.{slug}=null" for slug in CLASSES]
_TRACKED = ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Step:
    """One verb: its words, time on the wall, and processor time of it and its workers."""

    words: str
    seconds: float
    cpu_seconds: float
    said: dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with ``--most``."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="incremental-") as folder:
        sources = _sources(Path(folder) / "published", options)
        rounds = [_round(Path(folder) / f"round-{turn}", sources, options) for turn in range(options.rounds)]
        report = _report(rounds, _files(sources))
        if options.dvc:
            report["dvc"] = _dvc_round(Path(folder) / "dvc", sources)
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ratios"]["second_to_first"] <= options.most else 1


def _round(root: Path, published: Path, options: argparse.Namespace) -> dict[str, list[Step]]:
    """First time, second time, and the second time with every source read again."""
    sources = _linked(published, root / "sources")
    workspace = root / "workspace"
    _write_workspace(workspace, sources)
    cache = root / "cache"
    steps = {"first": _run(workspace, sources, cache, FIRST, options)}
    _add_image(sources)
    _pin(workspace, sources)
    steps["second"] = _run(workspace, sources, cache, AGAIN, options)
    _check(steps["second"], workspace, sources)
    steps["second_all_sources"] = _run(workspace, sources, cache, FIRST, options)
    shutil.rmtree(root)
    return steps


def _run(
    workspace: Path, sources: Path, cache: Path, verbs: Sequence[Sequence[str]], options: argparse.Namespace
) -> list[Step]:
    steps = []
    for verb in verbs:
        step = _step(workspace, sources, cache, verb)
        if not options.json:
            effort = ", ".join(f"{step.said[key]} {key}" for key in ("decoded", "reused") if key in step.said)
            print(f"{step.words:16}{step.seconds:7.2f} s {step.cpu_seconds:7.2f} CPU s   {effort}", flush=True)
        steps.append(step)
    return steps


def _step(workspace: Path, sources: Path, cache: Path | None, verb: Sequence[str]) -> Step:
    command = [sys.executable, "-m", "cxr_core", *verb, "--json", "--workspace", str(workspace)]
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=ROOT, env=_environment(sources, cache), stdout=subprocess.PIPE)
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(verb)}: {done.stdout.decode()}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Step(" ".join(verb), seconds, cpu, json.loads(done.stdout))


def _check(second: Sequence[Step], workspace: Path, sources: Path) -> None:
    """The memo saved every decode but one, and changed nothing."""
    decoded = {step.words: step.said["decoded"] for step in second if "decoded" in step.said}
    if set(decoded.values()) != {1}:
        raise SystemExit(f"Expected the new image alone to be decoded, found {decoded}.")
    with_memo = _digests(workspace)
    for verb in AGAIN:
        _step(workspace, sources, None, verb)
    if _digests(workspace) != with_memo:
        raise SystemExit("The stages left other bytes with a memo than without.")


def _dvc_round(root: Path, published: Path) -> dict[str, Any]:
    from tasks.adapters import dvc

    sources, workspace = _linked(published, root / "sources"), root / "workspace"
    _write_workspace(workspace, sources)
    for name in _TRACKED:
        (workspace / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, workspace / name)
    shutil.copytree(ROOT / "cxr_core", workspace / "cxr_core", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "--quiet", str(workspace)], check=True)
    environment = {name: value for name, value in _environment(sources, root / "cache").items() if "CXR" in name}

    def repro() -> tuple[float, dict[str, dvc.StageOutcome]]:
        began = time.perf_counter()
        outcomes = dvc.repro(workspace, environment=environment, on_line=lambda _: None)
        return time.perf_counter() - began, outcomes

    first, _ = repro()
    _add_image(sources)
    _pin(workspace, sources)
    second, outcomes = repro()
    return {
        "seconds": {"first": round(first, 2), "second": round(second, 2)},
        "second_to_first": round(second / first, 3),
        "ran": sorted(stage for stage, outcome in outcomes.items() if outcome == "ran"),
    }


def _sources(folder: Path, options: argparse.Namespace) -> Path:
    if options.sources is not None:
        return options.sources.absolute()
    share = max(3, options.phantoms // 3)
    write_sources(folder, seed=1, images=dict.fromkeys(CLASSES, share), size=options.side_pixels)
    return folder


def _linked(published: Path, into: Path) -> Path:
    """The same files under another folder, which may be given one more."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)

    for source in SOURCES:
        shutil.copytree(published / source, into / source, copy_function=link)
    return into


def _write_workspace(workspace: Path, sources: Path) -> None:
    (workspace / "data").mkdir(parents=True)
    params = override_params((ROOT / "params.yaml").read_text(encoding="utf-8"), _QUOTAS)
    (workspace / "params.yaml").write_text(params, encoding="utf-8")
    (workspace / PINS_PATH).write_text(without_pins((ROOT / PINS_PATH).read_text(encoding="utf-8")), encoding="utf-8")
    for source in SOURCES:
        _pin(workspace, sources, source)


def _pin(workspace: Path, sources: Path, source: Source = CHANGED) -> None:
    path = workspace / PINS_PATH
    pin = pin_of(list_source(sources / source), licence="as published")
    path.write_text(with_pin(path.read_text(encoding="utf-8"), source, pin), encoding="utf-8")


def _add_image(sources: Path) -> None:
    """A picture that no source holds yet: one of the collection's, left and right exchanged."""
    folder = sources / CHANGED
    pattern = next(path for path in sorted(folder.rglob("person*_virus_*")) if path.suffix in (".jpeg", ".jpg"))
    out = io.BytesIO()
    with Image.open(pattern) as image:
        ImageOps.mirror(image.convert("L")).save(out, format="JPEG", quality=92)
    (folder / ADDED).parent.mkdir(parents=True, exist_ok=True)
    (folder / ADDED).write_bytes(out.getvalue())


def _environment(sources: Path, cache: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    ours = {"CXR_SOURCES": str(sources), "CXR_PATIENT_KEY": "a key of the benchmark", "PYTHONPATH": str(ROOT)}
    return kept | ours | ({"CXR_CACHE": str(cache)} if cache else {})


def _digests(workspace: Path) -> dict[str, str]:
    files = (path for path in (workspace / "data").rglob("*") if path.is_file())
    return {path.relative_to(workspace).as_posix(): digest_file(path) for path in files}


def _files(sources: Path) -> int:
    return sum(entry.is_image for source in SOURCES for entry in list_source(sources / source).entries)


def _report(rounds: Sequence[dict[str, list[Step]]], files: int) -> dict[str, Any]:
    def totals(part: str, cost: Callable[[Step], float]) -> list[float]:
        return [sum(cost(step) for step in each[part]) for each in rounds]

    def ratio(part: str, cost: Callable[[Step], float]) -> float:
        pairs = zip(totals(part, cost), totals("first", cost), strict=True)
        return round(statistics.median(later / first for later, first in pairs), 3)

    def seconds(step: Step) -> float:
        return step.seconds

    def cpu_seconds(step: Step) -> float:
        return step.cpu_seconds

    return {
        "schema": 1,
        "benchmark": "incremental",
        "settings": {"image_files": files, "rounds": len(rounds)},
        "machine": {"processors": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
        "seconds": {
            part: {
                step.words: round(statistics.median(each[part][place].seconds for each in rounds), 3)
                for place, step in enumerate(rounds[0][part])
            }
            for part in rounds[0]
        },
        "totals": {part: round(statistics.median(totals(part, seconds)), 2) for part in rounds[0]},
        "cpu_totals": {part: round(statistics.median(totals(part, cpu_seconds)), 2) for part in rounds[0]},
        "ratios": {
            "second_to_first": ratio("second", seconds),
            "second_to_first_cpu": ratio("second", cpu_seconds),
            "all_sources_to_first": ratio("second_all_sources", seconds),
        },
    }


def _words(report: dict[str, Any]) -> str:
    totals, ratios = report["totals"], report["ratios"]
    lines = [
        f"\n{report['settings']['image_files']} image files: first {totals['first']} s, one more {totals['second']} s: "
        f"{100 * ratios['second_to_first']:.1f} % (of processor time {100 * ratios['second_to_first_cpu']:.1f} %)",
        f"with all four sources read again {totals['second_all_sources']} s: "
        f"{100 * ratios['all_sources_to_first']:.1f} %",
    ]
    if "dvc" in report:
        first, second = report["dvc"]["seconds"]["first"], report["dvc"]["seconds"]["second"]
        lines.append(f"dvc repro: first {first} s, one more {second} s: {100 * report['dvc']['second_to_first']:.1f} %")
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    named = os.environ.get("CXR_SOURCES")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sources", type=Path, default=Path(named) if named else None, help="folder of the mirrors")
    parser.add_argument("--phantoms", type=int, default=6800, help="phantoms, where there are no mirrors")
    parser.add_argument("--side-pixels", type=int, default=256, help="side of the phantoms")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--dvc", action="store_true", help="measure dvc repro, too")
    parser.add_argument("--most", type=float, default=1.0, help="exit 1 where the second time takes a larger share")
    parser.add_argument("--small", action="store_true", help="a few phantoms, to see that it runs")
    options = parser.parse_args(argv)
    if options.small:
        options.sources, options.phantoms, options.side_pixels, options.rounds = None, 18, 64, 1
    return options


if __name__ == "__main__":
    sys.exit(main())
