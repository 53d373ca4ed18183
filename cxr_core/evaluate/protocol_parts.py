"""The shape of protocols side by side: one row a protocol, as it stands in JSON.

Laws: no number is NaN or infinite; a figure that cannot be had is null and says why; ``parse_protocols`` of the JSON
gives the same value; the digest covers everything but itself, so a changed byte is found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from cxr_core.classes import ClassSlug
from cxr_core.digests import digest_value
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.compare import Difference
from cxr_core.evaluate.parts import Coverage, Estimate, Leak, Population, Record
from cxr_core.params import Protocol

__all__ = [
    "Against",
    "ProtocolRow",
    "ProtocolTable",
    "SourceFigures",
    "parse_protocols",
    "protocols_json",
    "table_digest",
]


class Against(Record):
    """A row minus the first one, on the images that both test, with intervals over patients."""

    reference: Protocol
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    accuracy: Difference
    macro_auc: Difference
    auc: dict[ClassSlug, Difference]
    # Images that one of the two alone gets right; McNemar's exact two-sided p, null without a compared image.
    only_this_right: int = Field(ge=0)
    only_reference_right: int = Field(ge=0)
    mcnemar_p: float | None


class SourceFigures(Record):
    """One source of the cohort under one protocol."""

    source: str
    verdict: Literal["tested", "not tested", "not identifiable"]
    # Tested images, their patients, and the images of each class.
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    images: dict[ClassSlug, int]
    accuracy: Estimate
    auc: dict[ClassSlug, Estimate]
    # Why it is not tested, or what its figures cannot say; empty where there is nothing to add.
    why: str


class ProtocolRow(Record):
    """What one protocol's cross-validation measures."""

    protocol: Protocol
    split: str
    commit: str
    runs: dict[str, str]
    # Digest of the predictions' CSV.
    predictions: str
    coverage: Coverage
    # What the pooled figures pool, in words.
    pools: str
    leak: Leak
    people: Population
    # Among the images that do not leak; the accuracy of ``people`` where none does.
    leak_free_accuracy: Estimate
    sources: tuple[SourceFigures, ...]
    # Null in the first row.
    against: Against | None


class ProtocolTable(Record):
    """One row a protocol; the first is what the others are held against."""

    schema_version: Literal[1] = Field(alias="schema")
    cohort: str
    synthetic: bool
    confidence: float
    bootstrap: int
    seed: int
    rows: tuple[ProtocolRow, ...] = Field(min_length=1)
    digest: str


def protocols_json(table: ProtocolTable) -> dict[str, Any]:
    """Plain JSON, as ``cxr_core.files.write_json`` takes it."""
    return table.model_dump(mode="json", by_alias=True)


def parse_protocols(data: Any) -> ProtocolTable:
    """Read a table from plain JSON and check its digest.

    Raises:
        EvidenceError: A key is missing, unknown or of the wrong kind (all are named), or the digest does not fit.
    """
    try:
        # By way of text, because strict fields take JSON's arrays for tuples only when they read JSON.
        table = ProtocolTable.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise EvidenceError(f"Protocols: {faults}.", reason="bad_evidence") from error
    found = table_digest(protocols_json(table))
    if found != table.digest:
        raise EvidenceError(
            f"The protocols' table says its digest is {table.digest}; its content has {found}.",
            reason="digest_mismatch",
        )
    return table


def table_digest(body: Mapping[str, Any]) -> str:
    """Digest of a table as plain JSON, its own ``digest`` left out."""
    return digest_value({key: value for key, value in body.items() if key != "digest"})
