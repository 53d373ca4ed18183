"""A study small enough to train in seconds: phantoms of one source, and the networks of its folds.

One source, so that class and source have nothing to do with each other; patients with one to three films each.

Shapes: N films, S pixels a side.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import digest_bytes
from cxr_core.evaluate.frozen import Look, look
from cxr_core.evaluate.predictions import Prediction, predictions_of
from cxr_core.imaging.phantom_studio import Studio
from cxr_core.model import checkpoint
from cxr_core.model.architectures import facts
from cxr_core.params import TrainParams
from cxr_core.split.folds import Split, leak_free, members
from cxr_core.train.fold import train_fold

__all__ = ["Films", "draw", "small_training", "trained"]

_SOURCE = "github"
# Classes count their patients from far apart, so that no two share one.
_FIRST: dict[ClassSlug, int] = {"covid": 1, "viral": 30_001, "normal": 60_001}
_FILM_SIDE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Films:
    """Phantoms of one seed: their rows of a cohort, and the films, uint8 (H, W) each."""

    rows: list[CohortRow]
    films: list[NDArray[np.uint8]]


def draw(seed: int, *, images: int) -> Films:
    """So many phantoms a class, of one source."""
    studio = Studio(seed=seed, size=_FILM_SIDE)
    rows: list[CohortRow] = []
    pictures: list[NDArray[np.uint8]] = []
    for slug in CLASSES:
        for shot in studio.patients(_SOURCE, slug, images=images, first=_FIRST[slug]):
            rows.append(_row(slug, patient=shot.patient, number=shot.number))
            pictures.append(shot.pixels)
    return Films(rows=rows, films=pictures)


def trained(
    rows: Sequence[CohortRow], store: NDArray[np.uint8], dealt: Split, params: TrainParams
) -> tuple[list[Prediction], dict[int, Look]]:
    """Every fold's network on its test images, and what it makes of its validation and test images."""
    clean, predictions, looks = leak_free(dealt), list[Prediction](), dict[int, Look]()
    with tempfile.TemporaryDirectory() as scratch:
        for fold in range(dealt.folds):
            part = members(dealt, fold)
            done = train_fold(
                store,
                dealt.labels,
                train_idx=part.train,
                val_idx=part.validation,
                test_idx=part.test,
                fold=fold,
                params=params,
                checkpoint_path=Path(scratch) / f"{fold}.safetensors",
                cache=Path(scratch),
            )
            predictions += predictions_of(
                rows, fold=fold, test=part.test, probabilities=done.predictions, leak_free=clean
            )
            network = checkpoint.restore(checkpoint.read(done.checkpoint))
            looks[fold] = look(
                network,
                network.get_submodule(facts(params.architecture).features),
                store,
                np.concatenate([part.validation, part.test]),
                precision=done.precision,
                batch_size=params.batch_size,
            )
    return predictions, looks


def small_training(*, seed: int, epochs: int) -> TrainParams:
    """A ResNet-18 that nothing has taught, on one thread."""
    return TrainParams(
        architecture="resnet18",
        weights="none",
        epochs=epochs,
        batch_size=16,
        learning_rate=1e-3,
        schedule="one_cycle",
        weight_decay=0.0,
        class_weights="none",
        frozen_epochs=0,
        patience=None,
        device="cpu",
        cuda_graphs=False,
        precision="auto",
        threads=1,
        seed=seed,
    )


def _row(slug: ClassSlug, *, patient: int, number: int) -> CohortRow:
    name = f"{_SOURCE}:{slug}-{patient}-{number}.png"
    digest = digest_bytes(name.encode())
    return CohortRow(
        name=name,
        source=_SOURCE,
        sha256=digest,
        source_sha256=digest,
        label=slug,
        label_provenance="phantom",
        group=str(patient),
        patient=str(patient),
        view="PA",
        sex="",
        age_years=None,
        origin_url="",
        licence="",
        synthetic=True,
        pixel_sha256=digest,
    )
