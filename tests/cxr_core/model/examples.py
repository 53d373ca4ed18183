"""Small inputs for tests of networks: separable images, and a network that trains in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def striped_images(n: int, *, size: int = 32, seed: int = 7) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a bright band whose place tells the class: uint8 (n, size, size) and labels (n,)."""
    random = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 3
    images = random.integers(0, 120, (n, size, size), dtype=np.uint8)
    band = size // 3
    for image, label in zip(images, labels, strict=True):
        image[label * band : (label + 1) * band] += 100
    return images, labels


class SmallNetwork(nn.Module):
    """Convolution, batch norm, pooling and a head called ``fc``, as the ResNets have."""

    def __init__(self, *, seed: int = 0, width: int = 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(3, width, 3, stride=2, bias=False)
            self.bn = nn.BatchNorm2d(width)
            self.pool = nn.AdaptiveAvgPool2d((3, 1))
            self.fc = nn.Linear(3 * width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.pool(torch.relu(self.bn(self.conv(x)))).flatten(1))


def equal_states(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same weights and statistics, to the last bit."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
