"""Kill a retrain at random moments until it ends, and compare what it made with what an undisturbed one made.

    python benchmarks/killed_training.py [--json] [--kills 100] [--seed 1] [--epochs 3] [--size 64]

A retrain on phantoms is run once undisturbed. Then, home by home, the same retrain is started and killed (SIGKILL to
its whole process group) at a random moment, started again, and so on until it ends; homes follow one another until
there were enough kills. For each home: every training's weights must be those of the undisturbed retrain, bit by bit;
every training must have one finished MLflow run and no second one; every metric point of an epoch must stand there
once; nothing may be left running; and a start must never be refused. Exit code 1 where any of that fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import CLASSES
from cxr_core.imaging.phantom import write_sources
from tasks.settings import Home
from tasks.stores import tracker_of

ROOT = Path(__file__).resolve().parents[1]
_STUCK_SECONDS = 420.0
_POINTS = ("train_loss", "val_loss", "error_rate", "seconds")


@dataclass(slots=True)
class Campaign:
    """What happened, over all homes."""

    kills: int = 0
    starts: int = 0
    homes: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list[str])


def main(argv: list[str] | None = None) -> int:
    """Run the campaign and print it."""
    options = _options(argv)
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="cxr-killed-") as scratch:
        folder = Path(scratch)
        images = dict.fromkeys(CLASSES, options.images)
        write_sources(folder / "sources", seed=7, images={slug: n + 4 for slug, n in images.items()})
        began = time.monotonic()
        whole = _start(folder, "whole", options)
        if whole.wait(_STUCK_SECONDS) != 0:
            print((folder / "whole.log").read_text(encoding="utf-8"), file=sys.stderr)
            return 1
        seconds = time.monotonic() - began
        wanted = _weights(folder / "whole")
        if not options.json:
            print(f"undisturbed: {len(wanted)} trainings in {seconds:.0f} s", flush=True)
        campaign = Campaign()
        while campaign.kills < options.kills:
            _one_home(folder, seconds, wanted, generator, options, campaign)
    report = {
        "schema": 1,
        "benchmark": "killed_training",
        "settings": {name: getattr(options, name) for name in ("seed", "epochs", "size", "images")},
        "kills": campaign.kills,
        "starts": campaign.starts,
        "homes": campaign.homes,
        "trainings_resumed_from_a_state": campaign.resumed,
        "faults": campaign.faults,
        "ok": not campaign.faults,
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _one_home(
    folder: Path,
    seconds: float,
    wanted: dict[str, str],
    generator: random.Random,
    options: argparse.Namespace,
    campaign: Campaign,
) -> None:
    """Kill and start again until the retrain ends, then compare."""
    campaign.homes += 1
    name = f"home-{campaign.homes}"
    while True:
        campaign.starts += 1
        process = _start(folder, name, options)
        # Over the whole length and beyond, so that some starts end by themselves.
        enough = campaign.kills >= options.kills
        ended = _ended(process, _STUCK_SECONDS if enough else generator.uniform(1.0, seconds * 1.1))
        if ended is None and enough:
            campaign.faults.append(f"{name}: stuck for {_STUCK_SECONDS:.0f} s")
            _kill(process)
            break
        if ended is None:
            _kill(process)
            campaign.kills += 1
        elif ended == 0:
            break
        else:
            said = (folder / f"{name}.log").read_text(encoding="utf-8")[-600:]
            campaign.faults.append(f"{name}: exit {ended}: {said}")
            break
    faults, resumed = _compare(folder / name, wanted, options)
    campaign.faults += [f"{name}: {fault}" for fault in faults]
    campaign.resumed += resumed
    if not options.json:
        print(f"{name}: {campaign.kills} kills so far, {len(campaign.faults)} faults", flush=True)
    if not faults:
        shutil.rmtree(folder / name)


def _start(folder: Path, name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    sets = (
        "train.weights=none",
        "train.precision=fp32",
        "train.architecture=resnet18",
        f"train.epochs={options.epochs}",
        f"prepare.size={options.size}",
        "split.folds=3",
        "split.protocol=grouped",
        "evaluate.bootstrap=100",
        "explain.panels=1",
        *(f"curate.quota.{slug}={options.images}" for slug in CLASSES),
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("CXR_", "MLFLOW", "PREFECT"))}
    environment |= {
        "CXR_HOME": str(folder / name),
        "CXR_SOURCES": str(folder / "sources"),
        # A state after every step: each kill then has a state to come back to.
        "CXR_STATE_SECONDS": "0",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "retrain", *(word for one in sets for word in ("--set", one))],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _weights(home: Path) -> dict[str, str]:
    """Digest of each training's weights, by its key."""
    runs = tracker_of(Home(root=home)).search({}, status="FINISHED")
    return {run.tags["cxr.key"]: run.tags["cxr.weights"] for run in runs if "cxr.weights" in run.tags}


def _compare(home: Path, wanted: dict[str, str], options: argparse.Namespace) -> tuple[list[str], int]:
    """What differs from the undisturbed retrain, and how many runs were gone on with."""
    tracker = tracker_of(Home(root=home))
    faults: list[str] = []
    resumed = 0
    found = _weights(home)
    if found != wanted:
        differing = [key[:15] for key in wanted if found.get(key) != wanted[key]]
        faults.append(f"weights differ or are missing: {', '.join(differing) or 'unknown keys'}")
    for key in wanted:
        runs = tracker.search({"cxr.key": key})
        if [run.status for run in runs] != ["FINISHED"]:
            faults.append(f"{key[:15]}: runs {', '.join(run.status for run in runs) or 'none'}")
        for run in runs:
            resumed += int(run.tags.get("cxr.resumed", "0")) > 0
            for metric in _POINTS:
                steps = [point.step for point in tracker.history(run.run_id, metric) if point.step]
                if steps and steps != list(range(1, options.epochs + 1)):
                    faults.append(f"{key[:15]}: {metric} has the epochs {steps}")
    if left := tracker.search({}, status="RUNNING"):
        faults.append(f"{len(left)} runs are left running")
    return faults, resumed


def _words(report: dict[str, Any]) -> str:
    lines = [
        f"{report['kills']} kills in {report['starts']} starts of {report['homes']} retrains; "
        f"{report['trainings_resumed_from_a_state']} runs gone on with",
        *(f"  ✗ {fault}" for fault in report["faults"]),
    ]
    good = "0 different weights, 0 stuck, 0 doubled or missing metric points, 0 second runs"
    return "\n".join([*lines, good if report["ok"] else "FAILED"])


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--kills", type=int, default=100, help="kills at least")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a training")
    parser.add_argument("--size", type=int, default=64, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=24, help="images a class")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
