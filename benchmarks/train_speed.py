"""Training speed on this machine's CPU: ours beside the loops in use, and beside what the machine could do at best.

    python benchmarks/train_speed.py [--json] [--rounds 3] [--at-least 2.1] [--share 0.75] [--outside 0.03]

The rivals read JPEG files, as people do: PyTorch with a PIL DataLoader, fastai's ``vision_learner`` and Lightning's
``Trainer`` (``pip install -e '.[bench]'``); their clock starts when a round's first batch is done. By then a loader has
decoded four batches ahead, so a round is about as long as a fold's epoch: in one of five batches no decoding is timed.
The plain loops and ours have the same pictures as pixels in memory, ours packed as a store is. Same architecture,
batch, optimiser and cores for all; what differs is in the names.

Variants take turns, round by round, and the machine's best matrix product is measured between them, so that a busy
machine slows all of them alike; speeds are medians, a ratio is the median of the rounds' ratios. The limit is the
faster of the bf16 and fp32 products divided by the GFLOP of an image's forward and backward pass. ``outside`` is the
share of an epoch of ours that is no forward pass, backward pass or optimiser step. A plain round that lasts longer than
``--limit`` seconds ends early and is that variant's last: emulated bfloat16 is some twenty times slower than float32.
Exit code 1 where the slowest ratio to a rival, the share of the limit or what is outside misses its mark.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read once, when torch is imported; for every loop what the command line sets for itself.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.limits import gflop_an_image, matrix_products
from support.loops import Pixels, ours, passes, plain
from support.rivals import RIVALS, Job, write_jpegs

from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.model.network import build, has_fast_bf16, resolve_precision
from cxr_core.params import TrainParams, read_params

OURS = "ours"


@dataclass(slots=True)
class Variant:
    """One loop, advanced a round at a time; its first round warms it up."""

    name: str
    rounds: Iterator[tuple[int, float]]
    speeds: list[float] = field(default_factory=list[float])
    done: bool = False

    def advance(self, *, limit_seconds: float) -> None:
        """Run and time one round."""
        images, seconds = next(self.rounds)
        self.speeds.append(images / seconds)
        self.done = seconds > limit_seconds


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with the marks."""
    options = _options(argv)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        files = write_jpegs(Path(folder), images=options.images, pixels=options.pixels)
        labels = [number % 3 for number in range(len(files))]
        images = np.stack([resize(decode(path.read_bytes()).pixels, options.size) for path in files])
        pixels = Pixels(images=images, labels=np.array(labels), params=_params(options), limit=options.limit)
        job = Job(
            files=files,
            labels=labels,
            size=options.size,
            batch=options.batch,
            workers=options.workers,
            architecture=options.architecture,
        )
        report = _measure(pixels, job, options)
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 0 if report["ok"] else 1


def _measure(pixels: Pixels, job: Job, options: argparse.Namespace) -> dict[str, Any]:
    variants = [
        *(Variant(name, loop(job)) for name, loop in RIVALS.items()),
        Variant("plain_fp32", plain(pixels, bf16=False, channels_last=False)),
        Variant("plain_fp32_channels_last", plain(pixels, bf16=False, channels_last=True)),
        Variant("plain_bf16_channels_last", plain(pixels, bf16=True, channels_last=True)),
        Variant(OURS, ours(pixels)),
    ]
    for variant in variants:
        next(variant.rounds)
    products = matrix_products(options.product)
    gflops: dict[str, float] = dict.fromkeys(products, 0.0)
    parts: list[dict[str, float]] = []
    for turn in range(options.rounds):
        for variant in (each for each in variants if not each.done):
            variant.advance(limit_seconds=options.limit)
            gflops = {name: max(gflops[name], product()) for name, product in products.items()}
            if not options.json:
                print(f"round {turn + 1}  {variant.name:26} {variant.speeds[-1]:7.2f} images/s", flush=True)
        parts.append(passes(pixels))
    return _report(variants, gflops, parts, options)


