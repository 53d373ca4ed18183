"""One fold, or the refit on what is not held out, from pixels to a checkpoint and predictions of images it never saw.

Laws: no row is in two of train, validation and test; the initial weights depend on the seed alone and the order of
images on seed and fold, so that folds differ in their data only; the checkpoint is the last epoch's, as in the paper,
unless ``train.patience`` asks for the one that did best on the validation images; test images decide nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.errors import TrainingError
from cxr_core.model import checkpoint
from cxr_core.model.folding import folded
from cxr_core.model.network import UsedPrecision, build, probabilities, resolve_precision
from cxr_core.model.weights import WeightsRecord, load_initial
from cxr_core.params import TrainParams
from cxr_core.train.device import open_device, reproducible, resolve_device
from cxr_core.train.loop import fit
from cxr_core.train.order import Rows, derive_seed
from cxr_core.train.progress import EpochResult, Position, Progress, TrainingState
from cxr_core.train.states import latest_state, save_state
from cxr_core.train.stopping import kept_epoch

__all__ = ["FoldResult", "Resumable", "start", "train_fold"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumable:
    """How a training survives its process.

    Attributes:
        folder: Where its states go; this training's own.
        identity: Whose they are, as ``identity_of`` says: a state with another is never used.
        may_differ: Names in which the identity of a state that is gone on from may be another.
        seconds: Least time between two states, in seconds.
        on_resumed: Called with where training goes on, before its first step.
        on_refused: Called with a sentence for each state that could not be used.
    """

    folder: Path
    identity: Mapping[str, str]
    may_differ: frozenset[str] = frozenset()
    seconds: float = 60.0
    on_resumed: Callable[[Position], None] | None = None
    on_refused: Callable[[str], None] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldResult:
    """What training a fold gave.

    Attributes:
        fold: Its number; None for the refit.
        epochs: Every epoch, in order.
        kept: The epoch whose weights are the checkpoint's, counted from 1.
        predictions: float64 (n_test, 3), in the order of ``test_idx``.
        checkpoint: The safetensors file.
        digest: ``sha256:<hex>`` of its bytes.
        weights: What the network started from.
        precision: The one used.
        seconds: From pixels to predictions.
    """

    fold: int | None
    epochs: tuple[EpochResult, ...]
    kept: int
    predictions: NDArray[np.float64]
    checkpoint: Path
    digest: str
    weights: WeightsRecord
    precision: UsedPrecision
    seconds: float


def train_fold(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    *,
    train_idx: Rows,
    val_idx: Rows,
    test_idx: Rows,
    fold: int | None,
    params: TrainParams,
    checkpoint_path: Path,
    cache: Path,
    registry: Callable[[str], Path] | None = None,
    classes: tuple[str, ...] = CLASSES,
    epochs: int | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
    on_step: Callable[[Progress], None] | None = None,
    resumable: Resumable | None = None,
) -> FoldResult:
    """Train, save, predict.

    Args:
        images: uint8 (N, S, S), may be memory-mapped.
        labels: int (N,), indices into ``classes``.
        train_idx: Rows that train.
        val_idx: Rows that validate; empty for a refit.
        test_idx: Rows that are predicted; for a refit those held out, or none.
        fold: The fold's number; None for the refit.
        params: ``train`` of params.yaml.
        checkpoint_path: Where the safetensors file goes.
        cache: Folder for downloaded weights.
        registry: Resolves ``MODEL@ALIAS`` to a checkpoint file.
        classes: What the network learns to tell apart.
        epochs: Stop after so many epochs; None trains as the parameters say.
        on_epoch: Called after each epoch; where training goes on, with the finished ones first.
        on_step: Called after each training step.
        resumable: Where states are kept and looked for; None keeps none.

    Raises:
        TrainingError: ``rows_shared``, ``rows_outside``, ``too_few_images``, ``non_finite_loss``, ``no_cuda`` or
            ``not_deterministic``.
        WeightsError: The initial weights cannot be had.
    """
    began = time.perf_counter()
    _check_rows({"train": train_idx, "validation": val_idx, "test": test_idx}, n=len(labels), stored=len(images))
    device = open_device(params.device)
    network, weights = start(params, cache=cache, registry=registry, n_classes=len(classes))
    precision = resolve_precision(params.precision, device=resolve_device(params.device))
    state = _state(resumable)
    finished: list[EpochResult] = []
    for result in fit(
        network,
        images,
        labels,
        train_idx=train_idx,
        val_idx=val_idx,
        params=params,
        order_seed=derive_seed(params.seed, "order", "refit" if fold is None else fold),
        epochs=epochs,
        on_step=on_step,
        state=state,
        on_state=None if resumable is None else lambda each: _keep(resumable, each),
        state_seconds=resumable.seconds if resumable else 0.0,
    ):
        finished.append(result)
        if on_epoch is not None:
            on_epoch(result)
    about = checkpoint.About(
        architecture=params.architecture, size=int(images.shape[1]), precision=precision, classes=classes
    )
    digest = checkpoint.save(checkpoint_path, network, about)
    with reproducible(threads=params.threads, device=device):
        # As the classifier answers, to the last bit.
        answering = folded(network.eval())
        predictions = probabilities(answering, images[test_idx], precision=precision, batch_size=params.batch_size)
    return FoldResult(
        fold=fold,
        epochs=tuple(finished),
        kept=kept_epoch(finished, params.patience),
        predictions=predictions,
        checkpoint=checkpoint_path,
        digest=digest,
        weights=weights,
        precision=precision,
        seconds=time.perf_counter() - began,
    )


def start(
    params: TrainParams,
    *,
    cache: Path,
    registry: Callable[[str], Path] | None = None,
    n_classes: int = len(CLASSES),
) -> tuple[nn.Module, WeightsRecord]:
    """The network every fold starts from.

    Raises:
        WeightsError: The initial weights cannot be had.
    """
    network = build(params.architecture, seed=derive_seed(params.seed, "init"), n_classes=n_classes)
    return network, load_initial(
        network, params.weights, architecture=params.architecture, cache=cache, registry=registry
    )


def _state(resumable: Resumable | None) -> TrainingState | None:
    if resumable is None:
        return None
    found = latest_state(resumable.folder, resumable.identity, may_differ=resumable.may_differ)
    for words in found.refused:
        if resumable.on_refused is not None:
            resumable.on_refused(words)
    if found.state is not None and resumable.on_resumed is not None:
        resumable.on_resumed(found.state.position)
    return found.state


def _keep(resumable: Resumable, state: TrainingState) -> None:
    save_state(resumable.folder, state, resumable.identity)


def _check_rows(parts: dict[str, Rows], *, n: int, stored: int) -> None:
    if n != stored:
        raise TrainingError(f"Expected one label an image; found {n} for {stored}.", reason="rows_outside")
    for name, rows in parts.items():
        if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= n):
            raise TrainingError(
                f"Expected {name} rows in 0 .. {n - 1}; found {int(rows.min())} .. {int(rows.max())}.",
                reason="rows_outside",
            )
    for (one, ones), (other, others) in combinations(parts.items(), 2):
        if len(shared := np.intersect1d(ones, others)):
            raise TrainingError(
                f"Expected no image in two parts of a fold; {len(shared)} are in {one} and {other}, first row "
                f"{int(shared[0])}.",
                reason="rows_shared",
            )
