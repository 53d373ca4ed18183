"""Evidence and policy to a decision.

Laws: no clock, no store, no chance: the same input gives the same decision, digest included; better evidence never
turns a promotion into a refusal; what is missing has not been proven.
"""

from __future__ import annotations

from cxr_core.errors import PolicyError
from cxr_core.evaluate.compare import Comparison, comparison_digest
from cxr_core.evaluate.schema import Evidence
from cxr_core.promote.control_gates import control_gates
from cxr_core.promote.decision import Decision, Outcome, sealed
from cxr_core.promote.gates import champion_gates, evidence_gates
from cxr_core.promote.policy import Policy, policy_digest

__all__ = ["decide"]


def decide(
    evidence: Evidence,
    policy: Policy,
    *,
    champion: Evidence | None = None,
    comparison: Comparison | None = None,
    approved_by: str = "",
) -> Decision:
    """Judge a candidate.

    Args:
        evidence: The candidate's.
        policy: The written rules.
        champion: Evidence of the model in service; None before there is one.
        comparison: ``compare(candidate, champion)``; None where it was not made, which asks for more proof.
        approved_by: Who approves; empty while nobody has.

    Raises:
        PolicyError: The comparison is of other predictions than the evidence.
    """
    _check_comparison(evidence, champion, comparison)
    gates = (
        *evidence_gates(evidence, policy),
        *control_gates(evidence, policy),
        *champion_gates(evidence, policy, champion, comparison),
    )
    failed = tuple(gate.why for gate in gates if not gate.passed)
    waiting = _waiting(policy, trained_by=evidence.context.trained_by, approved_by=approved_by)
    outcome: Outcome
    same = champion is not None and champion.context.weights == evidence.context.weights
    if failed:
        outcome, reasons = "refused", failed
    elif same:
        # Only where nothing fails: the same weights may have been measured anew, and worse.
        outcome, reasons = "unchanged", ("The candidate's weights are the champion's own.",)
    elif waiting:
        outcome, reasons = "pending", (waiting,)
    else:
        outcome, reasons = "promoted", ()
    return sealed(
        Decision(
            schema=1,
            outcome=outcome,
            model=policy.model,
            candidate=evidence.context.weights,
            champion=champion.context.weights if champion else None,
            evidence=evidence.digest,
            champion_evidence=champion.digest if champion else None,
            comparison=comparison_digest(comparison) if comparison else None,
            policy=policy_digest(policy),
            synthetic=evidence.context.synthetic,
            trained_by=evidence.context.trained_by,
            approved_by=approved_by,
            gates=gates,
            reasons=reasons,
            digest="",
        )
    )


def _check_comparison(evidence: Evidence, champion: Evidence | None, comparison: Comparison | None) -> None:
    if comparison is None:
        return
    wanted = (evidence.predictions, champion.predictions if champion else None)
    if (comparison.first_predictions, comparison.second_predictions) != wanted:
        raise PolicyError(
            f"Expected a comparison of the predictions {wanted[0]} and {wanted[1]}; "
            f"found one of {comparison.first_predictions} and {comparison.second_predictions}.",
            reason="comparison_mismatch",
        )


def _waiting(policy: Policy, *, trained_by: str, approved_by: str) -> str:
    """Why a person's word is still missing; empty where it is not."""
    if not policy.approval.required:
        return ""
    approver, trainer = approved_by.strip().casefold(), trained_by.strip().casefold()
    if not approver:
        return "Every gate passed; the policy wants a person's approval."
    if policy.approval.not_the_trainer and not trainer:
        return "The policy wants another approver than the trainer, and the evidence does not say who trained."
    if policy.approval.not_the_trainer and approver == trainer:
        return f"The policy wants another approver than {trained_by.strip()}, who trained the candidate."
    return ""
