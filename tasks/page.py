"""The page of a finished run: what it shows is read from the run's artifacts, what it says is the report room's.

The page is an artifact of the parent run (``report.html``), written before the model is registered and once more when
the policy has decided; ``cxr report`` writes it anew from the artifacts, with the last decision that the ledger knows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.audit.ledger_state import Event
from cxr_core.evaluate.schema import Evidence
from cxr_core.explain.records import parse_saliency
from cxr_core.files import read_json, write_text
from cxr_core.promote.decision import parse_decision
from cxr_core.report.forms.published import form_files
from cxr_core.report.material import Decided, Material, Origin, Picture
from cxr_core.report.page import page
from cxr_core.train.progress import EpochResult
from tasks.adapters.records import RunRecord
from tasks.adapters.tracking import Tracker
from tasks.events import stage_done, stage_started
from tasks.evidence import read_evidence, read_predictions, run_of
from tasks.explain import PICTURES_FILE, SALIENCY_FILE
from tasks.page_key import PAGE_FILE, PAGE_TAG, last_decision, page_key, page_place, page_tag
from tasks.run import Run
from tasks.settings import Home, home
from tasks.software import SOFTWARE_FILE, software
from tasks.stores import tracker_of
from tasks.trained import EPOCHS_FILE

__all__ = ["report", "write_report"]

_COHORT_FILE = "data/report.json"


@task(name="report", cache_policy=NO_CACHE)
def report(run: Run, parent: str) -> str:
    """Write the page from the run's artifacts, log it, and say where it is."""
    stage_started("report")
    tracker = tracker_of(run.home)
    log = tracker.attach(parent)
    if SOFTWARE_FILE not in tracker.read(parent).digests:
        log.json(SOFTWARE_FILE, software())
    # Before the material is read: a decision taken meanwhile makes the next retrain draw anew.
    key = page_key(run, parent)
    material = _material(run.home, parent)
    text = page(material)
    log.text(PAGE_FILE, text)
    for name, form in form_files(material).items():
        log.text(name, form)
    log.tags({PAGE_TAG: page_tag(key, tracker.read(parent).digests)})
    place = page_place(run.home, parent)
    stage_done("report", f"{len(text.encode()) / 1e6:.1f} MB, {place}")
    return place


def write_report(name: str | None, out: Path) -> dict[str, Any]:
    """``cxr report``: the page of a run, from its artifacts, as a file.

    Args:
        name: A run, the first digits of one, or a model; None is what serves.
        out: The file.

    Raises:
        TrackingError: There is no such run, it is no finished retrain, or an artifact is absent or was changed.
    """
    where = home()
    run_id = run_of(name)
    material = _material(where, run_id)
    text = page(material)
    write_text(out, text)
    decided = material.decided
    return {
        "ok": True,
        "run": run_id,
        "file": str(out),
        "bytes": len(text.encode()),
        "decision": decided.decision.outcome if decided else None,
    }


def _material(where: Home, run_id: str) -> Material:
    # Read here: a page of the core needs no torch, only the drawing of its network does.
    from cxr_core.report.tracing import outline_of

    tracker = tracker_of(where)
    record, evidence = tracker.read(run_id), read_evidence(tracker, run_id)
    similarity = record.metrics.get("gradcam.randomised_similarity")
    return Material(
        evidence=evidence,
        predictions=read_predictions(tracker, run_id),
        cohort=_json(tracker, run_id, _COHORT_FILE),
        histories=_histories(tracker, evidence),
        pictures=_pictures(tracker, record),
        randomised_similarity=None
        if similarity is None
        else (similarity, int(record.metrics["gradcam.randomised_similarity.n"])),
        outline=outline_of(record.params["train.architecture"], size=int(record.params["prepare.size"])),
        origin=_origin(tracker, record, evidence),
        decided=_decided(where, tracker, run_id),
        saliency=parse_saliency(_json(tracker, run_id, SALIENCY_FILE)) if SALIENCY_FILE in record.digests else None,
    )


def _histories(tracker: Tracker, evidence: Evidence) -> dict[int, list[EpochResult]]:
    folds = {
        int(name.removeprefix("fold-")): run_id
        for name, run_id in evidence.context.runs.items()
        if name.startswith("fold-")
    }
    return {
        fold: [EpochResult(**epoch) for epoch in _json(tracker, run_id, EPOCHS_FILE)] for fold, run_id in folds.items()
    }


def _pictures(tracker: Tracker, record: RunRecord) -> list[Picture]:
    """Grad-CAM pairs; none where the run has drawn none, as runs of before this had no list of them."""
    if PICTURES_FILE not in record.digests:
        return []
    listed: Sequence[dict[str, Any]] = _json(tracker, record.run_id, PICTURES_FILE)
    return [
        Picture(
            name=one["name"],
            label=one["label"],
            predicted=one["predicted"],
            probability=one["probability"],
            png=_bytes(tracker, record.run_id, one["file"]),
        )
        for one in listed
    ]


def _origin(tracker: Tracker, record: RunRecord, evidence: Evidence) -> Origin:
    trained = {name: tracker.read(run) for name, run in evidence.context.runs.items() if name != "parent"}
    weights = {name: one.tags.get("cxr.initial_weights", "") for name, one in trained.items()}
    known = _json(tracker, record.run_id, SOFTWARE_FILE) if SOFTWARE_FILE in record.digests else {}
    return Origin(
        run=record.run_id,
        name=record.name,
        started=datetime.fromtimestamp(record.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=record.tags.get("cxr.data", ""),
        program=record.tags.get("mlflow.source.name", ""),
        params=dict(sorted(record.params.items())),
        initial_weights={name: text for name, text in weights.items() if text},
        precision=", ".join(sorted({one.tags.get("cxr.precision", "") for one in trained.values()} - {""})),
        seconds={
            name: one.metrics["training_seconds"] for name, one in trained.items() if "training_seconds" in one.metrics
        },
        software=known.get("software", {}),
        machine=known.get("machine", {}),
    )


def _decided(where: Home, tracker: Tracker, run_id: str) -> Decided | None:
    event = last_decision(where, run_id)
    if event is None or event.decision is None:
        return None
    decision = _json(tracker, run_id, f"decisions/{event.decision[7:19]}/decision.json")
    return Decided(decision=parse_decision(decision), version=event.version, ledger=_words(event))


def _words(event: Event) -> str:
    return f"ledger event {event.sequence}, {event.kind}, {event.when}, by {event.who}"


def _json(tracker: Tracker, run_id: str, name: str) -> Any:
    with tempfile.TemporaryDirectory() as scratch:
        return read_json(tracker.fetch(run_id, name, Path(scratch) / "content"))


def _bytes(tracker: Tracker, run_id: str, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        return tracker.fetch(run_id, name, Path(scratch) / "content").read_bytes()
