"""The parts of evidence: a figure with its intervals, a population of images, and what else counts them.

Laws: no number is NaN or infinite; a figure that cannot be had is null and says why.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cxr_core.classes import CLASSES, ClassSlug

__all__ = [
    "Association",
    "Bin",
    "ClassFigures",
    "Coverage",
    "Estimate",
    "Fold",
    "Leak",
    "Method",
    "PairTest",
    "Population",
    "Record",
    "Stratum",
]

Method = Literal[
    "wilson",
    "delong",
    "newcombe",
    "cluster_wilson",
    "cluster_delong",
    "cluster_t",
    "cluster_bootstrap",
    "permutation",
]
"""How the limits over images were made; for a figure that has limits over patients alone (``cluster_...``), those."""


class Record(BaseModel):
    """What every part is: frozen, whole, and without a number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Estimate(Record):
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


class ClassFigures(Record):
    """One class against the other two; ``n`` images have it."""

    n: int = Field(ge=0)
    sensitivity: Estimate
    specificity: Estimate
    auc: Estimate


class PairTest(Record):
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


class Fold(Record):
    """One test fold (Table 2); ``fold`` counts from 0, the interval is Wilson's."""

    fold: int
    n: int
    correct: int
    accuracy: float
    error: float
    low: float
    high: float


class Stratum(Record):
    """Accuracy among the images that share one value of a variable; an unknown value is ''."""

    by: Literal["source", "view", "sex", "age", "label_provenance"]
    value: str
    accuracy: Estimate
    # Patients; whether the images or they are too few for the accuracy to say anything. Null in evidence of before.
    groups: int | None = None
    too_few: bool | None = None


class Bin(Record):
    """Images whose likeliest class has a probability in (low, high]."""

    low: float
    high: float
    n: int
    mean_probability: float
    accuracy: float


class Population(Record):
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
    # Worst accuracy first; those with too few images behind the others.
    strata: tuple[Stratum, ...]

    @property
    def largest_class_share(self) -> float | None:
        """The accuracy of always naming the commonest class; None without images."""
        return max(self.per_class[slug].n for slug in CLASSES) / self.n if self.n else None


class Leak(Record):
    """How many test images share a patient or duplicate cluster with what trained or validated their fold."""

    n: int
    leaking: int
    share: float


class Coverage(Record):
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


class Association(Record):
    """Cramér's V of class and source: at 1 the source alone tells the class."""

    value: float | None
    n: int
    why: str
