"""Damage the saved states of a training in many ways: is any of it ever loaded, and does the training end the same?

    python benchmarks/damaged_states.py [--json] [--damages 240] [--seed 1] [--architecture mobilenet_v2]

A fold is trained once undisturbed, and once stopped after a few steps with its last two states on disk. Then, damage by
damage, the states as they were are put back and one or both are damaged: a file cut short anywhere, a bit flipped
anywhere, a file missing, empty, longer, or taken from the other state; or they are another training's: of another fold,
other data, other code, other parameters, another seed, number of threads, library or device. What is damaged must be
refused by its name, the state before it used where that is whole, and nothing loaded where none is. Every tenth
training is gone on with to its end, which must have the undisturbed one's bytes. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.params import read_params
from cxr_core.train.fold import Resumable, train_fold
from cxr_core.train.key import identity_of, train_key
from cxr_core.train.progress import Progress
from cxr_core.train.states import latest_state

ROOT = Path(__file__).resolve().parents[1]
_STOP_AFTER = 5
_GONE_ON_WITH = 10


class _StoppedError(Exception):
    """Stands for the end of the process."""


@dataclass(slots=True)
class Account:
    """What became of the damages."""

    tried: Counter[str] = field(default_factory=Counter[str])
    fell_back: int = 0
    started_anew: int = 0
    gone_on_with: int = 0
    loaded: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])


class Bench:
    """A small fold, its undisturbed weights, and its states when it was stopped."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._whole = folder / "states as they were"
        self.states = folder / "states"
        text = (ROOT / "params.yaml").read_text(encoding="utf-8")
        changes = {"architecture": options.architecture, "weights": "none", "epochs": 2, "batch_size": 8, "threads": 1}
        self._params = read_params(text).train.replace(**changes, precision="fp32")
        random = np.random.default_rng(0)
        self._images = random.integers(0, 256, (40, 32, 32), dtype=np.uint8)
        self._labels = random.integers(0, 3, 40)
        self.identity = self.named()
        self.digest = self._train(None)
        with_states = Resumable(folder=self._whole, identity=self.identity, seconds=0.0)
        with suppress(_StoppedError):
            self._train(with_states, stop_after=_STOP_AFTER)

    def named(self, **changes: Any) -> dict[str, str]:
        """The identity of the training, or of one that differs."""
        device = changes.pop("device_name", "cpu")
        images = [f"sha256:{row:064x}" for row in range(40)]
        asked: dict[str, Any] = {
            "images": images,
            "labels": self._labels.tolist(),
            "train_idx": list(range(24)),
            "val_idx": list(range(24, 32)),
            "test_idx": list(range(32, 40)),
            "fold": 0,
            "params": self._params,
            "size": 32,
            "device": "cpu",
            "precision": "fp32",
            "weights": "none",
            "constraints": "sha256:" + "c" * 64,
        }
        asked |= {name: self._params.replace(**each) if name == "params" else each for name, each in changes.items()}
        return identity_of(train_key(**asked), device_name=device)

    def put_back(self) -> list[Path]:
        """The states as they were, the newest last."""
        shutil.rmtree(self.states, ignore_errors=True)
        shutil.copytree(self._whole, self.states)
        return sorted(self.states.iterdir())

    def go_on(self) -> str:
        """Train to the end from whatever is there; the digest of the weights."""
        return self._train(Resumable(folder=self.states, identity=self.identity, seconds=1e9))

    def _train(self, resumable: Resumable | None, *, stop_after: int | None = None) -> str:
        def step(progress: Progress) -> None:
            if stop_after is not None and progress.done > stop_after:
                raise _StoppedError

        rows = np.arange(40)
        result = train_fold(
            self._images,
            self._labels,
            train_idx=rows[:24],
            val_idx=rows[24:32],
            test_idx=rows[32:],
            fold=0,
            params=self._params,
            checkpoint_path=self._folder / "model.safetensors",
            cache=self._folder,
            on_step=step,
            resumable=resumable,
        )
        return result.digest


