"""What a decision is, as it stands in the ledger.

Laws: ``parse_decision`` of its JSON gives the same value; the digest covers everything but itself; every gate says in a
sentence what was wanted and what was found.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cxr_core.digests import digest_value
from cxr_core.errors import PolicyError

__all__ = ["Decision", "Gate", "Outcome", "decision_json", "parse_decision", "sealed"]

Outcome = Literal["promoted", "refused", "pending", "unchanged"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Gate(_Record):
    """One demand of the policy; numbers where it compares numbers, ``why`` in words always."""

    name: str
    wanted: float | None
    found: float | None
    passed: bool
    why: str


class Decision(_Record):
    """Whether a candidate may serve, by which policy, on which evidence.

    ``promoted``: it may. ``refused``: a gate did not pass. ``pending``: every gate passed and a person has yet to
    approve. ``unchanged``: its weights are the champion's own, so there is nothing to move.
    """

    schema_version: Literal[1] = Field(alias="schema")
    outcome: Outcome
    model: str
    # Digests of weights, evidence, comparison and policy.
    candidate: str | None
    champion: str | None
    evidence: str
    champion_evidence: str | None
    comparison: str | None
    policy: str
    synthetic: bool
    trained_by: str
    approved_by: str
    gates: tuple[Gate, ...]
    # Why it was not promoted, one sentence each; empty where it was.
    reasons: tuple[str, ...]
    digest: str


def decision_json(decision: Decision) -> dict[str, Any]:
    """Plain JSON, as the ledger keeps it."""
    return decision.model_dump(mode="json", by_alias=True)


def sealed(decision: Decision) -> Decision:
    """The decision with the digest of its content."""
    body = decision_json(decision)
    body.pop("digest")
    return decision.model_copy(update={"digest": digest_value(body)})


def parse_decision(data: Any) -> Decision:
    """Read a decision from plain JSON and check its digest.

    Raises:
        PolicyError: A key is missing, unknown or of the wrong kind (all are named), or the digest does not fit.
    """
    try:
        # By way of text, because strict fields take JSON's arrays for tuples only when they read JSON.
        decision = Decision.model_validate_json(json.dumps(data))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise PolicyError(f"Decision: {faults}.", reason="bad_decision") from error
    found = sealed(decision).digest
    if found != decision.digest:
        raise PolicyError(
            f"Decision says its digest is {decision.digest}; its content has {found}.", reason="digest_mismatch"
        )
    return decision
