"""A network, images and row numbers in, one ``EpochResult`` an epoch out; the network is trained in place.

The paper's protocol: cross entropy, Adam, no augmentation, a fixed number of epochs, no early stop; ``recipe`` and
``stopping`` hold what the parameters may choose instead. The loop knows no tracker and no disk: it yields, the caller
logs.

Laws: the same network, images, rows, parameters and seed give the same weights to the last bit on the same kind of CPU
and number of threads, however often the training was stopped and went on from a state; the caller's random state,
thread count and determinism switches are as before whenever a result is yielded.

Shapes: N images, S pixels a side, b images a batch; labels are indices into ``CLASSES``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_core.errors import TrainingError
from cxr_core.params import TrainParams
from cxr_core.train.device import reproducible, resolve_device
from cxr_core.train.meter import Meter
from cxr_core.train.order import Rows, batches, derive_seed
from cxr_core.train.progress import EpochResult, Position, Progress, TrainingState
from cxr_core.train.step import record_on_cuda
from cxr_core.train.stopping import exhausted
from cxr_core.train.trainer import Trainer

__all__ = ["EpochResult", "Progress", "batches", "derive_seed", "fit", "reproducible"]


def fit(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    train_idx: Rows,
    val_idx: Rows | None,
    params: TrainParams,
    order_seed: int,
    epochs: int | None = None,
    on_step: Callable[[Progress], None] | None = None,
    state: TrainingState | None = None,
    on_state: Callable[[TrainingState], None] | None = None,
    state_seconds: float = 60.0,
) -> Iterator[EpochResult]:
    """Train in place, yielding after each epoch; after the last one the network has the weights that are kept.

    Args:
        network: As ``build`` makes it; on CUDA it is moved there.
        images: uint8 (N, S, S), may be memory-mapped.
        labels: int (N,).
        train_idx: Rows that train.
        val_idx: Rows that validate; None or empty for a refit.
        params: ``train`` of params.yaml.
        order_seed: Fixes the order of the images in every epoch, and what dropout draws.
        epochs: Stop after so many epochs of the schedule; None trains ``params.epochs``.
        on_step: Called after each training step; on CUDA after each sixteenth.
        state: Where an earlier call had come to; its finished epochs are yielded again first. None begins anew.
        on_state: Called with the state after a training step, about every ``state_seconds`` and at the very end. Its
            tensors are the training's own: keep copies.
        state_seconds: Least time between two states, in seconds.

    Raises:
        TrainingError: ``too_few_images`` (batch normalisation needs two), ``non_finite_loss``, ``no_cuda`` or
            ``not_deterministic``.
    """
    if len(train_idx) < 2:
        raise TrainingError(f"Expected at least 2 training images; found {len(train_idx)}.", reason="too_few_images")
    graphed = params.cuda_graphs and resolve_device(params.device) == "cuda"
    trainer = Trainer(
        network,
        images,
        labels,
        train_idx=train_idx,
        val_idx=np.empty(0, dtype=np.int64) if val_idx is None else val_idx,
        params=params,
        order_seed=order_seed,
        state=state,
        record=record_on_cuda if graphed else None,
    )
    position = trainer.position
    yield from position.finished
    last_state = time.monotonic()
    last_epoch = params.epochs if epochs is None else epochs
    while position.epoch <= last_epoch and not exhausted(position.finished, params.patience):
        began = time.perf_counter()
        meter = Meter(position, steps=trainer.steps, epochs=last_epoch, every=trainer.reads_every, on_step=on_step)
        with trainer.epoch(position.epoch):
            for rows in trainer.order(position.epoch)[position.step :]:
                meter.add(trainer.step(rows, number=meter.done), len(rows))
                due = time.monotonic() - last_state >= state_seconds or meter.done == meter.total
                if on_state is not None and due:
                    meter.read()
                    on_state(trainer.capture(meter.position))
                    last_state = time.monotonic()
            meter.read()
            val_loss, error_rate = trainer.validate()
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
        trainer.keep_best(position.finished)
        yield result
    trainer.take_best()
