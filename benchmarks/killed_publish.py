"""Publishes killed at random moments: does a remote ever claim falsely to be complete, and does a pull get all back?

    python benchmarks/killed_publish.py [--json] [--rounds 50] [--remote folder|s3|both] [--files 200] [--seed 1]

A round makes a data version that shares half of its files with the one before, and a remote that is empty, or holds the
version before, or was left by another killed publish, or has the listings but half of the files, some cut short. The
product's publish runs in a process of its own and is killed by SIGKILL at a random moment of its whole duration: its
process group, or everything it had started. Then the remote is read by nothing but hashlib, json and boto3: does a
marker with the right manifest stand, and is every object there, byte for byte? A second publish and a pull into a
fresh clone follow. Beside it, on the same data: plain ``dvc push`` killed likewise and run again, which then succeeds.
Exit code 1 unless every claim was true and every pull gave every byte. S3 is moto's server, on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psutil
from support.second_opinion import FOLDERS, QUIET, Remote, Version, key, next_version, plain_git, served

ROOT = Path(__file__).resolve().parents[1]
STATES = ("empty", "the version before", "left by a killed publish", "listings and half of the files")
# What the two children run; the publishing and pulling code is the product's own.
PUBLISH = """
import sys; from pathlib import Path
from tasks.adapters.workspace import open_workspace, push
checkout, home, commit, remote = sys.argv[1:]
with open_workspace(Path(checkout), Path(home), commit, remote=remote) as workspace:
    push(workspace)
