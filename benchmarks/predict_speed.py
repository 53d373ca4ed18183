"""What an answer costs beside the network's bare forward pass: one image warm, and a batch.

    python benchmarks/predict_speed.py [--json] [--rounds 40] [--pixels 1024] [--at-most 1.15]

One seeded ResNet-34 answers for the same JPEG file in turn: the bare forward pass in PyTorch, on a tensor that is
ready; the same with normalisations folded into convolutions, which is what ours runs; ``Classifier.predict`` on the
file's bytes, which checks, decodes and scales them first (what ``cxr predict`` and a served model call); the same on
the row of a store; and the bare forward pass in onnxruntime where it is installed (``pip install -e '.[bench]'``). Then
batches of sixteen. Median and 90th percentile in milliseconds; exit code 1 where the median for one file is more than
``--at-most`` times the bare pass.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.rivals import write_jpegs

from cxr_core.model import checkpoint
from cxr_core.model.folding import folded
from cxr_core.model.inference import Classifier
from cxr_core.model.network import autocast, build, resolve_precision, to_input

Answer = Callable[[], Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with ``--at-most``."""
    options = _options(argv)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_jpegs(Path(folder), images=1, pixels=options.pixels)
        path = Path(folder) / "model.safetensors"
        used = resolve_precision(options.precision)
        about = checkpoint.About(architecture=options.architecture, size=options.size, precision=used)
        checkpoint.save(path, build(options.architecture, seed=0), about)
        classifier = Classifier.load(path)
        report = {
            "schema": 1,
            "benchmark": "predict_speed",
            "settings": vars(options) | {"precision": used},
            "one": _timed(_answers(classifier, file.read_bytes(), 1, Path(folder), options), options.rounds),
            "sixteen": _timed(_answers(classifier, file.read_bytes(), 16, Path(folder), options), options.rounds // 4),
        }
    ratio = report["one"]["file"]["p50_ms"] / report["one"]["bare"]["p50_ms"]
    report |= {"file_to_bare": round(ratio, 3), "ok": ratio <= options.at_most}
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 0 if report["ok"] else 1


def _answers(
    classifier: Classifier, data: bytes, images: int, folder: Path, options: argparse.Namespace
) -> dict[str, Answer]:
    rows = classifier.preprocess([data] * images)
    x = to_input(rows)

    def bare() -> torch.Tensor:
        with torch.inference_mode(), autocast(classifier.precision):
            return classifier.network(x)

    light = folded(classifier.network)

    def bare_folded() -> torch.Tensor:
        with torch.inference_mode(), autocast(classifier.precision):
            return light(x)

    answers: dict[str, Answer] = {
        "bare": bare,
        "folded": bare_folded,
        "file": lambda: classifier.predict([data] * images),
        "pixels": lambda: classifier.predict_store(rows),
        "decoding": lambda: classifier.preprocess([data] * images),
    }
    if find_spec("onnxruntime") and find_spec("onnx"):
        answers["onnxruntime"] = _onnx(classifier, x, folder, options.threads)
    return answers


def _onnx(classifier: Classifier, x: torch.Tensor, folder: Path, threads: int) -> Answer:
    import onnxruntime

    path = folder / f"model-{len(x)}.onnx"
    with warnings.catch_warnings():
        # The exporter that needs no further package is called deprecated.
        warnings.simplefilter("ignore")
        torch.onnx.export(classifier.network, (x.contiguous(),), str(path), dynamo=False)
    wanted = onnxruntime.SessionOptions()
    wanted.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), wanted, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: x.contiguous().numpy()}
    return lambda: session.run(None, feed)


def _timed(answers: dict[str, Answer], rounds: int) -> dict[str, dict[str, float]]:
    """Each in turn, so that a busy machine slows all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in answers}
    for turn in range(rounds + 3):
        for name, answer in answers.items():
            began = time.perf_counter()
            answer()
            if turn >= 3:  # kernels are chosen and buffers made
                seconds[name].append(time.perf_counter() - began)
    return {
        name: {
            "p50_ms": round(1000 * statistics.median(values), 2),
            "p90_ms": round(1000 * float(np.quantile(values, 0.9)), 2),
        }
        for name, values in seconds.items()
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'':14}{'one image, ms':>22}{'sixteen, ms':>24}", f"{'':14}{'p50':>11}{'p90':>11}{'p50':>13}{'p90':>11}"]
    for name, one in report["one"].items():
        many = report["sixteen"][name]
        lines.append(f"{name:14}{one['p50_ms']:11}{one['p90_ms']:11}{many['p50_ms']:13}{many['p90_ms']:11}")
    return "\n".join([*lines, f"A file's answer takes {report['file_to_bare']:.2f} x the bare forward pass."])


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=224, help="side of the network's input, pixels")
    parser.add_argument("--pixels", type=int, default=1024, help="side of the JPEG file, pixels")
    parser.add_argument("--rounds", type=int, default=40, help="answers, of which the median counts")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--architecture", default="resnet34", help="by torchvision's name")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"])
    parser.add_argument("--at-most", type=float, default=float("inf"), help="largest ratio of a file to the bare pass")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
