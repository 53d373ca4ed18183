"""What a run's maps are worth, as it stands in JSON: beside the evidence, and read by no gate.

Laws: no number is NaN or infinite; a figure that cannot be had is null and says why; ``parse_saliency`` of the JSON
gives the same value. Answers without importing torch.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, ValidationError

from cxr_core.classes import ClassSlug
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.parts import Estimate, Record

__all__ = [
    "Agreed",
    "Agreement",
    "Cascade",
    "CascadeStep",
    "DependVerdict",
    "InLungs",
    "Lungs",
    "Saliency",
    "parse_saliency",
    "saliency_json",
]

DependVerdict = Literal["depend on the weights", "do not depend on the weights", "not decided"]


class CascadeStep(Record):
    """Maps after one stage more was drawn anew, held against those of the trained network."""

    stage: str
    # Mean Spearman's rank correlation, and mean structural similarity, over the images whose two maps are not flat.
    rank: Estimate
    ssim: Estimate
    # Between which half of the images' rank correlations lie; null without any.
    quartiles: tuple[float, float] | None


class Cascade(Record):
    """Cascading randomisation (Adebayo et al. 2018, § 3.1), from the last stage to the first."""

    # Networks that were drawn anew: one a fold that tests one of the images.
    networks: int = Field(ge=0)
    steps: tuple[CascadeStep, ...]
    verdict: DependVerdict
    why: str


class InLungs(Record):
    """Share of a map's mass in the lung field, mean over a class's images."""

    share: Estimate
    # The same of maps that nothing learned made: what the picture and the layer's grid give by themselves.
    random: Estimate


class Lungs(Record):
    """How much of the maps lies where lungs are taken to be."""

    # How the field was found, in words.
    field: str
    # Share of the picture's area that it has: what a map that lies anywhere would give.
    area: float
    per_class: dict[ClassSlug, InLungs]


class Agreed(Record):
    """Mean rank correlation of maps of different folds' networks, over a class's images."""

    # The same image; pairs of networks of which neither has trained on it.
    unseen: Estimate
    # The same image; every pair of networks, most of which have trained on it.
    every: Estimate
    # Different images of the class; every pair: what maps that lie in one place whatever they show would give.
    others: Estimate


class Agreement(Record):
    """Whether networks that were trained on different images point at the same places."""

    networks: int = Field(ge=0)
    per_class: dict[ClassSlug, Agreed]


class Saliency(Record):
    """What Grad-CAM's maps are worth in one run. Every map is of its image's true class."""

    schema_version: Literal[1] = Field(alias="schema")
    # The layer explained, and the maps' sides in its positions.
    layer: str
    side: int = Field(ge=1)
    # Leak-free test images and their patients, the first of each class by the digest of their names.
    images: int = Field(ge=0)
    groups: int = Field(ge=0)
    confidence: float
    cascade: Cascade
    lungs: Lungs
    agreement: Agreement


def saliency_json(saliency: Saliency) -> dict[str, Any]:
    """Plain JSON, as ``cxr_core.files.write_json`` takes it."""
    return saliency.model_dump(mode="json", by_alias=True)


def parse_saliency(data: Any) -> Saliency:
    """Read it from plain JSON.

    Raises:
        EvidenceError: A key is missing, unknown or of the wrong kind; all are named.
    """
    try:
        # By way of text, because strict fields take JSON's arrays for tuples only when they read JSON.
        return Saliency.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise EvidenceError(f"gradcam/saliency.json: {faults}.", reason="bad_evidence") from error
