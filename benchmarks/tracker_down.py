"""Kill the tracking server under a training: does a metric point get lost, and does the training take longer?

    python benchmarks/tracker_down.py [--json] [--epochs 50] [--size 96] [--images 40] [--down 30] [--rounds 1]

A fold is trained twice by the real training task against a real ``mlflow server`` on SQLite, each time with another
seed: once with the server left alone, once while it is killed (SIGKILL to its process group) three times: after the
first epoch and after a fifth of them, each time started again at once, and after two fifths, then left down for 30
seconds. Data and cohort are phantoms, made before. Read from the database by SQL afterwards: every epoch of the fold
must have each metric once, with the value that training had. Times are the training's own, from pixels to predictions,
and the whole task's, in which the last points and artifacts have arrived. The training has one thread, so that the
server, where there are two cores, has one to start on. Exit code 1 where a point is lost or doubled, where a kill met
no training, or where training took more than ``--at-most`` longer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.place import Place, make_place, overrides

from tasks.adapters.store import ui_command

# The real stages and the real task, without Prefect around them; what it prints last is the report.
_TRAIN = """
import json, sys, time
from tasks.curate import curate
from tasks.data import version_data
from tasks.ingest import ingest
from tasks.plan import make_plan
from tasks.prepare import prepare
from tasks.retrains import open_retrain
from tasks.run import open_run
from tasks.split import split
from tasks.train import train
with open_run(sys.argv[1:], program="benchmark", folder=None, unpinned=False) as run:
    ingest.fn(run)
    cohort = curate.fn(run)
    prepare.fn(run)
    split.fn(run)
    plan = make_plan(run)
    data = version_data.fn(run)
    with open_retrain(run, plan, data, cohort) as parent:
        began = time.monotonic()
        trained = train.fn(run, plan, data, parent, 0)
        print(json.dumps({"run": trained.run_id, "task_seconds": time.monotonic() - began}))
"""
_METRICS = ("train_loss", "val_loss", "error_rate", "images_per_second", "seconds")
_START_SECONDS = 120.0


@dataclass(slots=True)
class Server:
    """``mlflow server`` on a database, killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        """Its SQLite file."""
        return self.folder / "server.db"

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        uri = f"sqlite:///{self.database}"
        command, environment = ui_command(uri, self.folder / "artifacts", "127.0.0.1", self.port)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return
            time.sleep(0.2)
        raise TimeoutError(f"no answer from {self.address}")

    def kill(self) -> None:
        """SIGKILL to it and its workers."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass(slots=True)
class Round:
    """One training: what it took, and what the database has of it."""

    kills: int
    training_seconds: float
    task_seconds: float
    points: int
    faults: list[str] = field(default_factory=list[str])


def main(argv: list[str] | None = None) -> int:
    """Train, kill, compare."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-tracker-") as scratch:
        place = make_place(Path(scratch), images=options.images)
        server = Server(folder=place.folder, port=_free_port())
        server.start()
        try:
            server.wait()
            # Makes the data, and has every file read once.
            _round(place, server, options, seed=1, kill=False, epochs=2)
            quiet, killed = list[Round](), list[Round]()
            for number in range(options.rounds):
                for rounds, kill in ((quiet, False), (killed, True)):
                    rounds.append(_round(place, server, options, seed=100 + 2 * number + kill, kill=kill))
                    server.wait()
                    if not options.json:
                        one = rounds[-1]
                        print(
                            f"{'killed' if kill else 'left alone':10} {one.training_seconds:6.1f} s, task "
                            f"{one.task_seconds:6.1f} s, {one.points} points, {one.kills} kills",
                            flush=True,
                        )
        finally:
            server.kill()
    report = _report(options, quiet, killed)
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _round(
    place: Place, server: Server, options: argparse.Namespace, *, seed: int, kill: bool, epochs: int | None = None
) -> Round:
    epochs = epochs or options.epochs
    home = place.folder / "home"
    settings = (
        *overrides(images=options.images, size=options.size, epochs=epochs, folds=5),
        "train.threads=1",
        f"train.seed={seed}",
    )
    log = place.folder / f"train-{seed}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _TRAIN, *settings],
            cwd=place.checkout,
            env=place.environment(home, MLFLOW_TRACKING_URI=server.address),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        kills = _kill_thrice(process, server, home, epochs, options.down) if kill else 0
        said = process.communicate()[0].decode()
    if process.returncode:
        raise SystemExit(f"{said}\n{log.read_text(encoding='utf-8')}")
    ended = json.loads(said.splitlines()[-1])
    seconds, points, faults = _read(server.database, ended["run"], epochs)
    if kill and kills < 3:
        faults.append(f"only {kills} of 3 kills met the training")
    return Round(
        kills=kills, training_seconds=seconds, task_seconds=ended["task_seconds"], points=points, faults=faults
    )


