"""Loss and speed of an epoch while it runs: each step's loss in, sums and progress out.

Law: the sum of losses does not depend on how often they are read from the device; one that is not finite stops the
training, naming its step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from cxr_core.errors import TrainingError
from cxr_core.train.progress import Position, Progress

__all__ = ["Meter", "refuse_not_finite"]


class Meter:
    """The account of one epoch.

    Args:
        start: Where the epoch begins, or goes on.
        steps: Steps an epoch.
        epochs: Epochs of the whole training.
        every: Steps after which losses are read from the device; reading waits until it has computed them.
        on_step: Called whenever they have been read.
    """

    def __init__(
        self, start: Position, *, steps: int, epochs: int, every: int, on_step: Callable[[Progress], None] | None
    ) -> None:
        self.done = (start.epoch - 1) * steps + start.step
        self.total = steps * epochs
        # Kept from the last step: what follows (validation) is not training.
        self.speed = 0.0
        self._start = start
        self._epochs = epochs
        self._every = every
        self._on_step = on_step
        self._began = time.perf_counter()
        self._images, self._loss_sum = start.images, start.loss_sum
        self._unread: list[tuple[torch.Tensor, int]] = []

    def add(self, loss: torch.Tensor, images: int) -> None:
        """Count a step.

        Raises:
            TrainingError: ``non_finite_loss``.
        """
        self._unread.append((loss, images))
        self.done += 1
        if len(self._unread) >= self._every:
            self.read()

    def read(self) -> None:
        """Read what the device has computed, and tell.

        Raises:
            TrainingError: ``non_finite_loss``.
        """
        if not self._unread:
            return
        losses: list[float] = torch.stack([loss for loss, _ in self._unread]).tolist()
        first = self.done - len(losses) + 1
        for step, (loss, (_, images)) in enumerate(zip(losses, self._unread, strict=True), start=first):
            refuse_not_finite(loss, "training", f" in epoch {self._start.epoch} at step {step}")
            self._images += images
            self._loss_sum += loss * images
        self._unread.clear()
        self.speed = (self._images - self._start.images) / (time.perf_counter() - self._began)
        if self._on_step is not None:
            self._on_step(
                Progress(
                    epoch=self._start.epoch,
                    epochs=self._epochs,
                    done=self.done,
                    total=self.total,
                    loss=self.loss,
                    images_per_second=self.speed,
                )
            )

    @property
    def position(self) -> Position:
        """Where the training stands; read first."""
        assert not self._unread
        return Position(
            epoch=self._start.epoch,
            step=self.done - (self._start.epoch - 1) * (self.total // self._epochs),
            images=self._images,
            loss_sum=self._loss_sum,
            finished=self._start.finished,
        )

    @property
    def loss(self) -> float:
        """Mean loss an image of the epoch so far."""
        return self._loss_sum / self._images


def refuse_not_finite(loss: float, which: str, where: str = "") -> None:
    """Stop at a loss that is NaN or infinite.

    Raises:
        TrainingError: ``non_finite_loss``.
    """
    if not math.isfinite(loss):
        raise TrainingError(
            f"Expected a finite {which} loss; found {loss}{where}.",
            reason="non_finite_loss",
            hint="Lower train.learning_rate, or run with --set train.precision=fp32.",
        )
