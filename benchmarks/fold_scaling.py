"""How k folds on n workers scale: one after the other, and in worker processes, with the same bits.

    python benchmarks/fold_scaling.py [--json] [--workers 2] [--folds 5] [--at-least 1.6] [--runner processes]

The same retrain on phantoms is run in two homes, each training on one thread: with ``CXR_RUNNER=sequential``, then with
the runner named. What is compared is the time from the first training's start to the last one's end. Exit code 1 where
a weight differs, or where the ratio is less than ``--at-least``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.retrains import Stand, trainings


def main(argv: list[str] | None = None) -> int:
    """Run both, compare, print."""
    options = _options(argv)
    with tempfile.TemporaryDirectory(prefix="cxr-folds-") as scratch:
        stand = Stand(folder=Path(scratch), images=options.images, settings=_settings(options))
        stand.draw()
        spans: dict[str, float] = {}
        weights: dict[str, dict[str, str]] = {}
        for runner in ("sequential", options.runner):
            stand.retrain(runner, CXR_RUNNER=runner, CXR_WORKERS=str(options.workers))
            runs = trainings(stand.folder / runner)
            spans[runner] = (max(int(run.ended_ms or 0) for run in runs) - runs[0].started_ms) / 1000
            weights[runner] = {run.tags["cxr.key"]: run.tags["cxr.weights"] for run in runs}
    ratio = spans["sequential"] / spans[options.runner]
    same = weights["sequential"] == weights[options.runner]
    report: dict[str, Any] = {
        "schema": 1,
        "benchmark": "fold_scaling",
        "settings": vars(options),
        "trainings": len(weights["sequential"]),
        "seconds": {name: round(value, 1) for name, value in spans.items()},
        "ratio": round(ratio, 3),
        "same_weights": same,
        "ok": same and ratio >= options.at_least,
    }
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def _settings(options: argparse.Namespace) -> tuple[str, ...]:
    return (
        "train.weights=none",
        f"train.architecture={options.architecture}",
        f"train.epochs={options.epochs}",
        "train.threads=1",
        f"prepare.size={options.size}",
        f"split.folds={options.folds}",
        "split.protocol=grouped",
        "evaluate.bootstrap=100",
        "explain.panels=1",
    )


def _words(report: dict[str, Any]) -> str:
    spans, settings = report["seconds"], report["settings"]
    same = "the same weights" if report["same_weights"] else "OTHER WEIGHTS"
    return (
        f"{report['trainings']} trainings: {spans['sequential']} s one after the other, {spans[settings['runner']]} s "
        f"on {settings['workers']} workers ({settings['runner']}): {report['ratio']:.2f} x, {same}"
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runner", default="processes", choices=["processes", "dask", "ray"])
    parser.add_argument("--workers", type=int, default=2, help="trainings at once")
    parser.add_argument("--folds", type=int, default=5, help="folds; the refit comes on top")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a training")
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=40, help="images a class")
    parser.add_argument("--architecture", default="resnet18", help="by torchvision's name")
    parser.add_argument("--at-least", type=float, default=0.0, help="least ratio")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
