"""The end of a retrain as one plain mapping: what ``cxr retrain --json`` prints and the terminal's view shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_core.evaluate.schema import Coverage, Evidence, External, Population
from tasks.run import Run
from tasks.stores import MODEL
from tasks.trained import Trained

__all__ = ["report_of"]


def report_of(
    run: Run,
    *,
    page: str,
    parent: str,
    folds: Sequence[Trained],
    refit: Trained,
    evidence: Evidence,
    decision: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Figures with their intervals, folds with their runs, the decision, and what to do next."""
    people, clean, held_out = evidence.all, evidence.leak_free, evidence.holdout
    in_service = decision["outcome"] in ("promoted", "unchanged") and decision["champion"]
    shown = f"models:/{MODEL}@champion" if in_service else f"models:/{MODEL}/{decision['version']}"
    return {
        "ok": True,
        "run": parent,
        "page": page,
        "id": run.id,
        "commit": evidence.context.commit,
        "model": {"name": MODEL, "version": decision["version"]},
        "protocol": evidence.context.protocol,
        "synthetic": evidence.context.synthetic,
        "n": people.n,
        "coverage": _coverage(evidence.coverage),
        "accuracy": people.accuracy.model_dump(mode="json"),
        "mean_fold_accuracy": people.mean_fold_accuracy.model_dump(mode="json"),
        "macro_auc": people.macro_auc.model_dump(mode="json"),
        "leak_free_n": clean.n,
        "leak_free_accuracy": clean.accuracy.model_dump(mode="json"),
        "per_class": {slug: row.model_dump(mode="json") for slug, row in people.per_class.items()},
        **({"holdout": _holdout(held_out)} if held_out else {}),
        **({"external": _external(evidence.external)} if evidence.external else {}),
        "folds": [dataclasses.asdict(fold) for fold in folds],
        "refit": dataclasses.asdict(refit),
        "reused": sum(fold.reused for fold in (*folds, refit)),
        "decision": dict(decision),
        "seconds": round(seconds, 1),
        "next": [
            ["every image behind it", f"cxr trace {shown}"],
            ["runs, figures, models", "cxr ui"],
            ["what it was made from", f"cxr why {parent[:8]}"],
        ],
    }


def _coverage(coverage: Coverage | None) -> dict[str, Any] | None:
    return None if coverage is None else {**coverage.model_dump(mode="json"), "words": coverage.words}


def _external(sets: Mapping[str, External]) -> dict[str, Any]:
    """The registered model on images from elsewhere, by the name of their set."""
    return {name: {**_holdout(one.people), "left_out": one.left_out} for name, one in sets.items()}


def _holdout(people: Population) -> dict[str, Any]:
    """The registered model on the images that nothing else has seen."""
    return {
        "n": people.n,
        "groups": people.groups,
        "accuracy": people.accuracy.model_dump(mode="json"),
        "macro_auc": people.macro_auc.model_dump(mode="json"),
        "per_class": {slug: row.model_dump(mode="json") for slug, row in people.per_class.items()},
    }