def _kill_thrice(process: subprocess.Popen[bytes], server: Server, home: Path, epochs: int, down_seconds: float) -> int:
    """Kill the server while the training is under way; how often that was so from the kill to the new start."""
    kills = 0
    for after, down in ((1, 0.0), (epochs // 5, 0.0), (epochs * 2 // 5, down_seconds)):
        while _journalled(home) < after:
            if process.poll() is not None:
                return kills
            time.sleep(0.05)
        server.kill()
        time.sleep(down)
        kills += process.poll() is None and 0 < _journalled(home) < epochs
        server.start()
        # The next kill must meet a server that is there.
        server.wait()
    return kills


def _journalled(home: Path) -> int:
    """Epochs in the journal of the training under way; 0 where there is none."""
    with suppress(OSError):
        return sum(path.read_bytes().count(b"\n") for path in home.glob("checkpoints/*/journal.jsonl"))
    return 0


def _read(database: Path, run: str, epochs: int) -> tuple[float, int, list[str]]:
    """What the database has of a run: its training's seconds, points of epochs, and what is wrong with them."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = list(connection.execute("SELECT key, step, value FROM metrics WHERE run_uuid = ?", (run,)))
        ((place,),) = connection.execute("SELECT artifact_uri FROM runs WHERE run_uuid = ?", (run,))
        ((status,),) = connection.execute("SELECT status FROM runs WHERE run_uuid = ?", (run,))
    wanted: Counter[tuple[str, int, float]] = Counter(
        (name, each["epoch"], each[name])
        for each in json.loads(Path(place.removeprefix("file://"), "epochs.json").read_text(encoding="utf-8"))
        for name in _METRICS
    )
    found = Counter((name, step, value) for name, step, value in rows if name in _METRICS and step > 0)
    (seconds,) = (value for name, step, value in rows if name == "training_seconds" and step == 0)
    faults = [f"lost: {row}" for row in (wanted - found).elements()]
    faults += [f"doubled or foreign: {row}" for row in (found - wanted).elements()]
    if len(wanted) != epochs * len(_METRICS):
        faults.append(f"{len(wanted)} points were made, not {epochs * len(_METRICS)}")
    if status != "FINISHED":
        faults.append(f"the run is {status}")
    return seconds, sum(found.values()), faults


def _report(options: argparse.Namespace, quiet: list[Round], killed: list[Round]) -> dict[str, Any]:
    def ratio(name: str) -> float:
        medians = [statistics.median(getattr(each, name) for each in rounds) for rounds in (killed, quiet)]
        return round(medians[0] / medians[1], 4)

    faults = [fault for each in (*quiet, *killed) for fault in each.faults]
    ratios = {name: ratio(name) for name in ("training_seconds", "task_seconds")}
    return {
        "schema": 1,
        "benchmark": "tracker_down",
        "settings": {name: getattr(options, name) for name in ("epochs", "size", "images", "down", "rounds")},
        "kills": sum(each.kills for each in killed),
        "points": sum(each.points for each in killed),
        "left_alone": [{"training": each.training_seconds, "task": each.task_seconds} for each in quiet],
        "killed": [{"training": each.training_seconds, "task": each.task_seconds} for each in killed],
        "ratios": ratios,
        "faults": faults,
        "ok": not faults and ratios["training_seconds"] <= 1 + options.at_most,
    }


def _words(report: dict[str, Any]) -> str:
    lines = [
        f"{report['kills']} kills: {report['points']} points there, {len(report['faults'])} lost or doubled",
        f"training took {report['ratios']['training_seconds'] - 1:+.1%}, the whole task "
        f"{report['ratios']['task_seconds'] - 1:+.1%}",
        *(f"  ✗ {fault}" for fault in report["faults"]),
    ]
    return "\n".join(lines)


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--epochs", type=int, default=50, help="epochs of the fold")
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=40, help="images a class")
    parser.add_argument("--down", type=float, default=30.0, help="seconds that the third kill lasts")
    parser.add_argument("--rounds", type=int, default=1, help="pairs of trainings")
    parser.add_argument("--at-most", type=float, default=0.05, help="how much longer a training may take, a share")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
