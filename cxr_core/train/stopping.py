"""When a training stops early, and which epoch it keeps: validation losses in, two answers out.

Laws: only validation images decide; without patience every epoch is trained and the last is kept, as in the paper; the
answers follow from the finished epochs alone, so a training that goes on gives the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median_high

from cxr_core.train.progress import EpochResult

__all__ = ["exhausted", "kept_epoch", "refit_epochs"]


def kept_epoch(finished: Sequence[EpochResult], patience: int | None) -> int:
    """The epoch whose weights are kept, counted from 1: the first with the lowest validation loss, or the last.

    Args:
        finished: Every epoch so far, in order; at least one.
        patience: ``train.patience``.
    """
    losses = [math.inf if epoch.val_loss is None else epoch.val_loss for epoch in finished]
    if patience is None or all(math.isinf(loss) for loss in losses):
        return finished[-1].epoch
    return finished[losses.index(min(losses))].epoch


def exhausted(finished: Sequence[EpochResult], patience: int | None) -> bool:
    """Whether so many epochs in a row did not lower the validation loss."""
    if patience is None or not finished:
        return False
    return finished[-1].epoch - kept_epoch(finished, patience) >= patience


def refit_epochs(kept: Sequence[int]) -> int:
    """Epochs of a refit that has no validation images: the median of what the folds kept, the higher of two."""
    return median_high(kept)