def _report(
    variants: list[Variant], gflops: dict[str, float], parts: list[dict[str, float]], options: argparse.Namespace
) -> dict[str, Any]:
    speed = {variant.name: statistics.median(variant.speeds) for variant in variants}
    mine = variants[-1].speeds
    ratios = {f"ours_to_{each.name}": _ratio(mine, each.speeds) for each in variants if each.name != OURS}
    rivals = {name: ratios[f"ours_to_{name}"] for name in RIVALS}
    gflop = gflop_an_image(build(options.architecture, seed=0), options.size)
    limits = {name: value / gflop for name, value in gflops.items()}
    used = resolve_precision(options.precision)
    share = speed[OURS] / max(limits.values())
    outside = statistics.median(1 - sum(v for k, v in each.items() if k != "whole") / each["whole"] for each in parts)
    report: dict[str, Any] = {
        "schema": 2,
        "benchmark": "train_speed",
        "machine": {
            "cpu": torch.cpu.get_capabilities().get("cpu_name", ""),
            "kernels": torch.backends.cpu.get_cpu_capability(),
            "fast_bf16": has_fast_bf16(),
            "threads": options.threads,
            "torch": torch.__version__,
        },
        "settings": {
            "architecture": options.architecture,
            "size_pixels": options.size,
            "images_a_round": options.images,
            "batch": options.batch,
            "file_pixels": options.pixels,
            "loader_workers": options.workers,
            "ours_precision": used,
        },
        "images_per_second": {
            variant.name: {"median": round(speed[variant.name], 2), "rounds": [round(v, 2) for v in variant.speeds]}
            for variant in variants
        },
        "ratios": ratios | {"ours_to_fastest_rival": min(rivals.values())},
        "limit": {
            "gflop_an_image": round(gflop, 3),
            "gflop_per_second": {name: round(value, 1) for name, value in gflops.items()},
            "images_per_second": {name: round(value, 2) for name, value in limits.items()},
            "share": round(share, 3),
            "share_of_own_precision": round(speed[OURS] / limits[used], 3),
        },
        "outside_passes": round(outside, 4),
    }
    marks = (min(rivals.values()) >= options.at_least, share >= options.share, outside <= options.outside)
    return report | {"ok": all(marks)}


def _ratio(ours_speeds: list[float], other_speeds: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours_speeds, other_speeds, strict=False)), 3)


def _table(report: dict[str, Any]) -> str:
    lines = [f"\n{'':28}images/s   ours is"]
    for name, value in report["images_per_second"].items():
        ratio = report["ratios"].get(f"ours_to_{name}")
        shown = f"{ratio:5.2f} x" if ratio else ""
        lines.append(f"{name:28}{value['median']:8.2f}   {shown}")
    limit, machine, settings = report["limit"], report["machine"], report["settings"]
    products = ", ".join(f"{value:.0f} in {name}" for name, value in limit["gflop_per_second"].items())
    lines.append(
        f"\n{machine['cpu']} ({machine['kernels']}), {machine['threads']} threads; ours ran in "
        f"{settings['ours_precision']}.\nBest matrix product, GFLOP/s: {products}; {limit['gflop_an_image']:.1f} GFLOP "
        f"an image; ours is {limit['share']:.2f} of the limit.\n"
        f"Outside forward, backward and step: {report['outside_passes']:.1%} of an epoch."
    )
    return "\n".join(lines)


def _params(options: argparse.Namespace) -> TrainParams:
    text = (Path(__file__).resolve().parents[1] / "params.yaml").read_text(encoding="utf-8")
    changes: dict[str, Any] = {
        "architecture": options.architecture,
        "weights": "none",
        "epochs": options.rounds,
        "batch_size": options.batch,
        "device": "cpu",
        "precision": options.precision,
        "threads": options.threads,
        "seed": 0,
    }
    return read_params(text).train.replace(**changes)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=224, help="side of the network's input, pixels")
    parser.add_argument("--pixels", type=int, default=1024, help="side of the JPEG files, pixels")
    parser.add_argument("--images", type=int, default=320, help="images a round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--batch", type=int, default=16, help="images a batch")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--workers", type=int, default=2, help="processes of the rivals' loaders")
    parser.add_argument("--product", type=int, default=2048, help="side of the matrices of the limit")
    parser.add_argument("--architecture", default="resnet34", choices=["resnet18", "resnet34", "resnet50"])
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"], help="of ours")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds after which a plain round ends")
    parser.add_argument("--at-least", type=float, default=0.0, help="least ratio of ours to each rival")
    parser.add_argument("--share", type=float, default=0.0, help="least share of the machine's limit")
    parser.add_argument("--outside", type=float, default=1.0, help="largest share outside the passes")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
