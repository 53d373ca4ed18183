"""The data version of a run: its commit, once DVC, parameters and code agree and the remote holds every object."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.audit.lock import read_lock
from tasks.adapters.workspace import RUN_REFS, commit_run, push
from tasks.events import stage_done, stage_started
from tasks.run import Run

__all__ = ["DataVersion", "version_data"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataVersion:
    """What an MLflow run names as its data.

    Attributes:
        commit: Code, parameters, pins and dvc.lock; stands under ``refs/cxr/runs/<run id>``.
        digest: ``sha256:<hex>`` over dvc.lock's outputs.
    """

    commit: str
    digest: str


@task(name="version data", cache_policy=NO_CACHE)
def version_data(run: Run) -> DataVersion:
    """Push the data, check the remote, commit what names it."""
    stage_started("version", "pushing")
    push(run.workspace)
    # Without the run's id: the same content is the same commit, however often it is run.
    commit = commit_run(run.workspace, run.id, "Data, parameters and code of a retrain")
    digest = read_lock((run.path / "dvc.lock").read_bytes()).version
    stage_done("version", f"data commit {commit[:12]} at {RUN_REFS}{run.id}; every object is at {run.workspace.remote}")
    return DataVersion(commit=commit, digest=digest)
