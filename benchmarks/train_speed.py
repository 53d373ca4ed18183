"""Training speed on this machine's CPU: ours beside the loops one would write by hand, in one run.

    python benchmarks/train_speed.py [--json] [--size 224] [--images 16] [--rounds 5] [--at-least 0.95]

Every variant trains the same seeded ResNet on the same random grey images with Adam; making the batch is part of the
time. Variants take turns, round by round, so that a busy machine slows all of them alike; speeds are medians, and a
ratio is the median of the rounds' ratios. CPU seconds an image say the same with less noise. A round that lasts longer
than ``--limit`` seconds ends early and is that variant's last: emulated bfloat16 is some twenty times slower than
float32.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read once, when torch is imported. Threads that spin while they wait take the cores from each other: on a busy machine
# sleeping was ten times faster, on an idle one it costs nothing that shows.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.model.network import build, has_fast_bf16, resolve_precision
from cxr_core.model.vision import models
from cxr_core.params import TrainParams
from cxr_core.train.loop import fit

OURS = "ours"


@dataclass(slots=True)
class Variant:
    """One loop, advanced a round at a time; it yields how many images the round trained, first 0 for its warm-up."""

    name: str
    rounds: Iterator[int]
    speeds: list[float] = field(default_factory=list[float])
    cpu_seconds: list[float] = field(default_factory=list[float])
    done: bool = False

    def advance(self, *, limit_seconds: float) -> None:
        """Run and time one round."""
        wall, cpu = time.perf_counter(), time.process_time()
        images = next(self.rounds)
        seconds = time.perf_counter() - wall
        self.speeds.append(images / seconds)
        self.cpu_seconds.append((time.process_time() - cpu) / images)
        self.done = seconds > limit_seconds


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with ``--at-least``."""
    options = _options(argv)
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (options.images, options.size, options.size), dtype=np.uint8)
    labels = random.integers(0, 3, options.images)
    variants = [
        Variant("plain_fp32", plain(images, labels, options, bf16=False, channels_last=False)),
        Variant("plain_fp32_channels_last", plain(images, labels, options, bf16=False, channels_last=True)),
        Variant("plain_bf16_channels_last", plain(images, labels, options, bf16=True, channels_last=True)),
        Variant(OURS, ours(images, labels, options)),
    ]
    for variant in variants:
        next(variant.rounds)
    for turn in range(options.rounds):
        for variant in (each for each in variants if not each.done):
            variant.advance(limit_seconds=options.limit)
            if not options.json:
                print(f"round {turn + 1}  {variant.name:26} {variant.speeds[-1]:7.2f} images/s", flush=True)
    report = _report(variants, options)
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 0 if report["ratios"]["ours_to_fastest_plain"] >= options.at_least else 1


def plain(
    images: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    options: argparse.Namespace,
    *,
    bf16: bool,
    channels_last: bool,
) -> Iterator[int]:
    """The textbook loop; a round is one pass over the images."""
    torch.manual_seed(0)
    network = getattr(models, options.architecture)(num_classes=3)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def step(rows: np.ndarray[Any, Any]) -> None:
        x = (torch.from_numpy(images[rows]).float().div(255)[:, None].expand(-1, 3, -1, -1) - mean) / std
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(x), torch.from_numpy(labels[rows]))
        loss.backward()
        optimiser.step()
        loss.item()

    network.train()
    step(np.arange(2))  # kernels are chosen and buffers made
    yield 0
    while True:
        order = torch.randperm(len(images)).numpy()
        began, seen = time.perf_counter(), 0
        for start in range(0, len(order), options.batch):
            step(rows := order[start : start + options.batch])
            seen += len(rows)
            if time.perf_counter() - began > options.limit:
                break
        yield seen


def ours(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], options: argparse.Namespace) -> Iterator[int]:
    """``cxr_core.train.loop.fit``; a round is an epoch without validation."""
    params = TrainParams(
        architecture=options.architecture,
        weights="none",
        epochs=options.rounds,
        batch_size=options.batch,
        learning_rate=1e-3,
        precision=options.precision,
        threads=options.threads,
        seed=0,
    )
    network = build(options.architecture, seed=0)
    warm = params.model_copy(update={"epochs": 1})
    rows = np.arange(len(images))
    list(fit(network, images, labels, train_idx=rows[:2], val_idx=None, params=warm, order_seed=0))
    yield 0
    for _ in fit(network, images, labels, train_idx=rows, val_idx=None, params=params, order_seed=0):
        yield len(images)


def _report(variants: list[Variant], options: argparse.Namespace) -> dict[str, Any]:
    speed = {variant.name: statistics.median(variant.speeds) for variant in variants}
    cpu = torch.cpu.get_capabilities()
    (mine,) = (variant for variant in variants if variant.name == OURS)
    ratios = {
        f"ours_to_{variant.name}": _ratio(mine.speeds, variant.speeds) for variant in variants if variant.name != OURS
    }
    ratios["ours_to_fastest_plain"] = min(ratios.values())
    return {
        "schema": 1,
        "benchmark": "train_speed",
        "machine": {
            "cpu": cpu.get("cpu_name", ""),
            "kernels": torch.backends.cpu.get_cpu_capability(),
            "native_bf16": has_fast_bf16(),
            "threads": options.threads,
            "torch": torch.__version__,
        },
        "settings": {
            "architecture": options.architecture,
            "size_pixels": options.size,
            "images_a_round": options.images,
            "batch": options.batch,
            "ours_precision": resolve_precision(options.precision),
        },
        "images_per_second": {
            variant.name: {"median": round(speed[variant.name], 2), "rounds": [round(v, 2) for v in variant.speeds]}
            for variant in variants
        },
        "cpu_seconds_per_image": {
            variant.name: round(statistics.median(variant.cpu_seconds), 3) for variant in variants
        },
        "ratios": ratios,
    }


def _ratio(ours_speeds: list[float], plain_speeds: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours_speeds, plain_speeds, strict=False)), 3)


def _table(report: dict[str, Any]) -> str:
    lines = [f"\n{'':28}images/s   ours is   CPU s/image"]
    for name, value in report["images_per_second"].items():
        ratio = report["ratios"].get(f"ours_to_{name}")
        shown = f"{ratio:5.2f} x" if ratio else ""
        lines.append(f"{name:28}{value['median']:8.2f}   {shown:8}{report['cpu_seconds_per_image'][name]:13.3f}")
    machine, used = report["machine"], report["settings"]["ours_precision"]
    native = "multiplies bf16 itself" if machine["native_bf16"] else "emulates bf16"
    lines.append(
        f"\n{machine['cpu']} ({machine['kernels']}) {native}; ours ran in {used} on {machine['threads']} threads."
    )
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--images", type=int, default=16, help="images a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts")
    parser.add_argument("--batch", type=int, default=16, help="images a batch")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--architecture", default="resnet34", choices=["resnet18", "resnet34", "resnet50"])
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"], help="of ours")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds after which a round ends")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit 1 where ours to the fastest is less")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
