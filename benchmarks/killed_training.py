"""Kill a retrain at random moments until it ends, and compare what it made with what an undisturbed one made.

    python benchmarks/killed_training.py [--json] [--kills 100] [--at-once 2] [--epochs 3] [--size 64] [--images 24]

A retrain on phantoms is run once undisturbed. Then, home by home, the same retrain is started and killed (SIGKILL to
its whole process group) at a random moment, started again, and so on until it ends; homes follow one another, so many
at once, until there were enough kills. Every second moment is drawn from the time after a training has begun to save
states, so that many kills meet a training. For each home, by SQL on MLflow's own database: every training's weights
must be those of the undisturbed retrain, bit by bit; every training must have one finished run and no second one; its
loss, validation loss and error rate must have the undisturbed retrain's value at every epoch, once, and its times one
value an epoch; nothing may be left running or on disk; and a start must never be refused. Exit code 1 where any of that
fails.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.place import Place, make_place, overrides, start_retrain

_STUCK_SECONDS = 600.0
_SAME = ("train_loss", "val_loss", "error_rate")
_TIMES = ("seconds", "images_per_second")
# A state after every step: each kill then has a state to come back to.
_EVERY_STEP = {"CXR_STATE_SECONDS": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What MLflow's database holds of a training: its runs, their weights, and every metric row of an epoch."""

    statuses: tuple[str, ...]
    weights: tuple[str, ...]
    resumed: int
    rows: Counter[tuple[str, int, float]]


@dataclass(slots=True)
class Campaign:
    """What happened, over all homes."""

    place: Place
    options: argparse.Namespace
    seconds: float
    wanted: dict[str, Training]
    lock: threading.Lock = field(default_factory=threading.Lock)
    kills: int = 0
    kills_with_states: int = 0
    starts: int = 0
    homes: int = 0
    resumed: int = 0
    faults: list[str] = field(default_factory=list[str])