"""
PULL = """
import sys; from pathlib import Path
from tasks.data_transfer import pull_data
sys.exit(0 if pull_data(sys.argv[1], to=Path(sys.argv[2]))["ok"] else 1)
"""
PLAIN = [sys.executable, "-m", "dvc", "push"]


@dataclass(kw_only=True)
class Bench:
    """The place of one campaign."""

    folder: Path
    remote: Remote
    options: argparse.Namespace
    random: Random
    site: str = "first"
    counts: Counter[str] = field(default_factory=Counter[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def checkout(self) -> Path:
        """The repository whose commits name the data versions."""
        return self.folder / "checkout"

    @property
    def plain(self) -> Path:
        """A clone in which plain ``dvc push`` runs."""
        return self.folder / "plain"

    @property
    def home(self) -> Path:
        """The publisher's home, whose DVC cache both sides push from."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """This machine's variables without ours. DVC's memory of remotes goes with the benchmark, new each round."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("CXR_", "DVC_"))}
        memory = {"DVC_SITE_CACHE_DIR": str(self.folder / "site" / self.site), "DVC_NO_ANALYTICS": "1"}
        where = {"PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull, "CXR_DVC_REMOTE": self.remote.address}
        return own | memory | where

    def next_version(self, before: Version | None) -> Version:
        """Another data version."""
        return next_version(self.checkout, self.home, before, number=self.options.files, random=self.random)


def main(argv: list[str] | None = None) -> int:
    """Run the campaigns, print, and demand that every claim was true."""
    options = _options(argv)
    kinds = ("folder", "s3") if options.remote == "both" else (options.remote,)
    report: dict[str, Any] = {"schema": 1, "benchmark": "killed_publish", "rounds": options.rounds, "remotes": {}}
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="cxr-killed-") as scratch, served(kind, Path(scratch)) as remote:
            numbers = Random(f"{options.seed} {kind}")
            bench = Bench(folder=Path(scratch), remote=remote, options=options, random=numbers)
            report["remotes"][kind] = campaign(
                bench, say=lambda text: None if options.json else print(text, flush=True)
            )
    found = report["remotes"].values()
    report["ratios"] = {
        "false_claims": sum(one["false_claims"] for one in found) / (options.rounds * len(kinds)),
        "pulls_complete": sum(one["pulls_complete"] for one in found) / (options.rounds * len(kinds)),
        "plain_dvc_false_claims": sum(one["plain_dvc_false_claims"] for one in found) / (options.rounds * len(kinds)),
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ratios"]["false_claims"] == 0 and report["ratios"]["pulls_complete"] == 1 else 1


def campaign(bench: Bench, say: Callable[[str], None]) -> dict[str, Any]:
    """All rounds against one remote."""
    _make_checkout(bench)
    version = bench.next_version(None)
    publish = _publish(bench, version)
    # The whole duration, from the second of two: the first one makes the workspace and fills file caches.
    for name in ("first", "whole", "again"):
        if name != "again":
            bench.remote.clear()
        began = time.monotonic()
        _run(bench, publish)
        bench.seconds[name] = time.monotonic() - began
    bench.seconds["plain_dvc"] = _plain_duration(bench, version)
    for number in range(bench.options.rounds):
        before, version = version, bench.next_version(version)
        state = STATES[number % len(STATES)]
        words = [_killed_publish(bench, state, version, before), _repaired(bench, version)]
        words += [_pulled(bench, version, number), _killed_plain(bench, version)]
        say(f"round {number + 1:3}  {state:31} {'; '.join(words)}")
    names = ("before_marker", "after_marker", "too_late", "incomplete_after_kill", "false_claims", "survivors")
    more = ("repaired", "pulls_complete", "plain_dvc_incomplete_after_kill", "plain_dvc_false_claims")
    seconds = {name: round(value, 2) for name, value in bench.seconds.items()}
    return {name: bench.counts[name] for name in (*names, *more)} | {"seconds": seconds}


def _prepare(bench: Bench, state: str, version: Version, before: Version) -> None:
    bench.remote.clear()
    if state == "the version before":
        _run(bench, _publish(bench, before))
    elif state == "left by a killed publish":
        _kill_at_random(bench, _publish(bench, version), bench.seconds["whole"])
    elif state == "listings and half of the files":
        for md5, data in version.objects.items():
            if md5.endswith(".dir") or bench.random.random() < 0.5:
                whole = md5.endswith(".dir") or bench.random.random() < 0.9
                bench.remote.write(key(md5), data if whole else data[: len(data) // 2])


def _killed_publish(bench: Bench, state: str, version: Version, before: Version) -> str:
    """Prepare and kill, until a kill has come before the process ended by itself."""
    killed = False
    while not killed:
        _prepare(bench, state, version, before)
        killed = _kill_at_random(bench, _publish(bench, version), bench.seconds["whole"])
        claims, holds = bench.remote.claims(version), bench.remote.holds(version)
        bench.counts["false_claims"] += claims and not holds
        bench.counts["too_late"] += not killed
    bench.counts["after_marker" if claims else "before_marker"] += 1
    bench.counts["incomplete_after_kill"] += not holds
    return f"{'claims' if claims else 'no claim'}, {'whole' if holds else 'parts'}"


def _repaired(bench: Bench, version: Version) -> str:
    _run(bench, _publish(bench, version))
    repaired = bench.remote.claims(version) and bench.remote.holds(version)
    bench.counts["repaired"] += repaired
    return "repaired" if repaired else "NOT REPAIRED"


def _pulled(bench: Bench, version: Version, number: int) -> str:
    clone, to = bench.folder / f"clone-{number}", bench.folder / f"pulled-{number}"
    plain_git(bench.folder, "clone", "--quiet", bench.checkout.as_uri(), str(clone))
    command = [sys.executable, "-c", PULL, version.commit, str(to)]
    home = {"CXR_HOME": str(clone / "home")}
    done = subprocess.run(command, cwd=clone, env=bench.environment | home, check=False)
    found = {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    complete = done.returncode == 0 and found == version.files
    bench.counts["pulls_complete"] += complete
    shutil.rmtree(clone)
    shutil.rmtree(to)
    return "all back" if complete else "NOT ALL BACK"


def _killed_plain(bench: Bench, version: Version) -> str:
    """``dvc push`` with its own memory of the remote, which is what its default keeps too."""
    killed = False
    while not killed:
        # New each time: what an earlier push remembers of another remote would only help.
        bench.site = f"{version.commit}-{bench.random.random()}"
        _check_out(bench, version)
        killed = _kill_at_random(bench, PLAIN, bench.seconds["plain_dvc"])
    bench.counts["plain_dvc_incomplete_after_kill"] += not bench.remote.holds(version)
    _run(bench, PLAIN)
    false = not bench.remote.holds(version)
    bench.counts["plain_dvc_false_claims"] += false
    return f"plain dvc push then {'calls itself up to date WITHOUT ALL OBJECTS' if false else 'has all'}"


def _kill_at_random(bench: Bench, command: list[str], seconds: float) -> bool:
    """False where the process ended by itself before its moment came."""
    process = subprocess.Popen(command, cwd=bench.plain, env=bench.environment, start_new_session=True, **QUIET)
    # On a busy machine it takes longer than it was measured to: the end, too, wants its share of kills.
    time.sleep(bench.random.uniform(0, 1.25 * seconds))
    if process.poll() is not None:
        return False
    everything = bench.random.random() < 0.5
    started: list[psutil.Process] = []
    groups = {process.pid}
    # What ends by itself while we look needs no kill.
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(process.pid).children(recursive=True)
    for one in started if everything else ():
        # As a machine that runs out of memory or a stopped container does.
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(one.pid))
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(started, timeout=10)
    bench.counts["survivors"] += len(alive)
    return True


def _run(bench: Bench, command: list[str]) -> None:
    done = subprocess.run(command, cwd=bench.plain, env=bench.environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{command[:3]} failed:\n{done.stdout}\n{done.stderr}")


def _publish(bench: Bench, version: Version) -> list[str]:
    where = (str(bench.checkout), str(bench.home), version.commit, bench.remote.address)
    return [sys.executable, "-c", PUBLISH, *where]


def _check_out(bench: Bench, version: Version) -> None:
    """Plain DVC's clone at a version, and an empty remote."""
    plain_git(bench.plain, "fetch", "--quiet", "origin")
    plain_git(bench.plain, "checkout", "--quiet", version.commit)
    bench.remote.clear()


def _plain_duration(bench: Bench, version: Version) -> float:
    _check_out(bench, version)
    began = time.monotonic()
    _run(bench, PLAIN)
    return time.monotonic() - began


def _make_checkout(bench: Bench) -> None:
    bench.checkout.mkdir()
    stages = "".join(f"  {name[5:]}:\n    cmd: make {name}\n    outs: [{name}]\n" for name in FOLDERS)
    files = {"dvc.yaml": f"stages:\n{stages}", "params.yaml": "{}\n", ".gitignore": "/data/\n/home/\n"}
    for name, text in files.items():
        (bench.checkout / name).write_text(text)
    for name in (".dvc/config", ".dvc/.gitignore"):
        (bench.checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, bench.checkout / name)
    plain_git(bench.checkout, "init", "--quiet", "--initial-branch=main")
    plain_git(bench.checkout, "add", "--all")
    plain_git(bench.checkout, "commit", "--quiet", "--message", "start")
    plain_git(bench.folder, "clone", "--quiet", bench.checkout.as_uri(), str(bench.plain))
    cache, url = f"dir = {bench.home / 'dvc/cache'}", f"url = {bench.remote.address}"
    config = bench.plain / ".dvc/config.local"
    config.write_text(f"[cache]\n    {cache}\n['remote \"store\"']\n    {url}\n")


def _words(report: dict[str, Any]) -> str:
    lines: list[str] = []
    for kind, found in report["remotes"].items():
        rounds, seconds = report["rounds"], found["seconds"]
        lines += [
            f"\n{kind}: {rounds} rounds; a whole publish takes {seconds['whole']} s, one that changes nothing "
            f"{seconds['again']} s, plain dvc push {seconds['plain_dvc']} s",
            f"  kills before the marker {found['before_marker']}, after it {found['after_marker']} (and others, "
            f"too late: {found['too_late']}); processes that outlived their kill {found['survivors']}",
            f"  remotes left incomplete {found['incomplete_after_kill']}, of which claim to be complete "
            f"{found['false_claims']}",
            f"  second publishes complete {found['repaired']}/{rounds}, pulls into a fresh clone complete "
            f"{found['pulls_complete']}/{rounds}",
            f"  plain dvc push: left incomplete {found['plain_dvc_incomplete_after_kill']}, still incomplete after a "
            f"second push that succeeds {found['plain_dvc_false_claims']}",
        ]
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=50, help="rounds a remote")
    parser.add_argument("--remote", default="both", choices=["folder", "s3", "both"], help="which kinds")
    parser.add_argument("--files", type=int, default=200, help="files of a data version, beside one of 2 MB")
    parser.add_argument("--seed", type=int, default=1, help="of the data and of the moments")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
