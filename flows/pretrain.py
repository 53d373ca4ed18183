"""``pretrain``: from sources to a backbone that no image of the cohort has taught, one call a stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.curate import curate
from tasks.data import version_data
from tasks.ingest import ingest
from tasks.prepare import prepare
from tasks.pretrain import plan_pretraining, pretrain_backbone, register_backbone
from tasks.run import open_run
from tasks.split import split

__all__ = ["pretrain"]


@flow(name="pretrain")
def pretrain(
    overrides: list[str] | None = None,
    workspace: str | None = None,
    alias: str = "newest",
    program: str = "cxr pretrain",
) -> dict[str, Any]:
    """Train a backbone outside the cohort and register it; what has not changed since an earlier run is reused.

    Args:
        overrides: ``key=value`` for params.yaml.
        workspace: A folder to run in; by default one under ``CXR_HOME``.
        alias: What points at the version afterwards.
        program: What was called, as the MLflow run names its source.
    """
    began = time.monotonic()
    with open_run(
        overrides or [], program=program, folder=Path(workspace) if workspace else None, unpinned=False
    ) as run:
        ingest(run)
        curate(run)
        # A data version is whole: what a retrain of the same parameters will read stands in it too.
        prepare(run)
        split(run)
        plan = plan_pretraining(run)
        data = version_data(run)
        trained = pretrain_backbone(run, plan, data)
        version = register_backbone(run, trained, data, alias)
    return {
        "ok": True,
        "model": version.uri,
        "alias": alias,
        "run": trained.run_id,
        "weights": version.tags["cxr.weights"],
        "images": {"train": len(plan.train), "validation": len(plan.validation)},
        "classes": list(plan.classes),
        "error_rate": trained.metrics.get("error_rate"),
        "seconds": round(time.monotonic() - began, 1),
    }
