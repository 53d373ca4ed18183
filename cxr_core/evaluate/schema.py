"""The shape of evidence: what a figure, a population and a whole report hold, as they stand in JSON.

Laws: no number is NaN or infinite; a figure that cannot be had is null and says why; ``parse_evidence`` of the JSON
gives the same value; the digest covers everything but itself, so a changed byte is found.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.digests import digest_value
from cxr_core.errors import EvidenceError
from cxr_core.params import Protocol

__all__ = [
    "Association",
    "Bin",
    "ClassFigures",
    "Context",
    "Coverage",
    "Estimate",
    "Evidence",
    "Fold",
    "Leak",
    "PairTest",
    "Population",
    "Stratum",
    "digest_of",
    "evidence_json",
    "parse_evidence",
]

Method = Literal["wilson", "delong", "newcombe", "cluster_bootstrap"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Estimate(_Record):
    """A figure with its denominator and two intervals: one over images (``method``), one over whole patients."""

    value: float | None
    low: float | None
    high: float | None
    method: Method
    cluster_low: float | None
    cluster_high: float | None
    n: int = Field(ge=0)
    # Successes, where the figure is a proportion.
    k: int | None
    # Why a number is null; empty where none is.
    why: str

    @property
    def lower(self) -> float | None:
        """The bound a gate reads: the lesser of the two lower limits, None where either is missing."""
        limits = [limit for limit in (self.low, self.cluster_low) if limit is not None and math.isfinite(limit)]
        return min(limits) if self.value is not None and len(limits) == 2 else None


class ClassFigures(_Record):
    """One class against the other two; ``n`` images have it."""

    n: int = Field(ge=0)
    sensitivity: Estimate
    specificity: Estimate
    auc: Estimate


class PairTest(_Record):
    """Actual against predicted for two classes (Fig. 3), by Pearson's chi-square without Yates's correction.

    ``table`` holds actual (rows) by predicted (columns); ``outside`` counts images of the two classes that were
    predicted to be the third and stand in no cell.
    """

    classes: tuple[ClassSlug, ClassSlug]
    table: tuple[tuple[int, int], tuple[int, int]]
    outside: int
    n: int
    statistic: float | None
    df: int | None
    p: float | None
    why: str


class Fold(_Record):
    """One test fold (Table 2); ``fold`` counts from 0, the interval is Wilson's."""

    fold: int
    n: int
    correct: int
    accuracy: float
    error: float
    low: float
    high: float


class Stratum(_Record):
    """Accuracy among the images that share one value of a variable; an unknown value is ''."""

    by: Literal["source", "view", "sex", "age"]
    value: str
    accuracy: Estimate


class Bin(_Record):
    """Images whose likeliest class has a probability in (low, high]."""

    low: float
    high: float
    n: int
    mean_probability: float
    accuracy: float


class Population(_Record):
    """Every figure over one set of test images."""

    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    accuracy: Estimate
    mean_fold_accuracy: Estimate
    macro_auc: Estimate
    per_class: dict[ClassSlug, ClassFigures]
    # Actual (rows) by predicted (columns).
    confusion: tuple[tuple[int, ...], ...]
    chi_square: tuple[PairTest, ...]
    folds: tuple[Fold, ...]
    # Mean squared distance of the probabilities from the truth, in [0, 2] (Brier 1950).
    brier: Estimate
    # Mean gap between probability and accuracy over the bins (Guo et al. 2017, eq. 3); biased upwards in few images.
    calibration_error: Estimate
    reliability: tuple[Bin, ...]
    # Worst accuracy first.
    strata: tuple[Stratum, ...]

    @property
    def largest_class_share(self) -> float | None:
        """The accuracy of always naming the commonest class; None without images."""
        return max(self.per_class[slug].n for slug in CLASSES) / self.n if self.n else None


class Leak(_Record):
    """How many test images share a patient or duplicate cluster with what trained or validated their fold."""

    n: int
    leaking: int
    share: float


class Coverage(_Record):
    """How much of the cohort the figures speak of, and why no more."""

    # Images that a fold tests, that the refit alone tests, and that the cohort has.
    tested: int = Field(ge=0)
    held_out: int = Field(ge=0)
    cohort: int = Field(ge=0)
    # Sources that no fold could test (protocol ``loso``), each with the reason.
    not_identifiable: dict[str, str]

    @property
    def words(self) -> str:
        """In words, e.g. ``613 of 781 images tested``."""
        held = f", {self.held_out} held out" if self.held_out else ""
        left = f"; not identifiable: {', '.join(self.not_identifiable)}" if self.not_identifiable else ""
        return f"{self.tested} of {self.cohort} images tested{held}{left}"


class Association(_Record):
    """Cramér's V of class and source: at 1 the source alone tells the class."""

    value: float | None
    n: int
    why: str


class Context(_Record):
    """What the figures speak of, as the caller knows it."""

    # Digest of the cohort, and of its folds.
    cohort: str
    split: str
    protocol: Protocol
    # Whether any image is a phantom.
    synthetic: bool
    # Digest of the weights that are offered; None before there are any.
    weights: str | None
    # Git commit that is the data's version.
    commit: str
    trained_by: str
    # Name to id of the tracked runs, e.g. parent, fold-0.
    runs: dict[str, str]


class Evidence(_Record):
    """Everything a decision may read. Gates read ``leak_free``; ``all`` and ``holdout`` stand beside it.

    What stands last is absent from the JSON where it is None: evidence of before it was measured keeps its digest.
    """

    schema_version: Literal[1] = Field(alias="schema")
    context: Context
    # Digest of the predictions' CSV.
    predictions: str
    confidence: float
    bootstrap: int
    seed: int
    all: Population
    leak_free: Population
    leak: Leak
    class_by_source: Association
    digest: str
    coverage: Coverage | None = None
    # The refit, which is the model that is registered, on the images that nothing else has seen.
    holdout: Population | None = None
    # Digest of the held-out predictions' CSV.
    holdout_predictions: str | None = None


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Plain JSON, as ``cxr_core.files.write_json`` takes it."""
    body = evidence.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in body.items() if value is not None}


def digest_of(body: dict[str, Any]) -> str:
    """Digest of evidence as plain JSON, its own ``digest`` left out."""
    return digest_value({key: value for key, value in body.items() if key != "digest"})


def parse_evidence(data: Any) -> Evidence:
    """Read evidence from plain JSON and check its digest.

    Raises:
        EvidenceError: A key is missing, unknown or of the wrong kind (all are named), or the digest does not fit.
    """
    try:
        # By way of text, because strict fields take JSON's arrays for tuples only when they read JSON.
        evidence = Evidence.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise EvidenceError(f"Evidence: {faults}.", reason="bad_evidence") from error
    found = digest_of(evidence_json(evidence))
    if found != evidence.digest:
        raise EvidenceError(
            f"Evidence says its digest is {evidence.digest}; its content has {found}.", reason="digest_mismatch"
        )
    return evidence