def main(argv: list[str] | None = None) -> int:
    """Damage, look, print."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-damaged-") as scratch:
        bench, random, account = Bench(Path(scratch), options), Random(options.seed), Account()
        names = sorted(path.name for path in bench.put_back()[-1].iterdir())
        damages = [(kind, name) for kind in _DAMAGES for name in names]
        foreign = _foreign(bench)
        for number in range(options.damages):
            if number % 4 == 3:
                kind = list(foreign)[number // 4 % len(foreign)]
                bench.put_back()
                _look(bench, foreign[kind], kind, damaged=2, account=account)
            else:
                kind, name = damages[number % len(damages)]
                both = number % 5 == 0
                states = bench.put_back()
                for state in states if both else states[-1:]:
                    _DAMAGES[kind](state / name, states[0] / name if state == states[1] else states[1] / name, random)
                _look(bench, bench.identity, kind, damaged=2 if both else 1, account=account)
                if number % _GONE_ON_WITH == 0:
                    account.gone_on_with += 1
                    if bench.go_on() != bench.digest:
                        account.faults.append(f"{kind} of {name}: the training ended with other weights")
    refused = sum(account.tried.values()) - len(account.loaded)
    report = {
        "schema": 1,
        "benchmark": "damaged_states",
        "settings": {"seed": options.seed, "architecture": options.architecture},
        "damages": dict(account.tried),
        "tried": sum(account.tried.values()),
        "refused": refused,
        "fell_back": account.fell_back,
        "started_anew": account.started_anew,
        "gone_on_with": account.gone_on_with,
        "loaded": account.loaded,
        "faults": account.faults,
        "ok": not account.loaded and not account.faults,
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _look(bench: Bench, identity: dict[str, str], kind: str, *, damaged: int, account: Account) -> None:
    """What is found of the states, of which the newest so many are damaged or foreign."""
    account.tried[kind] += 1
    states = sorted(bench.states.iterdir())
    found = latest_state(bench.states, identity)
    wanted = [state.name for state in reversed(states)][:damaged]
    if [next((name for name in wanted if name in words), "") for words in found.refused] != wanted:
        account.loaded.append(f"{kind}: refused {found.refused}, not {wanted}")
    if found.state is None:
        account.started_anew += 1
    else:
        account.fell_back += 1
    if (found.state is None) != (damaged == len(states)):
        account.faults.append(f"{kind}: {'nothing' if found.state is None else 'a state'} was found")


def _cut(path: Path, _: Path, random: Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: random.randrange(len(data))])


def _flip(path: Path, _: Path, random: Random) -> None:
    data = bytearray(path.read_bytes())
    place = random.randrange(len(data) * 8)
    data[place // 8] ^= 1 << place % 8
    path.write_bytes(bytes(data))


def _grow(path: Path, _: Path, random: Random) -> None:
    path.write_bytes(path.read_bytes() + random.randbytes(random.randint(1, 64)))


def _empty(path: Path, _: Path, __: Random) -> None:
    path.write_bytes(b"")


def _remove(path: Path, _: Path, __: Random) -> None:
    path.unlink()


def _swap(path: Path, other: Path, _: Random) -> None:
    # A copy is taken of the pristine one: both of a pair may be swapped.
    path.write_bytes(other.read_bytes() + (b" " if path.read_bytes() == other.read_bytes() else b""))


_DAMAGES: dict[str, Callable[[Path, Path, Random], None]] = {
    "cut": _cut,
    "bit flipped": _flip,
    "longer": _grow,
    "empty": _empty,
    "missing": _remove,
    "of the other state": _swap,
}


def _foreign(bench: Bench) -> dict[str, dict[str, str]]:
    """Identities of other trainings, by what is other."""
    code = dict(bench.identity, code="sha256:" + "0" * 64)
    return {
        "another fold": bench.named(fold=1),
        "other data": bench.named(images=[f"sha256:{row + 1:064x}" for row in range(40)]),
        "other labels": bench.named(labels=[0] * 40),
        "other code": code,
        "other parameters": bench.named(params={"learning_rate": 0.01}),
        "another seed": bench.named(params={"seed": 1}),
        "another thread count": bench.named(params={"threads": 2}),
        "another precision": bench.named(precision="bf16"),
        "other libraries": bench.named(constraints="sha256:" + "d" * 64),
        "another device": bench.named(device_name="another"),
        "other initial weights": bench.named(weights="imagenet:resnet34-b627a593.pth"),
    }


def _words(report: dict[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(report["damages"].items()))
    lines = [
        f"{report['refused']} of {report['tried']} refused by name: {kinds}",
        f"{report['fell_back']} fell back to the state before, {report['started_anew']} started anew; "
        f"{report['gone_on_with']} gone on with to the same bytes",
        *(f"  ✗ {fault}" for fault in (*report["loaded"], *report["faults"])),
    ]
    return "\n".join([*lines, "0 loaded" if report["ok"] else "FAILED"])


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--damages", type=int, default=240, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="of their places")
    parser.add_argument("--architecture", default="mobilenet_v2", help="as in params.yaml")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
