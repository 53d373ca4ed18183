"""The loops over pixels in memory: ours, ours with a stopwatch at its passes, and plain PyTorch in three forms.

Each yields (0, 0.0) when it is warm, then (images, seconds) a round; a round is one pass over the images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from cxr_core.model.network import build
from cxr_core.model.vision import models
from cxr_core.params import TrainParams
from cxr_core.train.loop import fit

__all__ = ["Pixels", "ours", "passes", "plain"]

Rounds = Iterator[tuple[int, float]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pixels:
    """What every loop trains: uint8 (N, S, S), labels (N,), and how.

    Attributes:
        limit: Seconds after which a plain round ends early.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    params: TrainParams
    limit: float


def ours(pixels: Pixels) -> Rounds:
    """``cxr_core.train.loop.fit``; a round is an epoch without validation."""
    network = _warm(pixels)
    rows = np.arange(len(pixels.images))
    yield 0, 0.0
    epochs = fit(
        network,
        pixels.images,
        pixels.labels,
        train_idx=rows,
        val_idx=None,
        params=pixels.params,
        order_seed=0,
    )
    while True:
        began = time.perf_counter()
        next(epochs)
        yield len(rows), time.perf_counter() - began


def passes(pixels: Pixels) -> dict[str, float]:
    """Seconds of one epoch of ours by part: forward, backward, optimiser step, and the whole epoch."""
    network = _warm(pixels)
    spent = {"forward": 0.0, "backward": 0.0, "step": 0.0}
    one = pixels.params.replace(epochs=1)
    rows = np.arange(len(pixels.images))
    with _stopwatch(network, spent):
        began = time.perf_counter()
        list(fit(network, pixels.images, pixels.labels, train_idx=rows, val_idx=None, params=one, order_seed=0))
        whole = time.perf_counter() - began
    return spent | {"whole": whole}


def plain(pixels: Pixels, *, bf16: bool, channels_last: bool) -> Rounds:
    """The textbook loop without files."""
    params = pixels.params
    torch.manual_seed(0)
    network: nn.Module = models.get_model(params.architecture, num_classes=3)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def step(rows: NDArray[np.int64]) -> None:
        x = (torch.from_numpy(pixels.images[rows]).float().div(255)[:, None].expand(-1, 3, -1, -1) - mean) / std
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(x), torch.from_numpy(pixels.labels[rows]))
        loss.backward()
        optimiser.step()
        loss.item()

    network.train()
    step(np.arange(min(len(pixels.images), params.batch_size)))  # kernels are chosen and buffers made
    yield 0, 0.0
    while True:
        order = torch.randperm(len(pixels.images)).numpy()
        began, seen = time.perf_counter(), 0
        for start in range(0, len(order), params.batch_size):
            step(rows := order[start : start + params.batch_size])
            seen += len(rows)
            if time.perf_counter() - began > pixels.limit:
                break
        yield seen, time.perf_counter() - began


def _warm(pixels: Pixels) -> nn.Module:
    """A network that one batch has been through."""
    params = pixels.params
    network = build(params.architecture, seed=0)
    rows = np.arange(min(len(pixels.images), params.batch_size))
    one = params.replace(epochs=1)
    list(fit(network, pixels.images, pixels.labels, train_idx=rows, val_idx=None, params=one, order_seed=0))
    return network


@contextmanager
def _stopwatch(network: nn.Module, spent: dict[str, float]) -> Generator[None]:
    """Add up what the passes take, whatever loop runs them."""
    began: dict[str, float] = {}

    def start(name: str) -> Callable[..., None]:
        return lambda *_: began.update({name: time.perf_counter()})

    def stop(name: str) -> Callable[..., None]:
        def add(*_: Any) -> None:
            spent[name] += time.perf_counter() - began[name]

        return add

    backward = torch.Tensor.backward

    def timed(self: torch.Tensor, *args: Any, **options: Any) -> None:
        start("backward")()
        backward(self, *args, **options)
        stop("backward")()

    hooks = [
        network.register_forward_pre_hook(start("forward")),
        network.register_forward_hook(stop("forward")),
        register_optimizer_step_pre_hook(start("step")),
        register_optimizer_step_post_hook(stop("step")),
    ]
    torch.Tensor.backward = timed  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
