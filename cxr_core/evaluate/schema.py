"""The shape of evidence: what a whole report holds, as it stands in JSON.

Laws: no number is NaN or infinite; a figure that cannot be had is null and says why; ``parse_evidence`` of the JSON
gives the same value; the digest covers everything but itself, so a changed byte is found; evidence of before something
was measured does not name it, and keeps its digest.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, ValidationError

from cxr_core.digests import digest_value
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.parts import (
    Association,
    Bin,
    ClassFigures,
    Coverage,
    Estimate,
    Fold,
    Leak,
    Method,
    PairTest,
    Population,
    Record,
    Stratum,
)
from cxr_core.evaluate.proofs import Calibration, Controls, External, Identifiability
from cxr_core.params import Protocol

__all__ = [
    "Association",
    "Bin",
    "Calibration",
    "ClassFigures",
    "Context",
    "Controls",
    "Coverage",
    "Estimate",
    "Evidence",
    "External",
    "Fold",
    "Identifiability",
    "Leak",
    "Method",
    "PairTest",
    "Population",
    "Stratum",
    "digest_of",
    "evidence_json",
    "parse_evidence",
]


class Context(Record):
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


class Evidence(Record):
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
    # Whether class and source can be told apart in the cohort.
    identifiability: Identifiability | None = None
    # The temperature that the registered model is served with, and what it does to the leak-free probabilities.
    calibration: Calibration | None = None
    # What must fail for the leak-free figures to be believed.
    controls: Controls | None = None
    # The registered model on images that stand in no cohort and no fold, by the name of their set.
    external: dict[str, External] | None = None


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """Plain JSON, as ``cxr_core.files.write_json`` takes it."""
    # Unset: what evidence of before did not name, it does not name now.
    body = evidence.model_dump(mode="json", by_alias=True, exclude_unset=True)
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
