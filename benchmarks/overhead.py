"""What Prefect, MLflow and DVC add to the training they surround, and how long a retrain takes that has nothing to do.

    python benchmarks/overhead.py [--json] [--fold-seconds 300] [--share 0.02] [--no-op 10]

A retrain on phantoms is run, run again with nothing changed, and then its folds are trained by ``train_fold`` alone, in
this process. Costs that are the same for a short fold and a long one are measured and set against a fold of
``--fold-seconds``: what a training's MLflow run takes beyond its ``train_fold``, a saved state of ResNet-34 as often as
they are saved, and a fold's part of everything else that a retrain does when there is nothing to train. Exit code 1
where their share is more than ``--share``, or the second retrain takes more than ``--no-op`` seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.retrains import Stand, trainings

from cxr_core.params import read_params
from cxr_core.prepare.store import open_store
from cxr_core.split.folds import members, read_split
from cxr_core.train.fold import Resumable, train_fold

_STATE_SECONDS = 180.0  # tasks.resume's default


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with the marks."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-overhead-") as scratch:
        stand = Stand(folder=Path(scratch), images=options.images, settings=_settings(options))
        stand.draw()
        first = stand.retrain("home")
        no_op = min(stand.retrain("home") for _ in range(options.rounds))
        runs = trainings(stand.folder / "home")
        around = [(int(run.ended_ms or 0) - run.started_ms) / 1000 - run.metrics["training_seconds"] for run in runs]
        tracked = sum(run.metrics["training_seconds"] for run in runs)
        workspace = stand.folder / "home/workspaces/retrain-1"
        bare = sum(_bare(workspace, fold, stand.folder) for fold in (*range(len(runs) - 1), None))
        state = _state_cost(stand.folder)
    part = options.fold_seconds
    costs = {
        "mlflow_run": statistics.median(around),
        "states": state * part / _STATE_SECONDS,
        "everything_else": no_op / len(runs),
    }
    share = sum(costs.values()) / part
    report: dict[str, Any] = {
        "schema": 1,
        "benchmark": "overhead",
        "settings": vars(options),
        "seconds": {"first_retrain": round(first, 1), "no_op_retrain": round(no_op, 1), "saved_state": round(state, 2)},
        "trainings": len(runs),
        "tracked_to_bare_train_fold": round(tracked / bare, 3),
        "seconds_a_fold": {name: round(value, 2) for name, value in costs.items()},
        "share_of_a_fold": round(share, 4),
        "ok": share <= options.share and no_op <= options.no_op,
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _bare(workspace: Path, fold: int | None, folder: Path) -> float:
    """Seconds of one training without anything around it."""
    dealt, store = read_split(workspace), open_store(workspace)
    parts = members(dealt, fold)
    result = train_fold(
        store.images,
        dealt.labels,
        train_idx=parts.train,
        val_idx=parts.validation,
        test_idx=parts.test,
        fold=fold,
        params=read_params((workspace / "params.yaml").read_text(encoding="utf-8")).train,
        checkpoint_path=folder / "bare.safetensors",
        cache=folder,
    )
    return result.seconds


def _state_cost(folder: Path) -> float:
    """Seconds that one saved state of ResNet-34 adds to a training of two images."""
    params = read_params((Path(__file__).resolve().parents[1] / "params.yaml").read_text(encoding="utf-8")).train
    params = params.replace(weights="none", epochs=1, batch_size=2, precision="fp32")
    images, rows = np.zeros((2, 32, 32), np.uint8), np.arange(2)

    def seconds(resumable: Resumable | None) -> float:
        began = time.perf_counter()
        train_fold(
            images,
            rows,
            train_idx=rows,
            val_idx=rows[:0],
            test_idx=rows[:0],
            fold=None,
            params=params,
            checkpoint_path=folder / "state.safetensors",
            cache=folder,
            resumable=resumable,
        )
        return time.perf_counter() - began

    plain = min(seconds(None) for _ in range(3))
    saved = [seconds(_resumable(folder / f"states-{number}")) for number in range(3)]
    return max(0.0, statistics.median(saved) - plain)


def _resumable(folder: Path) -> Resumable:
    return Resumable(folder=folder, identity={"training": "bench"}, seconds=1e9)


def _settings(options: argparse.Namespace) -> tuple[str, ...]:
    return (
        "train.weights=none",
        "train.architecture=resnet34",
        f"train.epochs={options.epochs}",
        f"prepare.size={options.size}",
        "split.folds=3",
        "split.protocol=grouped",
        "evaluate.bootstrap=100",
        "explain.panels=1",
    )


def _words(report: dict[str, Any]) -> str:
    seconds, costs = report["seconds"], report["seconds_a_fold"]
    return (
        f"a retrain with nothing to do: {seconds['no_op_retrain']} s (the first took {seconds['first_retrain']} s)\n"
        f"around a fold: {costs['mlflow_run']} s for its MLflow run, {costs['states']} s for saved states, "
        f"{costs['everything_else']} s of the rest: {report['share_of_a_fold']:.2%} of a fold of "
        f"{report['settings']['fold_seconds']:.0f} s\n"
        f"train_fold under the tracker takes {report['tracked_to_bare_train_fold']:.3f} x what it takes alone"
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--fold-seconds", type=float, default=300.0, help="of the fold that costs are set against")
    parser.add_argument("--rounds", type=int, default=3, help="retrains that have nothing to do; the fastest counts")
    parser.add_argument("--epochs", type=int, default=2, help="epochs a training")
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=24, help="images a class")
    parser.add_argument("--share", type=float, default=1.0, help="largest share of a fold")
    parser.add_argument("--no-op", type=float, default=float("inf"), help="most seconds of a retrain without work")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
