"""What training tells while it runs: an epoch's results, a step's progress, and where a training stands.

Values alone; nothing here trains, writes or logs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["EpochResult", "Position", "Progress", "TrainingState"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochResult:
    """One epoch.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean cross entropy an image, in nats, as met while the weights moved; with class weights, theirs.
        val_loss: Mean cross entropy an image, in nats; None without validation images.
        error_rate: Share of validation images named wrongly, [0, 1]; None without validation images.
        images_per_second: Training images, validation left out; of an epoch that was resumed, those since.
        seconds: The whole epoch; of one that was resumed, the part since.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    error_rate: float | None
    images_per_second: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """After a training step.

    Attributes:
        epoch: Counted from 1.
        epochs: Of the whole training, should it not stop early.
        done: Steps of the whole training, this one included.
        total: Steps of the whole training.
        loss: Mean training loss an image of this epoch so far, in nats.
        images_per_second: Of this epoch so far.
    """

    epoch: int
    epochs: int
    done: int
    total: int
    loss: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """How far a training has come, between two steps.

    Attributes:
        epoch: The epoch under way, counted from 1.
        step: Steps done in it.
        images: Training images seen in it.
        loss_sum: Cross entropy summed over them, in nats.
        finished: The epochs before it.
    """

    epoch: int
    step: int
    images: int
    loss_sum: float
    finished: tuple[EpochResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingState:
    """Everything that the rest of a training depends on, beside what its key names.

    The order of the images is no part of it: each epoch's follows from the seed and the epoch's number alone.

    Attributes:
        position: How far it has come.
        weights: The network's state by name: parameters and running statistics.
        optimiser: Adam's moments and step counts, by ``<number of the parameter>.<name>``.
        random: The state of torch's generator (dropout, stochastic depth), uint8.
        best: The weights that early stopping would keep now; empty without it, and before the first epoch's end.
    """

    position: Position
    weights: dict[str, torch.Tensor]
    optimiser: dict[str, torch.Tensor]
    random: torch.Tensor
    best: dict[str, torch.Tensor]
