"""Train the same fold several times, each in a process of its own, and compare the bytes of the weights.

    python benchmarks/determinism.py [--json] [--times 5] [--architecture resnet34] [--size 96] [--images 64]

Each process builds the network, trains a fold with validation and saves its checkpoint, as a retrain does; what is
compared is the SHA-256 of the file and the probabilities of the test images. Two more processes show that the
comparison can fail: another seed, and another number of threads. Exit code 1 where the weights are not the same every
time, or where another seed gives them too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def main(argv: list[str] | None = None) -> int:
    """Train, compare, print."""
    options = _options(argv)
    if options.one:
        print(json.dumps(one(options)))
        return 0
    same = [_in_a_process(options) for _ in range(options.times)]
    seed, threads = _in_a_process(options, seed=options.seed + 1), _in_a_process(options, threads=options.threads + 1)
    first = same[0]
    report = {
        "schema": 1,
        "benchmark": "determinism",
        "settings": {name: getattr(options, name) for name in ("architecture", "size", "images", "epochs", "threads")},
        "precision": first["precision"],
        "device": first["device"],
        "times": options.times,
        "identical": sum(each == first for each in same),
        "weights": first["weights"],
        "another_seed_is_other": seed["weights"] != first["weights"],
        "another_thread_count_is_other": threads["weights"] != first["weights"],
    }
    report["ok"] = report["identical"] == options.times and report["another_seed_is_other"]
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def one(options: argparse.Namespace) -> dict[str, str]:
    """Train one fold of random images; its weights' and predictions' digests."""
    import numpy as np

    from cxr_core.params import read_params
    from cxr_core.train.device import device_name, open_device
    from cxr_core.train.fold import train_fold

    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    params = read_params(text).train.replace(
        architecture=options.architecture,
        weights="none",
        epochs=options.epochs,
        precision=options.precision,
        threads=options.threads,
        seed=options.seed,
    )
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (options.images, options.size, options.size), dtype=np.uint8)
    rows = np.arange(options.images)
    train, rest = rows[: options.images * 3 // 5], rows[options.images * 3 // 5 :]
    with tempfile.TemporaryDirectory() as scratch:
        result = train_fold(
            images,
            random.integers(0, 3, options.images),
            train_idx=train,
            val_idx=rest[: len(rest) // 2],
            test_idx=rest[len(rest) // 2 :],
            fold=0,
            params=params,
            checkpoint_path=Path(scratch) / "model.safetensors",
            cache=Path(scratch),
        )
    return {
        "weights": result.digest,
        "predictions": hashlib.sha256(result.predictions.tobytes()).hexdigest(),
        "precision": result.precision,
        "device": device_name(open_device(params.device)),
    }


def _in_a_process(options: argparse.Namespace, **changes: int) -> dict[str, str]:
    asked = vars(options) | changes | {"one": True}
    words = [
        word
        for name in ("architecture", "size", "images", "epochs", "threads", "seed", "precision")
        for word in (f"--{name}", str(asked[name]))
    ]
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words],
        check=True,
        capture_output=True,
        text=True,
        env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
    )
    found: dict[str, str] = json.loads(done.stdout)
    if not options.json:
        print(f"{' '.join(f'{name} {value}' for name, value in changes.items()) or 'again':12} {found['weights']}")
    return found


def _words(report: dict[str, Any]) -> str:
    return (
        f"{report['identical']} of {report['times']} identical: {report['settings']['architecture']} in "
        f"{report['precision']} on {report['device']}, {report['settings']['threads']} threads; "
        f"another seed gives other weights: {report['another_seed_is_other']}; another number of threads: "
        f"{report['another_thread_count_is_other']}"
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--times", type=int, default=5, help="processes that train the same")
    parser.add_argument("--architecture", default="resnet34", help="as in params.yaml")
    parser.add_argument("--size", type=int, default=96, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=64, help="images, of which three fifths train")
    parser.add_argument("--epochs", type=int, default=2, help="epochs")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"], help="of the training")
    parser.add_argument("--seed", type=int, default=2021, help="of the training")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
