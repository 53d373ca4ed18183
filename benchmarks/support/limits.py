"""What the machine could do at best: its fastest matrix product, and what a network costs in such products."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["gflop_an_image", "matrix_products"]

_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def matrix_products(side: int, *, times: int = 3) -> dict[str, Callable[[], float]]:
    """By precision, a function that multiplies two square matrices a few times and gives the best GFLOP/s."""
    return {name: _product(side, kind, times) for name, kind in _TYPES.items()}


def _product(side: int, kind: torch.dtype, times: int) -> Callable[[], float]:
    left, right = (torch.randn(side, side).to(kind) for _ in range(2))

    def best() -> float:
        seconds = float("inf")
        for _ in range(times):
            began = time.perf_counter()
            left @ right
            seconds = min(seconds, time.perf_counter() - began)
        return 2 * side**3 / seconds / 1e9

    best()  # kernels are chosen and buffers made
    return best


def gflop_an_image(network: nn.Module, size: int) -> float:
    """GFLOP of the products of one image's forward and backward pass: ResNet-34 at 224 pixels has 22."""
    images = torch.zeros(2, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(images), torch.zeros(2, dtype=torch.long)).backward()
    return counter.get_total_flops() / 2 / 1e9
