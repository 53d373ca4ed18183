"""Train the same folds in bfloat16 and in float32 and compare what they get right, image by image.

    python benchmarks/precision.py [--sources DIR] [--home DIR] [--json] [--size 112] [--epochs 3] [--seeds 2]

The cohort and its folds are made of the sources by the real stages, with the paper's quotas, patient-grouped. Then,
seed by seed, every fold is trained in both precisions, from the same initial weights, on the same images in the same
order, and each tests the images that it never saw, so that every image of the cohort has two verdicts. Reported: both
accuracies, their difference with its 95 % interval (bootstrap of whole patients) and McNemar's exact test; and as a
measure of what is nothing, the same between two seeds in one precision. ``--home`` keeps what the stages made for the
next time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.place import clone

from cxr_core.model.network import has_fast_bf16
from cxr_core.params import TrainParams, read_params
from cxr_core.prepare.store import open_store
from cxr_core.split.folds import members, read_split
from cxr_core.stats.bootstrap import cluster_replicates, studentised_interval
from cxr_core.stats.paired import mcnemar
from cxr_core.train.fold import train_fold

Precision = Literal["bf16", "fp32"]
Verdicts = NDArray[np.bool_]

# The real data stages; what it prints last is the workspace.
_STAGES = """
import sys
from tasks.curate import curate
from tasks.ingest import ingest
from tasks.prepare import prepare
from tasks.run import open_run
from tasks.split import split
with open_run(sys.argv[1:], program="benchmark", folder=None, unpinned=False) as run:
    ingest.fn(run)
    curate.fn(run)
    prepare.fn(run)
    split.fn(run)
    print(run.path)
"""
_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """Every fold of one seed in one precision."""

    seed: int
    precision: Precision
    right: Verdicts
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Make the data, train, compare."""
    options = _options(argv)
    if not options.sources:
        print(json.dumps({"benchmark": "precision", "skipped": "needs real X-rays: --sources DIR, or CXR_SOURCES"}))
        return 0
    with tempfile.TemporaryDirectory(prefix="cxr-precision-") as scratch:
        home = Path(options.home or scratch).absolute()
        workspace = _stages(home, options)
        if options.only_data:
            print(workspace)
            return 0
        trained = [
            _train(workspace, Path(scratch), options, seed=seed, precision=precision)
            for seed in range(options.seeds)
            for precision in ("bf16", "fp32")
        ]
        groups = list(read_split(workspace).groups)
    report = _report(options, trained, groups)
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0


