"""One training in memory: its network, optimiser, images and random state on a device, moved a step at a time.

Comes in: what ``fit`` was given. Goes out: losses, validation results, and the state to go on from. Law: a trainer made
from a captured state takes the same steps, bit by bit, as the one that was captured.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from cxr_core.errors import TrainingError
from cxr_core.model.architectures import facts
from cxr_core.model.network import UsedPrecision, autocast, normalised, resolve_precision
from cxr_core.params import TrainParams
from cxr_core.train.device import (
    Feed,
    fresh_random,
    open_device,
    random_state,
    reproducible,
    resolve_device,
    set_random_state,
    side_stream,
)
from cxr_core.train.meter import refuse_not_finite
from cxr_core.train.order import Rows, batches, derive_seed, shuffled
from cxr_core.train.progress import EpochResult, Position, TrainingState
from cxr_core.train.recipe import class_weights, freeze, learning_rates, optimiser_of, set_learning_rate
from cxr_core.train.step import EagerStep, GraphedStep, Recorder, Step
from cxr_core.train.stopping import kept_epoch

__all__ = ["Trainer"]


class Trainer:
    """A training under way.

    Args:
        network: As ``build`` makes it; moved to its device.
        images: uint8 (N, S, S), may be memory-mapped.
        labels: int (N,).
        train_idx: Rows that train.
        val_idx: Rows that validate; may be empty.
        params: ``train`` of params.yaml.
        order_seed: Fixes the order of the images, and what dropout draws.
        state: Where an earlier one had come to; None begins anew.
        record: Records steps as a CUDA graph; None takes each step eagerly.

    Raises:
        TrainingError: ``no_cuda`` or ``not_deterministic``.
    """

    def __init__(
        self,
        network: nn.Module,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        *,
        train_idx: Rows,
        val_idx: Rows,
        params: TrainParams,
        order_seed: int,
        state: TrainingState | None,
        record: Recorder | None,
    ) -> None:
        self._params, self._order_seed, self._train, self._validation = params, order_seed, train_idx, val_idx
        self._device = open_device(params.device)
        self._precision: UsedPrecision = resolve_precision(params.precision, device=resolve_device(params.device))
        self._network = network.to(self._device)
        self._feed = Feed(images, labels, rows=np.concatenate([train_idx, val_idx]), device=self._device)
        self._optimiser = optimiser_of(network, params, graphed=record is not None)
        self._record = record
        self._stream = torch.cuda.Stream(self._device) if record and self._device.type == "cuda" else None
        outputs = len(network.get_parameter(f"{facts(params.architecture).head}bias"))
        weights = class_weights(params, labels[train_idx], classes=outputs)
        self._class_weights = None if weights is None else weights.to(self._device)
        self.steps = len(batches(train_idx, params.batch_size))
        self._rates = learning_rates(params, steps=self.steps)
        self._step: Step | None = None
        self._frozen: bool | None = None
        self._random = fresh_random(derive_seed(order_seed, "random"), self._device)
        self._best: dict[str, torch.Tensor] = {}
        self.position = Position(epoch=1, step=0, images=0, loss_sum=0.0, finished=())
        if state is not None:
            self._go_on(state)

    @property
    def reads_every(self) -> int:
        """Steps between two readings of the loss: reading waits until the device has computed it."""
        return 1 if self._device.type == "cpu" else 16

    def order(self, epoch: int) -> list[Rows]:
        """The batches of an epoch, counted from 1."""
        return batches(shuffled(self._train, self._order_seed, epoch), self._params.batch_size)

    @contextmanager
    def epoch(self, number: int) -> Generator[None]:
        """Take steps of an epoch, counted from 1, within; the process's own random state and switches come back."""
        self._freeze(number <= self._params.frozen_epochs)
        devices = [] if self._device.type == "cpu" else [self._device]
        with (
            reproducible(threads=self._params.threads, device=self._device),
            torch.random.fork_rng(devices=devices),
            side_stream(self._device, self._stream),
        ):
            set_random_state(self._random, self._device)
            yield

    def step(self, rows: Rows, *, number: int) -> torch.Tensor:
        """Train on a batch; its mean loss, float32 (), which may still be on its way.

        Args:
            rows: The batch.
            number: Steps of the whole training before this one.

        Raises:
            TrainingError: ``out_of_memory`` or ``not_deterministic``.
        """
        assert self._step is not None
        if self._rates is not None:
            set_learning_rate(self._optimiser, self._rates[number])
        try:
            return self._step(*self._feed.batch(rows))
        except RuntimeError as error:
            if refusal := _refusal(error, self._params):
                raise refusal from error
            raise

    def validate(self) -> tuple[float | None, float | None]:
        """Mean loss in nats and error rate of the validation images; None, None where there are none.

        Raises:
            TrainingError: ``non_finite_loss``.
        """
        # What validation draws, were it to draw, is no part of training.
        self._random = random_state(self._device)
        if not len(self._validation):
            return None, None
        self._network.eval()
        loss_sum, wrong = 0.0, 0
        with torch.inference_mode(), autocast(self._precision, device=self._device.type):
            for rows in _cut(self._validation, self._params.batch_size):
                grey, targets = self._feed.batch(rows)
                logits = self._network(normalised(grey)).double()  # (b, C)
                loss_sum += F.cross_entropy(logits, targets, reduction="sum").item()
                wrong += int((logits.argmax(dim=1) != targets).sum())
        loss = loss_sum / len(self._validation)
        refuse_not_finite(loss, "validation")
        return loss, wrong / len(self._validation)

    def keep_best(self, finished: tuple[EpochResult, ...]) -> None:
        """Keep a copy of the weights where the epoch just finished is the best one so far."""
        patience = self._params.patience
        if patience is not None and len(self._validation) and kept_epoch(finished, patience) == finished[-1].epoch:
            self._best = {name: value.detach().clone() for name, value in self._network.state_dict().items()}

    def take_best(self) -> None:
        """Give the network the weights that are kept; without early stopping those are what it has."""
        if self._best:
            self._network.load_state_dict(self._best)

    def capture(self, position: Position) -> TrainingState:
        """The state after a step. Its tensors are the training's own, which the next step changes."""
        moments = {
            f"{number}.{name}": value
            for number, values in self._optimiser.state_dict()["state"].items()
            for name, value in values.items()
        }
        return TrainingState(
            position=position,
            weights=self._network.state_dict(),
            optimiser=moments,
            random=random_state(self._device),
            best=self._best,
        )

    def _freeze(self, frozen: bool) -> None:
        if frozen == self._frozen:
            return
        self._frozen = frozen
        freeze(self._network, self._params, frozen=frozen)
        eager = EagerStep(
            network=self._network,
            optimiser=self._optimiser,
            precision=self._precision,
            weights=self._class_weights,
            frozen=frozen,
        )
        self._step = eager if self._record is None else GraphedStep(eager, record=self._record)

    def _go_on(self, state: TrainingState) -> None:
        self.position, self._best = state.position, state.best
        self._network.load_state_dict(state.weights)
        _restore(self._optimiser, state.optimiser)
        # Another kind of device has another kind of generator: a state of the first means nothing to the second.
        if state.random.shape == self._random.shape:
            self._random = state.random


def _restore(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        of = parameters[int(number)]
        # In the parameter's own order of memory, as Adam made them: its fused update reads both side by side.
        moments.setdefault(int(number), {})[name] = (
            torch.empty_like(of).copy_(value) if value.shape == of.shape else value
        )
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})


def _refusal(error: RuntimeError, params: TrainParams) -> TrainingError | None:
    """What PyTorch could not do, in words of ours; None where it is something else."""
    found = " ".join(str(error).split())[:300]
    if isinstance(error, torch.OutOfMemoryError):
        return TrainingError(
            f"Expected {params.architecture} to train {params.batch_size} images at a time; found: {found}",
            reason="out_of_memory",
            hint="Lower train.batch_size, or CXR_FOLDS_PER_GPU where several folds share a GPU.",
        )
    if "deterministic" in found:
        return TrainingError(
            f"Expected {params.architecture} to give the same bits every time; found: {found}",
            reason="not_deterministic",
            hint="Choose another architecture or image size, or run with --set train.device=cpu.",
        )
    return None


def _cut(rows: Rows, batch_size: int) -> list[Rows]:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