def main(argv: list[str] | None = None) -> int:
    """Run the campaign and print it."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-killed-") as scratch:
        place = make_place(Path(scratch), images=options.images)
        began = time.monotonic()
        if _start(place, "whole", options).wait(_STUCK_SECONDS) != 0:
            print((place.folder / "whole.log").read_text(encoding="utf-8"), file=sys.stderr)
            return 1
        campaign = Campaign(
            place=place,
            options=options,
            seconds=time.monotonic() - began,
            wanted=_trainings(place.folder / "whole"),
        )
        _say(options, f"undisturbed: {len(campaign.wanted)} trainings in {campaign.seconds:.0f} s")
        with ThreadPoolExecutor(options.at_once) as pool:
            for ended in [pool.submit(_homes, campaign) for _ in range(options.at_once)]:
                ended.result()
    report = {
        "schema": 2,
        "benchmark": "killed_training",
        "settings": {name: getattr(options, name) for name in ("seed", "at_once", "epochs", "size", "images")},
        "kills": campaign.kills,
        "kills_with_states": campaign.kills_with_states,
        "starts": campaign.starts,
        "homes": campaign.homes,
        "runs_gone_on_with": campaign.resumed,
        "faults": campaign.faults,
        "ok": not campaign.faults,
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _homes(campaign: Campaign) -> None:
    """One home after another, as long as kills are wanted."""
    while campaign.kills < campaign.options.kills:
        with campaign.lock:
            campaign.homes += 1
            name = f"home-{campaign.homes}"
        faults = _one_home(campaign, name)
        with campaign.lock:
            campaign.faults += [f"{name}: {fault}" for fault in faults]
        _say(campaign.options, f"{name}: {campaign.kills} kills so far, {len(campaign.faults)} faults")
        if not faults:
            shutil.rmtree(campaign.place.folder / name)


def _one_home(campaign: Campaign, name: str) -> list[str]:
    """Kill and start again until the retrain ends, then compare."""
    home = campaign.place.folder / name
    moments = random.Random(f"{campaign.options.seed} {name}")
    while True:
        process = _start(campaign.place, name, campaign.options)
        enough = campaign.kills >= campaign.options.kills
        ended = _ended(process, _STUCK_SECONDS) if enough else _ended_before_the_kill(campaign, process, home, moments)
        if ended is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with campaign.lock:
            campaign.starts += 1
            campaign.kills += ended is None and not enough
            campaign.kills_with_states += ended is None and bool(_states(home))
        if ended is None and enough:
            return [f"stuck for {_STUCK_SECONDS:.0f} s"]
        if ended == 0:
            return _compare(campaign, home)
        if ended is not None:
            said = (campaign.place.folder / f"{name}.log").read_text(encoding="utf-8")[-600:]
            return [f"exit {ended}: {said}"]


def _ended_before_the_kill(
    campaign: Campaign, process: subprocess.Popen[bytes], home: Path, moments: random.Random
) -> int | None:
    """Wait until a random moment; the exit code where the retrain ended before it."""
    if moments.random() < 0.5:
        # Half of the whole length: a start that has much to do is killed, one with little left may end.
        return _ended(process, moments.uniform(1.0, campaign.seconds * 0.5))
    deadline = time.monotonic() + campaign.seconds
    while not _states(home) and time.monotonic() < deadline:
        if (ended := _ended(process, 0.05)) is not None:
            return ended
    return _ended(process, moments.uniform(0.0, campaign.seconds / 4))


def _states(home: Path) -> list[Path]:
    return list(home.glob("checkpoints/*/states/step-*"))


def _start(place: Place, name: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    settings = overrides(images=options.images, size=options.size, epochs=options.epochs)
    return start_retrain(place, place.folder / name, settings, log=place.folder / f"{name}.log", **_EVERY_STEP)


def _ended(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _trainings(home: Path) -> dict[str, Training]:
    """Every training by its key, read from MLflow's database by nothing of the project's own."""
    with closing(sqlite3.connect(f"file:{home / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True)) as database:
        tags: dict[str, dict[str, str]] = {}
        for run, key, value in database.execute("SELECT run_uuid, key, value FROM tags"):
            tags.setdefault(run, {})[key] = value
        statuses = dict(database.execute("SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'"))
        found: dict[str, Training] = {}
        for key in {one["cxr.key"] for one in tags.values() if one.get("cxr.kind") in ("fold", "refit")}:
            runs = [run for run in statuses if tags.get(run, {}).get("cxr.key") == key]
            rows = Counter[tuple[str, int, float]]()
            for run in runs:
                rows.update(
                    database.execute("SELECT key, step, value FROM metrics WHERE run_uuid = ? AND step > 0", (run,))
                )
            found[key] = Training(
                statuses=tuple(statuses[run] for run in runs),
                weights=tuple(tags[run].get("cxr.weights", "none") for run in runs),
                resumed=sum(int(tags[run].get("cxr.resumed", "0")) > 0 for run in runs),
                rows=Counter({row: n for row, n in rows.items() if row[0] in (*_SAME, *_TIMES)}),
            )
        return found


def _compare(campaign: Campaign, home: Path) -> list[str]:
    """What differs from the undisturbed retrain."""
    found = _trainings(home)
    faults = [
        f"{key[:15]}: {'never trained' if key in campaign.wanted else 'never asked for'}"
        for key in campaign.wanted.keys() ^ found.keys()
    ]
    for key in campaign.wanted.keys() & found.keys():
        wanted, ours = campaign.wanted[key], found[key]
        with campaign.lock:
            campaign.resumed += ours.resumed
        if ours.statuses != ("FINISHED",):
            faults.append(f"{key[:15]}: runs {', '.join(ours.statuses) or 'none'}")
        if ours.weights != wanted.weights:
            faults.append(f"{key[:15]}: weights {ours.weights}, not {wanted.weights}")
        if _values(ours) != _values(wanted):
            faults.append(f"{key[:15]}: metric rows {sorted((_values(ours) - _values(wanted)).elements())}")
        if _times(ours) != _times(wanted):
            faults.append(f"{key[:15]}: times of epochs {sorted(_times(ours).items())}")
    with closing(sqlite3.connect(f"file:{home / 'mlflow' / 'mlflow.db'}?mode=ro", uri=True)) as database:
        ((left,),) = database.execute("SELECT COUNT(*) FROM runs WHERE status = 'RUNNING'")
    if left:
        faults.append(f"{left} runs are left running")
    if kept := [path.name for path in (home / "checkpoints").iterdir() if path.is_dir()]:
        faults.append(f"folders of trainings are left: {', '.join(kept)}")
    return faults


def _values(training: Training) -> Counter[tuple[str, int, float]]:
    return Counter({row: n for row, n in training.rows.items() if row[0] in _SAME})


def _times(training: Training) -> Counter[tuple[str, int]]:
    """How many rows each time has at each epoch; their values are the machine's."""
    counted = Counter[tuple[str, int]]()
    for (name, step, _), n in training.rows.items():
        if name in _TIMES:
            counted[name, step] += n
    return counted


def _words(report: dict[str, Any]) -> str:
    lines = [
        f"{report['kills']} kills ({report['kills_with_states']} met saved states) in {report['starts']} starts of "
        f"{report['homes']} retrains; {report['runs_gone_on_with']} runs gone on with",
        *(f"  ✗ {fault}" for fault in report["faults"]),
    ]
    good = "0 different weights, 0 stuck, 0 doubled, missing or other metric points, 0 second runs, nothing left behind"
    return "\n".join([*lines, good if report["ok"] else "FAILED"])


def _say(options: argparse.Namespace, words: str) -> None:
    if not options.json:
        print(words, flush=True)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--kills", type=int, default=100, help="kills at least")
    parser.add_argument("--at-once", type=int, default=2, help="retrains that run at the same time")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a training")
    parser.add_argument("--size", type=int, default=64, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=24, help="images a class")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
