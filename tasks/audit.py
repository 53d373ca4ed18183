"""``audit``: a model traced to its images, and the registry held against the ledger."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from cxr_core.audit.checks import Check, check_of
from cxr_core.audit.ledger_state import replay
from cxr_core.errors import CxrError, TrackingError
from tasks.adapters.copies import trace_run
from tasks.adapters.ledger import LedgerReport, verify_ledger
from tasks.adapters.registry import ModelReference, ModelVersion, parse_reference
from tasks.events import progress, stage_started
from tasks.evidence import read_evidence
from tasks.service import check_present, mend_aliases, registered_aliases
from tasks.settings import checkout, home
from tasks.stores import MODEL, fact, in_service, ledger_ref, registry_of, tracker_of

__all__ = ["ledger_report", "trace_model", "verify_ledger_and_registry"]


def trace_model(model: str | None) -> dict[str, Any]:
    """Walk from a registered model to every image behind it, checking each record and each copy of each file.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, an alias or a version; None is the model in service, or
            the newest version where none is.

    Returns:
        ``model``, ``run``, ``commit``, ``data``, ``images`` (each with name, source, sha256, source_sha256, label,
        label_provenance, group, fold), ``checks`` (each with name, ok, detail) and ``ok``.

    Raises:
        TrackingError: No such model, or a version that names no commit.
        AuditError: The commit, or its dvc.lock, cannot be read.
    """
    root, where = checkout(), home()
    version = (
        in_service(registry_of(where))
        if model is None
        else registry_of(where).get(parse_reference(model, default=MODEL))
    )
    stage_started("trace", f"{version.name} version {version.version}")
    commit = fact(version, "cxr.commit")
    progress("trace", 0, 0, "reading every copy")
    trace = trace_run(root, where.root, commit, remote=os.environ.get("CXR_DVC_REMOTE") or None)
    said = fact(version, "cxr.data")
    checks = [
        *_model_checks(version),
        check_of(
            "data version",
            [] if trace.data == said else [f"the model says {said}, found {trace.data}"],
            otherwise=trace.data[:19],
        ),
        *_version_ledger_checks(root, version),
        *trace.checks,
    ]
    return {
        "ok": all(check.ok for check in checks),
        "model": f"models:/{version.name}/{version.version}",
        "run": version.run_id,
        "commit": commit,
        "data": trace.data,
        "images": [image.as_dict() for image in trace.images],
        "checks": [check.as_dict() for check in checks],
    }


def verify_ledger_and_registry(*, mend: bool = False) -> dict[str, Any]:
    """Check the ledger's chain, and that every alias in the registry is what its events leave.

    Args:
        mend: Set the registry's aliases to the ledger's last word first.

    Raises:
        LedgerError: The registry names a ledger that this repository does not have.
    """
    where = home()
    try:
        if mend:
            mend_aliases(where)
        ref = ledger_ref(registry_of(where))
    except TrackingError as error:
        if error.reason != "model_missing":
            raise
        ref = None
    if ref is None:
        return {"ok": True, "ledger": None, "checks": [], "summary": "nothing has been decided yet"}
    check_present(checkout(), ref)
    report = ledger_report(ref)
    checks = _ledger_checks(report)
    if report.ok:
        checks.append(_aliases_check(report))
    events = len(report.events)
    return {
        "ok": all(check.ok for check in checks),
        "ledger": {"ref": ref, **report.as_dict()},
        "checks": [check.as_dict() for check in checks],
        "summary": f"{ref}: {events} event{'' if events == 1 else 's'}, {report.signatures}",
    }


def ledger_report(ref: str) -> LedgerReport:
    """A ledger walked whole; signatures are checked where ``CXR_ALLOWED_SIGNERS`` names who may sign."""
    allowed = os.environ.get("CXR_ALLOWED_SIGNERS")
    return verify_ledger(checkout(), ref=ref, allowed_signers=Path(allowed).expanduser() if allowed else None)


def _ledger_checks(report: LedgerReport) -> list[Check]:
    words = f"{len(report.events)} events, {report.signatures}, tip {(report.tip or 'none')[:12]}"
    return [check_of("ledger", report.faults, otherwise=words)]


def _version_ledger_checks(root: Path, version: ModelVersion) -> list[Check]:
    """The ledger holds, and what it says of this version is what the registry says."""
    ref = ledger_ref(registry_of(home()))
    if ref is None:
        return [check_of("ledger", [], otherwise="nothing has been decided yet")]
    check_present(root, ref)
    report = ledger_report(ref)
    faults = [
        f"event {event.sequence} speaks of {name} {found}, the registry of {said}"
        for event in report.events
        if (event.model, event.version) == (version.name, str(version.version))
        for name, found, said in (
            ("run", event.run, version.run_id),
            ("commit", event.commit, fact(version, "cxr.commit")),
            ("evidence", event.evidence or fact(version, "cxr.evidence"), fact(version, "cxr.evidence")),
        )
        if found != said
    ]
    number = sum(event.version == str(version.version) for event in report.events)
    return [
        *_ledger_checks(report),
        check_of("decisions", faults, otherwise=f"{number} events speak of this version, its run, commit and evidence"),
    ]


def _aliases_check(report: LedgerReport) -> Check:
    expected = replay(report.events).get(MODEL, {})
    found = registered_aliases(registry_of(home()))
    faults = [
        f"{alias} should be version {expected.get(alias, 'none')} by the ledger, the registry says "
        f"{found.get(alias, 'none')}"
        for alias in sorted({*expected, *found})
        if expected.get(alias) != found.get(alias)
    ]
    words = ", ".join(f"{alias} {number}" for alias, number in found.items()) or "no alias is set"
    return check_of("aliases", faults, otherwise=words)


def _model_checks(version: ModelVersion) -> list[Check]:
    """The registered weights are the ones the version names, and its evidence is whole and its own."""
    tracker = tracker_of(home())
    named, said = fact(version, "cxr.weights"), fact(version, "cxr.evidence")
    weights: list[str] = []
    evidence: list[str] = []
    initial = "not known"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            reference = ModelReference(name=version.name, version=version.version)
            registry_of(home()).fetch_weights(reference, Path(scratch) / "weights")
    except CxrError as error:
        weights.append(error.message)
    try:
        measured = read_evidence(tracker, version.run_id)
        if measured.digest != said:
            evidence.append(f"expected {said}, found {measured.digest}")
        for what, found, wanted in (
            ("weights", measured.context.weights, named),
            ("commit", measured.context.commit, fact(version, "cxr.commit")),
        ):
            if found != wanted:
                evidence.append(f"it speaks of the {what} {found}, the version of {wanted}")
        initial = tracker.read(measured.context.runs["refit"]).tags.get("cxr.initial_weights", initial)
    except CxrError as error:
        evidence.append(error.message)
    return [
        check_of("weights", weights, otherwise=named[:19]),
        check_of("evidence", evidence, otherwise=said[:19]),
        # Images that made a checkpoint it started from are that model's own: its name is all that is known here.
        check_of("initial weights", [], otherwise=initial),
    ]
