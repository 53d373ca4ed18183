"""``promote``: a model registered, judged by the policy, and put into service or not."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.audit.ledger_state import Alias, Event
from cxr_core.errors import PolicyError
from cxr_core.evaluate.compare import compare
from cxr_core.evaluate.schema import Evidence
from cxr_core.evaluate.tables import figures_markdown
from cxr_core.imaging.phantom_example import example_image
from cxr_core.promote.decide import decide
from cxr_core.promote.decision import Decision, decision_json
from cxr_core.promote.policy import Policy, read_policy
from tasks.adapters.bundle import log_model
from tasks.adapters.registry import ModelReference, ModelVersion, parse_reference
from tasks.adapters.tracking import Tracker
from tasks.data import DataVersion
from tasks.events import stage_done, stage_started
from tasks.evidence import read_evidence, read_predictions
from tasks.run import Run, actor
from tasks.service import Service, writing
from tasks.settings import Home, checkout, home
from tasks.stores import MODEL, registry_of, tracker_of
from tasks.trained import WEIGHTS, Trained

__all__ = ["approve_version", "judge_version", "policy_text", "promote", "register", "roll_back"]

POLICY_FILE = "mlflow/promotion_policy.yaml"

_CAUTION = "Research software, not a medical device: not for diagnosis or treatment."


@task(name="register", cache_policy=NO_CACHE)
def register(run: Run, data: DataVersion, parent: str, refit: Trained, evidence: Evidence) -> ModelVersion:
    """Log the refit with the code that serves it, and make it a version of the registered model."""
    stage_started("register")
    tracker = tracker_of(run.home)
    with tempfile.TemporaryDirectory() as scratch:
        logged = log_model(
            tracker.client,
            run_id=parent,
            name=MODEL,
            weights=tracker.fetch(refit.run_id, WEIGHTS, Path(scratch) / "weights.safetensors"),
            # A phantom: a patient's X-ray has no place in a model's example.
            example=example_image(),
            root=run.path,
            temperature=evidence.calibration.temperature.value if evidence.calibration else None,
            tags={"cxr.commit": data.commit, "cxr.data": data.digest, "cxr.evidence": evidence.digest},
        )
    version = registry_of(run.home).register(
        logged,
        name=MODEL,
        commit=data.commit,
        data=data.digest,
        evidence=evidence.digest,
        description=f"{_CAUTION}\n\n{figures_markdown(evidence)}",
    )
    stage_done("register", f"{MODEL} version {version.version}, weights {logged.weights[7:19]}")
    return version


@task(name="promote", cache_policy=NO_CACHE)
def promote(run: Run, version: ModelVersion) -> dict[str, Any]:
    """Judge a version and put it into service where the policy allows; returns the decision as it is reported."""
    stage_started("promote")
    report = _judge(run.home, version, policy_root=run.path)
    stage_done("promote", f"{report['outcome']}: {MODEL} version {version.version}; {report['ledger']}")
    return report


def judge_version(reference: str | None) -> dict[str, Any]:
    """``cxr promote``: judge a version, the newest where none is named, by the policy as it stands now.

    Raises:
        TrackingError: There is no such version.
    """
    where = home()
    if reference is None:
        versions = registry_of(where).versions(MODEL)
        reference = f"models:/{MODEL}/{versions[0].version if versions else 1}"
    return _judge(where, registry_of(where).get(parse_reference(reference, default=MODEL)))


def approve_version(reference: str, *, reason: str) -> dict[str, Any]:
    """``cxr approve``: a person's word for a version that waits for it; its gates are read again.

    Raises:
        PolicyError: No reason is given, the version does not wait, or the policy wants another person.
    """
    where = home()
    _demand_reason(reason)
    return _judge(
        where, registry_of(where).get(parse_reference(reference, default=MODEL)), approved_by=actor(), reason=reason
    )


def roll_back(*, to: str | None, reason: str) -> dict[str, Any]:
    """``cxr rollback``: put the version before, or a named one, into service; no gate is asked.

    Raises:
        PolicyError: No reason is given, or there is nothing to return to.
    """
    _demand_reason(reason)
    where = home()
    with writing(where) as service:
        champion, target = service.aliases.get("champion"), to or service.aliases.get("previous")
        if target is None:
            raise PolicyError(
                f"No version was in service before {champion or 'this'}.",
                reason="nothing_before",
                hint="Name one with --to VERSION.",
            )
        version = service.registry.get(parse_reference(target, default=MODEL))
        if str(version.version) == champion:
            raise PolicyError(f"Version {champion} is in service already.", reason="in_service")
        served = {event.after.get("champion") for event in service.events}
        if version.name != MODEL or str(version.version) not in served:
            raise PolicyError(
                f"{version.uri} has never been in service; a rollback returns to what has.",
                reason="never_served",
                hint=f"`cxr promote {version.version}` judges it by the policy.",
            )
        after = _after("promoted", service.aliases, version)
        event = service.enter("rolled_back", version, after, reason=reason)
    return _report("rolled back", version, event, None)


def policy_text(root: Path) -> str:
    """The promotion policy of a checkout, as it stands.

    Raises:
        PolicyError: It has none.
    """
    path = root / POLICY_FILE
    if not path.is_file():
        raise PolicyError(
            f"Expected the promotion policy at {path}; it is not there.",
            reason="no_policy",
            hint=f"git checkout -- {POLICY_FILE}",
        )
    return path.read_text(encoding="utf-8")


def _judge(
    where: Home, version: ModelVersion, *, approved_by: str = "", reason: str = "", policy_root: Path | None = None
) -> dict[str, Any]:
    tracker = tracker_of(where)
    _check_judgeable(tracker, version)
    text = policy_text(policy_root or checkout())
    policy = read_policy(text)
    evidence = read_evidence(tracker, version.run_id)
    with writing(where) as service:
        if approved_by and service.aliases.get("challenger") != str(version.version):
            raise PolicyError(
                f"Version {version.version} does not wait for approval.",
                reason="not_pending",
                hint=f"`cxr promote models:/{MODEL}/{version.version}` judges it.",
            )
        decision = _decide(where, version, evidence, policy, service, approved_by)
        if approved_by and decision.outcome == "pending":
            raise PolicyError(" ".join(decision.reasons), reason="wrong_approver", hint="Ask another person.")
        if decision.outcome == "unchanged":
            return _report("unchanged", version, None, decision, in_service=True)
        log = tracker.attach(version.run_id)
        # Before the ledger names its digest, so that the digest is always of something.
        folder = f"decisions/{decision.digest[7:19]}"
        log.json(f"{folder}/decision.json", decision_json(decision))
        log.text(f"{folder}/policy.yaml", text)
        event = service.enter(
            "approved" if approved_by and decision.outcome == "promoted" else decision.outcome,
            version,
            _after(decision.outcome, service.aliases, version),
            reason=reason or " ".join(decision.reasons),
            decision=decision.digest,
            evidence=evidence.digest,
        )
        log.describe(_summary(evidence, event), text=_CAUTION)
    return _report(decision.outcome, version, event, decision, in_service=decision.outcome == "promoted")


def _check_judgeable(tracker: Tracker, version: ModelVersion) -> None:
    """A version of another model, or one whose retrain did not end well, is not ours to put into service."""
    if version.name != MODEL:
        raise PolicyError(
            f"Expected a version of {MODEL}; found {version.uri}.", reason="foreign_model", hint=f"models:/{MODEL}/1"
        )
    status = tracker.read(version.run_id).status
    if status != "FINISHED":
        raise PolicyError(
            f"The retrain of version {version.version} is {status}, not FINISHED.",
            reason="retrain_not_finished",
            hint="Run `cxr retrain` again: what was finished is reused.",
        )


def _decide(
    where: Home, version: ModelVersion, evidence: Evidence, policy: Policy, service: Service, approved_by: str
) -> Decision:
    number = service.aliases.get("champion")
    if number is None:
        return decide(evidence, policy, approved_by=approved_by)
    tracker = tracker_of(where)
    champion = service.registry.get(ModelReference(name=MODEL, version=int(number)))
    standing = read_evidence(tracker, champion.run_id)
    comparison = compare(
        read_predictions(tracker, version.run_id),
        read_predictions(tracker, champion.run_id),
        confidence=evidence.confidence,
        resamples=evidence.bootstrap,
        seed=evidence.seed,
    )
    return decide(evidence, policy, champion=standing, comparison=comparison, approved_by=approved_by)


def _after(outcome: str, before: Mapping[Alias, str], version: ModelVersion) -> dict[Alias, str]:
    """The aliases that an outcome leaves."""
    number = str(version.version)
    after: dict[Alias, str] = {
        alias: held for alias, held in before.items() if not (alias == "challenger" and held == number)
    }
    if outcome == "pending":
        after["challenger"] = number
    if outcome == "promoted":
        after["champion"] = number
        if (champion := before.get("champion")) and champion != number:
            after["previous"] = champion
        elif after.get("previous") == number:
            del after["previous"]
    return after


def _demand_reason(reason: str) -> None:
    if not reason.strip():
        raise PolicyError("A reason is needed; it stands in the ledger.", reason="no_reason", hint='--reason "why"')


def _summary(evidence: Evidence, event: Event) -> dict[str, str]:
    def shown(people: Any) -> str:
        one = people.accuracy
        if one.value is None:
            return str(one.why)
        return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f}), {one.k} of {one.n}"

    held_out = {"accuracy, held-out images": shown(evidence.holdout)} if evidence.holdout else {}
    leak = f"{evidence.leak.leaking} of {evidence.leak.n} test images leak"
    covered = f"; {evidence.coverage.words}" if evidence.coverage else ""
    return {
        "decision": f"{event.kind}, ledger event {event.sequence}: {event.reason or 'every gate passed'}",
        "accuracy, leak-free test images": shown(evidence.leak_free),
        "accuracy, all test images": shown(evidence.all),
        **held_out,
        "protocol": f"{evidence.context.protocol}; {leak}{covered}",
        "images": "phantoms" if evidence.context.synthetic else "X-rays",
        "data": f"git commit {evidence.context.commit}",
    }


def _report(
    outcome: str, version: ModelVersion, event: Event | None, decision: Decision | None, *, in_service: bool = True
) -> dict[str, Any]:
    gates = [] if decision is None else decision_json(decision)["gates"]
    reasons = [event.reason] if decision is None and event else list(decision.reasons if decision else ())
    return {
        "outcome": outcome,
        "model": MODEL,
        "version": version.version,
        "champion": in_service,
        "gates": gates,
        "reasons": reasons,
        "decision": decision.digest if decision else None,
        "event": event.sequence if event else None,
        "ledger": f"event {event.sequence}, {event.kind}" if event else "no new event",
        "aliases": dict(event.after) if event else None,
    }
