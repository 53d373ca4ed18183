"""A fold's network and rows of the store in, probabilities and frozen features out: what the network makes of images.

Features are what the network's head reads: the last convolutional maps (n, K, h, w), averaged over their positions.

Legend: n images, S pixels a side, K channels, C = 3 classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.model.network import UsedPrecision, probabilities

__all__ = ["Look", "look"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Look:
    """What a network made of some rows: rows (n,), probabilities float64 (n, C), features float32 (n, K)."""

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    features: NDArray[np.float32]


def look(
    network: nn.Module,
    layer: nn.Module,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    precision: UsedPrecision,
    batch_size: int,
) -> Look:
    """Show a network some rows of the store, once.

    Args:
        network: In evaluation mode or not; its mode is put back.
        layer: The module of it whose maps are the features.
        images: uint8 (N, S, S), the whole store.
        rows: Which of them (n,), possibly none.
        precision: Of the forward pass.
        batch_size: Images a forward pass.
    """
    seen: list[NDArray[np.float32]] = []

    def keep(_module: nn.Module, _inputs: tuple[torch.Tensor, ...], maps: torch.Tensor) -> None:
        seen.append(maps.detach().float().mean(dim=(2, 3)).numpy())  # (b, K, h, w) to (b, K)

    hook = layer.register_forward_hook(keep)
    try:
        scores = probabilities(network, images[rows], precision=precision, batch_size=batch_size)
    finally:
        hook.remove()
    features = np.concatenate(seen) if seen else np.empty((0, 0), dtype=np.float32)
    assert len(features) == len(scores) == len(rows)
    assert scores.shape[1] == len(CLASSES)
    return Look(rows=rows, probabilities=scores, features=features)
