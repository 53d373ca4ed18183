"""A retrain as MLflow holds it: the parent run, opened for a new one, or found whole where it has been done before."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from cxr_core.classes import CLASSES
from cxr_core.errors import TrackingError
from cxr_core.evaluate.schema import Evidence
from tasks.adapters.records import DatasetRef
from tasks.adapters.registry import ModelVersion
from tasks.data import DataVersion
from tasks.events import note, stage_done, stage_started
from tasks.evidence import EVIDENCE_FILE, HOLDOUT_FILE, read_evidence
from tasks.plan import Plan
from tasks.run import Run
from tasks.stores import MODEL, registry_of, tracker_of
from tasks.trained import KEY_FILE, PREDICTIONS_FILE, Trained, find_trained, provenance, reused_words, stage_name

__all__ = ["Found", "find_retrain", "open_retrain"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """An earlier retrain with the same key, every part of it whole.

    Attributes:
        parent: Its run.
        folds: Its folds, by number.
        refit: Its refit.
        evidence: What was measured.
        version: The registered version.
    """

    parent: str
    folds: tuple[Trained, ...]
    refit: Trained
    evidence: Evidence
    version: ModelVersion


def find_retrain(run: Run, plan: Plan) -> Found | None:
    """An earlier retrain of the same plan, or None where there is none or where any artifact of it is not whole."""
    tracker = tracker_of(run.home)
    held_out = (HOLDOUT_FILE,) if plan.held_out else ()
    files = (EVIDENCE_FILE, PREDICTIONS_FILE, KEY_FILE, *held_out)
    parent = tracker.find(plan.key.digest, artifacts=files, passed_over=partial(note, "evaluate"))
    if parent is None:
        return None
    version = _version_of(run, parent.run_id)
    if version is None:
        return None
    trained: list[Trained] = []
    for fold in (*range(len(plan.folds)), None):
        one = find_trained(run, plan, fold)
        if one is None:
            return None
        trained.append(one)
    *folds, refit = trained
    for one in trained:
        stage = stage_name(one.fold, len(folds))
        stage_started(stage)
        stage_done(stage, reused_words(one))
    evidence = read_evidence(tracker, parent.run_id)
    stage_started("evaluate")
    stage_done("evaluate", f"reused run {parent.run_id[:8]}: the same folds, measured the same way")
    return Found(parent=parent.run_id, folds=tuple(folds), refit=refit, evidence=evidence, version=version)


@contextmanager
def open_retrain(run: Run, plan: Plan, data: DataVersion, cohort: Mapping[str, Any]) -> Generator[str]:
    """Open the parent run, or go on with one that was stopped: parameters, the cohort as its data. Yields its id."""
    tracker = tracker_of(run.home)
    tracker.end_orphans()
    params = run.params.plain()
    with tracker.run(
        f"retrain {run.id}",
        kind="retrain",
        provenance=provenance(run, plan, data),
        key=plan.key.digest,
        resume=tracker.unfinished({"cxr.key": plan.key.digest, "cxr.kind": "retrain"}, params=params),
    ) as log:
        log.params(params)
        rows = sum(sum(cohort["counts"].get(slug, {}).values()) for slug in CLASSES)
        log.datasets([DatasetRef(name="cohort", digest=plan.cohort, commit=data.commit, context="training", rows=rows)])
        log.tags({"cxr.run": run.id, "cxr.cohort": plan.cohort, "cxr.split": plan.split})
        log.json("data/report.json", dict(cohort))
        yield log.id
        # Last, so that a parent that carries its key's parts has everything else too.
        log.json(KEY_FILE, plan.key.parts)


def _version_of(run: Run, parent: str) -> ModelVersion | None:
    try:
        return next((one for one in registry_of(run.home).versions(MODEL) if one.run_id == parent), None)
    except TrackingError as error:
        if error.reason == "model_missing":
            return None
        raise
