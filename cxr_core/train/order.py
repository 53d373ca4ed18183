"""Which images a step trains on: a seed and row numbers in, batches out, the same on every machine.

Laws: an epoch's order follows from the seed and the epoch's number alone, so a training that goes on needs no memory of
the epochs before; each row is in one batch an epoch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_core.digests import digest_value

__all__ = ["Rows", "batches", "derive_seed", "shuffled"]

Rows = NDArray[np.integer]


def batches(rows: Rows, batch_size: int) -> list[Rows]:
    """Rows cut into batches, each row once; the short last batch is kept (781 images: 48 of 16 and one of 13).

    A last batch of one image joins the one before it: batch normalisation has no variance over one image, and no
    image may be dropped.
    """
    cuts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    if len(cuts) > 1 and len(cuts[-1]) == 1:
        cuts[-2:] = [np.concatenate(cuts[-2:])]
    return cuts


def derive_seed(seed: int, *words: str | int) -> int:
    """A seed for one use of a run's seed, in [0, 2**63): unrelated for different words, the same on every machine."""
    return int(digest_value([seed, *words]).removeprefix("sha256:")[:16], 16) >> 1


def shuffled(rows: Rows, order_seed: int, epoch: int) -> Rows:
    """The rows in the order of an epoch, counted from 1."""
    generator = torch.Generator().manual_seed(derive_seed(order_seed, "epoch", epoch))
    return np.asarray(rows)[torch.randperm(len(rows), generator=generator).numpy()]
