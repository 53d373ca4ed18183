"""``protocols``: one cohort cross-validated under several protocols, from sources to one table, one call a stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import flow

from cxr_core.params import Protocol
from tasks.curate import curate
from tasks.ingest import ingest
from tasks.prepare import prepare
from tasks.protocol_runs import find_protocols, log_protocols, open_protocols, report_of
from tasks.protocols import check_dealing, cross_validate, measure_protocols, plan_protocol
from tasks.run import open_run
from tasks.runners import runner_of

__all__ = ["protocols"]


@flow(name="protocols")
def protocols(
    names: list[Protocol],
    overrides: list[str] | None = None,
    workspace: str | None = None,
    program: str = "cxr protocols",
) -> dict[str, Any]:
    """Train the folds of each protocol, or find them trained, and put what they measure side by side.

    No model is refitted on every image, and none is registered.

    Args:
        names: The protocols; the others are held against the first.
        overrides: ``key=value`` for params.yaml.
        workspace: A folder to run in; by default one under ``CXR_HOME``.
        program: What was called, as the MLflow run names its source.
    """
    began = time.monotonic()
    folder = Path(workspace) if workspace else None
    with open_run(overrides or [], program=program, folder=folder, unpinned=False) as run:
        runner = runner_of(run)
        ingest(run)
        cohort = curate(run)
        check_dealing(run, names)
        prepare(run)
        plans = [plan_protocol(run, name) for name in names]
        if found := find_protocols(run, plans):
            return report_of(run, found.parent, found.table, found.folds, seconds=time.monotonic() - began)
        with open_protocols(run, plans, cohort) as parent:
            done = [cross_validate(run, each, parent, runner) for each in plans]
            table = measure_protocols(run, plans, done)
            log_protocols(run, parent, table, done)
        folds = [each.folds for each in done]
        return report_of(run, parent, table, folds, seconds=time.monotonic() - began)
