"""A network, images and row numbers in, one ``EpochResult`` an epoch out; the network is trained in place.

The paper's protocol: cross entropy, Adam, no augmentation, a fixed number of epochs, no early stop. The loop knows no
tracker and no disk: it yields, the caller logs.

Laws: the same network, images, rows, parameters and seed give the same weights to the last bit on the same kind of CPU
and number of threads, however often the training was stopped and went on from a state; the caller's random state,
thread count and determinism switches are as before whenever a result is yielded.

Shapes: N images, S pixels a side, b images a batch; labels are indices into ``CLASSES``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.utils import deterministic

from cxr_core.digests import digest_value
from cxr_core.errors import TrainingError
from cxr_core.model.network import UsedPrecision, autocast, resolve_precision, to_input
from cxr_core.params import TrainParams
from cxr_core.train.progress import EpochResult, Position, Progress, TrainingState

__all__ = ["EpochResult", "Progress", "batches", "derive_seed", "fit", "reproducible"]

Rows = NDArray[np.integer]


def fit(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    train_idx: Rows,
    val_idx: Rows | None,
    params: TrainParams,
    order_seed: int,
    on_step: Callable[[Progress], None] | None = None,
    state: TrainingState | None = None,
    on_state: Callable[[TrainingState], None] | None = None,
    state_seconds: float = 60.0,
) -> Iterator[EpochResult]:
    """Train in place, yielding after each epoch.

    Args:
        network: As ``build`` makes it.
        images: uint8 (N, S, S), may be memory-mapped.
        labels: int (N,).
        train_idx: Rows that train.
        val_idx: Rows that validate; None or empty for a refit.
        params: Epochs, batch size, learning rate, precision, threads.
        order_seed: Fixes the order of the images in every epoch, and what dropout draws.
        on_step: Called after each training step.
        state: Where an earlier call had come to; its finished epochs are yielded again first. None begins anew.
        on_state: Called with the state after a training step, about every ``state_seconds`` and at the very end. Its
            tensors are the training's own: keep copies.
        state_seconds: Least time between two states, in seconds.

    Raises:
        TrainingError: ``too_few_images`` (batch normalisation needs two) or ``non_finite_loss``.
    """
    if len(train_idx) < 2:
        raise TrainingError(f"Expected at least 2 training images; found {len(train_idx)}.", reason="too_few_images")
    precision = resolve_precision(params.precision)
    # fused: one pass over memory for Adam's update instead of a dozen.
    optimiser = torch.optim.Adam(network.parameters(), lr=params.learning_rate, fused=True)
    random = _generator_state(derive_seed(order_seed, "random"))
    position = Position(epoch=1, step=0, images=0, loss_sum=0.0, finished=())
    if state is not None:
        position, random = state.position, state.random
        network.load_state_dict(state.weights)
        _restore(optimiser, state.optimiser)
    yield from position.finished
    steps = len(batches(train_idx, params.batch_size))
    last_state = time.monotonic()
    while position.epoch <= params.epochs:
        began = time.perf_counter()
        cuts = batches(_shuffled(train_idx, order_seed, position.epoch), params.batch_size)
        meter = _Meter(position, steps=steps, epochs=params.epochs, on_step=on_step)
        with reproducible(threads=params.threads), torch.random.fork_rng(devices=[]):
            torch.set_rng_state(random)
            for rows in cuts[position.step :]:
                meter.add(_step(network, optimiser, images[rows], labels[rows], precision, meter), len(rows))
                due = time.monotonic() - last_state >= state_seconds or meter.done == meter.total
                if on_state is not None and due:
                    on_state(_capture(network, optimiser, meter.position))
                    last_state = time.monotonic()
            random = torch.get_rng_state()
            val_loss, error_rate = _validate(network, images, labels, val_idx, precision, params.batch_size)
        result = EpochResult(
            epoch=position.epoch,
            train_loss=meter.loss,
            val_loss=val_loss,
            error_rate=error_rate,
            images_per_second=meter.speed,
            seconds=time.perf_counter() - began,
        )
        position = Position(
            epoch=position.epoch + 1, step=0, images=0, loss_sum=0.0, finished=(*position.finished, result)
        )
        yield result


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


@contextmanager
def reproducible(*, threads: int) -> Generator[None]:
    """Deterministic kernels on a fixed number of threads; everything is put back afterwards."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    fill = deterministic.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]  (set on the module's class)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling every new tensor with NaN finds bugs in kernels, changes no result and costs time.
    deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        deterministic.fill_uninitialized_memory = fill  # pyright: ignore[reportAttributeAccessIssue]


