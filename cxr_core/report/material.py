"""What a page is made of: values read from one finished run, nothing that has to be looked up or computed again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_core.classes import ClassSlug
from cxr_core.evaluate.figures import EpochLike
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Evidence
from cxr_core.explain.records import Saliency
from cxr_core.promote.decision import Decision
from cxr_core.report.outline import Outline

__all__ = ["Decided", "Material", "Origin", "Picture"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One tested image beside its Grad-CAM map, in one PNG, input on the left."""

    name: str
    label: ClassSlug
    predicted: ClassSlug
    probability: float
    """Of the predicted class, [0, 1]."""
    png: bytes = field(repr=False)

    @property
    def correct(self) -> bool:
        """Whether the image is classified rightly."""
        return self.label == self.predicted


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A decision by the policy and where the ledger has it."""

    decision: Decision
    version: str
    ledger: str
    """E.g. ``event 3, promoted, 2026-11-23T04:12:00+00:00, by ada@hospital.example``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a run comes from.

    Attributes:
        run: The parent run's id.
        name: Its name, e.g. ``retrain 20261123-041200-9f3a``.
        started: UTC, ISO 8601, to the second.
        data: The data version, ``sha256:<hex>``.
        program: What was called.
        params: Every parameter as it was used, by dotted name.
        initial_weights: What each training started from, by name of the training.
        precision: ``bf16`` or ``fp32``, as used.
        seconds: Training time of each fold and of the refit; a reused one's is what it took then.
        software: Version of each program and library, by name.
        machine: Processor and operating system, by name.
    """

    run: str
    name: str
    started: str
    data: str
    program: str
    params: Mapping[str, str]
    initial_weights: Mapping[str, str]
    precision: str
    seconds: Mapping[str, float]
    software: Mapping[str, str]
    machine: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Everything that a page shows.

    Attributes:
        evidence: What was measured.
        predictions: What it was measured on: one a tested image.
        cohort: The cohort's report, as ``curate`` writes it.
        histories: Epochs of each fold, by its number from 0.
        pictures: Grad-CAM pairs, in the order they are shown; none where none were drawn.
        randomised_similarity: Mean rank correlation of maps with those under random weights, and of how many; None
            where it was not measured. All that runs of before know of their maps.
        outline: The network, read from itself.
        origin: Where the run comes from.
        decided: The decision; None while there is none.
        saliency: What the maps are worth; None where it was not measured.
    """

    evidence: Evidence
    predictions: Sequence[Prediction]
    cohort: Mapping[str, Any]
    histories: Mapping[int, Sequence[EpochLike]]
    pictures: Sequence[Picture]
    randomised_similarity: tuple[float, int] | None
    outline: Outline
    origin: Origin
    decided: Decided | None = None
    saliency: Saliency | None = None