def _stages(home: Path, options: argparse.Namespace) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    checkout = clone(home / "checkout")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CXR_", "MLFLOW", "PREFECT"))}
    sets = (f"prepare.size={options.size}", "split.protocol=grouped", f"split.folds={options.folds}")
    done = subprocess.run(
        [sys.executable, "-c", _STAGES, *sets],
        cwd=checkout,
        env={**kept, "CXR_HOME": str(home / "home"), "CXR_SOURCES": str(Path(options.sources).absolute())},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(done.stdout.splitlines()[-1])


def _train(workspace: Path, scratch: Path, options: argparse.Namespace, *, seed: int, precision: Precision) -> Trained:
    """Train and test every fold."""
    store, dealt, params = open_store(workspace), read_split(workspace), _params(workspace, options)
    right = np.zeros(len(dealt.labels), dtype=np.bool_)
    began = time.perf_counter()
    for fold in range(dealt.folds):
        parts = members(dealt, fold)
        result = train_fold(
            store.images,
            dealt.labels,
            train_idx=parts.train,
            val_idx=np.empty(0, dtype=np.int64),
            test_idx=parts.test,
            fold=fold,
            params=params.replace(seed=seed, precision=precision),
            checkpoint_path=scratch / "model.safetensors",
            cache=scratch,
        )
        right[parts.test] = result.predictions.argmax(axis=1) == dealt.labels[parts.test]
    one = Trained(seed=seed, precision=precision, right=right, seconds=time.perf_counter() - began)
    if not options.json:
        print(f"seed {seed} {precision} {right.mean():.4f} in {one.seconds:.0f} s", flush=True)
    return one


def _params(workspace: Path, options: argparse.Namespace) -> TrainParams:
    text = (workspace / "params.yaml").read_text(encoding="utf-8")
    changes = {"architecture": options.architecture, "weights": "none", "epochs": options.epochs, "device": "cpu"}
    return read_params(text).train.replace(**changes, threads=options.threads)


def _report(options: argparse.Namespace, trained: list[Trained], groups: list[str]) -> dict[str, Any]:
    of = {(one.precision, one.seed): one for one in trained}
    seeds = range(options.seeds)
    both = [_compared(of["bf16", seed].right, of["fp32", seed].right, groups) for seed in seeds]
    pooled = _difference([of["bf16", seed].right for seed in seeds], [of["fp32", seed].right for seed in seeds], groups)
    nothing = [
        {"precision": precision, "seeds": [one, other]}
        | _compared(of[precision, other].right, of[precision, one].right, groups)
        for precision in ("bf16", "fp32")
        for one, other in pairwise(seeds)
    ]
    return {
        "schema": 1,
        "benchmark": "precision",
        "settings": {
            name: getattr(options, name) for name in ("architecture", "size", "epochs", "folds", "seeds", "threads")
        },
        "native_bf16": has_fast_bf16(),
        "images": len(groups),
        "patients": len(set(groups)),
        "accuracy": {
            precision: [float(of[precision, seed].right.mean()) for seed in seeds] for precision in ("bf16", "fp32")
        },
        "bf16_minus_fp32": pooled,
        "by_seed": both,
        "between_seeds": nothing,
        "ratios": {
            "seconds_fp32_to_bf16": round(
                sum(of["fp32", seed].seconds for seed in seeds) / sum(of["bf16", seed].seconds for seed in seeds), 2
            )
        },
    }


def _compared(first: Verdicts, second: Verdicts, groups: list[str]) -> dict[str, Any]:
    test = mcnemar(first.tolist(), second.tolist())
    counts = {"only_first": test.only_first, "only_second": test.only_second, "p": test.p}
    return {"mcnemar": counts, **_difference([first], [second], groups)}


def _difference(first: list[Verdicts], second: list[Verdicts], groups: list[str]) -> dict[str, float]:
    """Mean difference of accuracy over pairs, with limits by resampling patients."""
    each = np.mean([a.astype(np.float64) - b for a, b in zip(first, second, strict=True)], axis=0)  # (N,)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ each / weights.sum(axis=1)

    replicates = cluster_replicates(groups, [mean], resamples=_RESAMPLES, rng=np.random.default_rng(2021))[0]
    value, n = float(each.mean()), len(set(groups))
    limits = studentised_interval(value, replicates, groups=n, confidence=_CONFIDENCE)
    return {"difference": value, "low": limits.low, "high": limits.high}


def _words(report: dict[str, Any]) -> str:
    def points(found: dict[str, Any]) -> str:
        return f"{100 * found['difference']:+.2f} points [{100 * found['low']:+.2f}, {100 * found['high']:+.2f}]"

    def split(found: dict[str, Any]) -> str:
        counts = found["mcnemar"]
        return (
            f"{points(found)}, only one right {counts['only_first']} : {counts['only_second']}, p = {counts['p']:.3f}"
        )

    lines = [f"{report['images']} images of {report['patients']} patients, each tested by a fold that never saw it"]
    for seed, found in enumerate(report["by_seed"]):
        accuracies = " ".join(f"{name} {values[seed]:.4f}" for name, values in report["accuracy"].items())
        lines.append(f"seed {seed}: {accuracies}; bf16 - fp32 {split(found)}")
    lines.append(f"all seeds: bf16 - fp32 {points(report['bf16_minus_fp32'])}")
    lines += [
        f"seed {found['seeds'][1]} - seed {found['seeds'][0]} in {found['precision']}: {split(found)}"
        for found in report["between_seeds"]
    ]
    lines.append(f"fp32 took {report['ratios']['seconds_fp32_to_bf16']} times as long")
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", default=os.environ.get("CXR_SOURCES"), help="folder of the four sources")
    parser.add_argument("--home", help="folder for what the data stages make; kept")
    parser.add_argument("--only-data", action="store_true", help="run the data stages and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--architecture", default="resnet18", help="as in params.yaml")
    parser.add_argument("--size", type=int, default=112, help="side of the images, pixels")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each fold")
    parser.add_argument("--folds", type=int, default=5, help="folds")
    parser.add_argument("--seeds", type=int, default=2, help="how many seeds, from 0")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
