"""What stands beside the figures so that they can be believed: calibration, controls, identifiability, other images.

Everything here is measured on leak-free test images, by patients, unless its own words say otherwise.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr_core.classes import ClassSlug
from cxr_core.evaluate.parts import Bin, Estimate, Population, Record

__all__ = [
    "Calibrated",
    "Calibration",
    "Contest",
    "Controls",
    "External",
    "Identifiability",
    "PermutedLabels",
    "PictureControl",
    "SourceProbe",
    "Verdict",
]


Verdict = Literal["readable", "not readable", "not decided", "not identifiable"]


class Identifiability(Record):
    """Whether class and source can be told apart in the cohort, before anything is trained on it."""

    verdict: Literal["identifiable", "not identifiable"]
    # Of class and source; null where the cohort has one source.
    cramers_v: float | None
    # Pairs of classes that no source holds both of.
    apart: tuple[tuple[ClassSlug, ClassSlug], ...]
    why: str


class Calibrated(Record):
    """How far probabilities can be believed, over the same test images."""

    # Mean -ln p of the true class, in nats.
    log_loss: Estimate
    brier: Estimate
    calibration_error: Estimate
    macro_auc: Estimate
    reliability: tuple[Bin, ...]


class Calibration(Record):
    """One temperature for every fold (Guo et al. 2017, § 4.2), fitted on validation images, judged on test images."""

    # Divides the class scores before the softmax; without a value the model is served as it was trained.
    temperature: Estimate
    # Validation images that fitted it, pooled over the folds, and the patients among them.
    images: int = Field(ge=0)
    groups: int = Field(ge=0)
    before: Calibrated
    after: Calibrated


class Contest(Record):
    """The folds' networks against a control: one class against the others, on the same images."""

    # Both AUCs, and the network's minus the control's, paired by patient.
    control: Estimate
    network: Estimate
    advantage: Estimate


class PictureControl(Record):
    """A cheap classifier of pictures without their lungs, or with next to nothing else; same folds, same patients."""

    name: Literal["rim", "blanked", "thumbnails"]
    # What is left of each picture, in words.
    sees: str
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    accuracy: Estimate
    macro_auc: Estimate
    per_class: dict[ClassSlug, Contest]
    # ``beaten`` only where an advantage of 0.05 is proven for every class. Else ``shortcut`` where the control sees no
    # lung and is proven to tell a class that the networks are not proven to tell better; else ``nothing proven``.
    # Evidence of before calls both ``not beaten``.
    verdict: Literal["beaten", "shortcut", "nothing proven", "not beaten"]
    why: str


class SourceProbe(Record):
    """Whether the source can be read off a fold's own frozen features, among images of one class."""

    # Images that were asked about, and their patients.
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    # Mean one-vs-rest AUC over the sources, for each class that several sources hold.
    per_class: dict[ClassSlug, Estimate]
    # Classes that were not asked about, each with the reason.
    skipped: dict[ClassSlug, str]
    # ``readable`` where a class's lower limit is above 0.6; ``not readable`` where every upper limit is below it; else
    # the images decide nothing.
    verdict: Verdict
    why: str


class PermutedLabels(Record):
    """Whether a classifier that learns permuted labels does better than chance: then a fold's patients are not apart.

    It checks the folds and what is called leak-free, by another way than the one that dealt them. A film under two
    patients' names it cannot see, for these get their labels one by one: that is the search for duplicates' to find.
    """

    permutations: int = Field(ge=0)
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    # Accuracy that agreeing by chance gives.
    chance: float | None
    # Mean accuracy over the permutations less chance: on leak-free test images, and on all of them.
    excess: Estimate
    excess_all: Estimate
    verdict: Literal["at chance", "above chance", "not measured"]
    why: str


class Controls(Record):
    """What must fail for the figures to be believed."""

    pictures: tuple[PictureControl, ...]
    source_probe: SourceProbe
    permuted_labels: PermutedLabels


class External(Record):
    """The registered model, calibrated as it is served, on a set of images kept out of training."""

    # Digest of the set's images and labels, and of the predictions' CSV.
    images: str
    predictions: str
    # Images of the set that were not used, by reason.
    left_out: dict[str, int]
    people: Population