class _Meter:
    """Loss and speed of an epoch, while it runs."""

    def __init__(self, start: Position, *, steps: int, epochs: int, on_step: Callable[[Progress], None] | None) -> None:
        self.epoch = start.epoch
        self.done = (start.epoch - 1) * steps + start.step
        self.total = steps * epochs
        self._start = start
        self._on_step = on_step
        self._began = time.perf_counter()
        self._step = start.step
        self._images = start.images
        self._loss_sum = start.loss_sum
        # Kept from the last step: what follows (validation) is not training.
        self.speed = 0.0

    def add(self, loss: float, images: int) -> None:
        self._images += images
        self._loss_sum += loss * images
        self._step += 1
        self.done += 1
        self.speed = (self._images - self._start.images) / (time.perf_counter() - self._began)
        if self._on_step is not None:
            self._on_step(Progress(epoch=self.epoch, done=self.done, total=self.total, images_per_second=self.speed))

    @property
    def position(self) -> Position:
        return Position(
            epoch=self.epoch,
            step=self._step,
            images=self._images,
            loss_sum=self._loss_sum,
            finished=self._start.finished,
        )

    @property
    def loss(self) -> float:
        return self._loss_sum / self._images


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.integer],
    precision: UsedPrecision,
    meter: _Meter,
) -> float:
    network.train()
    with autocast(precision):
        logits = network(to_input(pixels))  # (b, 3)
    loss = F.cross_entropy(logits.float(), _targets(labels))
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"Expected a finite training loss; found {value} in epoch {meter.epoch} at step {meter.done + 1}.",
            reason="non_finite_loss",
            hint="Lower train.learning_rate, or run with --set train.precision=fp32.",
        )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return value


def _validate(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    rows: Rows | None,
    precision: UsedPrecision,
    batch_size: int,
) -> tuple[float | None, float | None]:
    if rows is None or len(rows) == 0:
        return None, None
    network.eval()
    loss_sum, wrong = 0.0, 0
    with torch.inference_mode(), autocast(precision):
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            logits = network(to_input(images[some])).double()  # (b, 3)
            targets = _targets(labels[some])
            loss_sum += F.cross_entropy(logits, targets, reduction="sum").item()
            wrong += int((logits.argmax(dim=1) != targets).sum())
    loss = loss_sum / len(rows)
    if not math.isfinite(loss):
        raise TrainingError(
            f"Expected a finite validation loss; found {loss}.",
            reason="non_finite_loss",
            hint="Lower train.learning_rate, or run with --set train.precision=fp32.",
        )
    return loss, wrong / len(rows)


def _shuffled(rows: Rows, order_seed: int, epoch: int) -> Rows:
    """An epoch's order, from its number alone: a training that goes on needs no memory of the epochs before."""
    generator = torch.Generator().manual_seed(derive_seed(order_seed, "epoch", epoch))
    return np.asarray(rows)[torch.randperm(len(rows), generator=generator).numpy()]


def _generator_state(seed: int) -> torch.Tensor:
    return torch.Generator().manual_seed(seed).get_state()


def _capture(network: nn.Module, optimiser: torch.optim.Optimizer, position: Position) -> TrainingState:
    moments = {
        f"{number}.{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }
    return TrainingState(
        position=position, weights=network.state_dict(), optimiser=moments, random=torch.get_rng_state()
    )


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


def _targets(labels: NDArray[np.integer]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
