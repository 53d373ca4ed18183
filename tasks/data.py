"""The data version of a run: its commit, once DVC, parameters and code agree and the remote holds every object."""

from __future__ import annotations

import os
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE
from rich.filesize import decimal

from cxr_core.errors import TrackingError
from tasks.adapters.publish import Published
from tasks.adapters.sharing import git_remotes, run_message, share_refs
from tasks.adapters.workspace import RUN_REFS, commit_run, push
from tasks.events import progress, stage_done, stage_started
from tasks.run import Run
from tasks.stores import ledger_ref, registry_of

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
    """Publish the data, commit what names it, and push the commit where a git remote is set."""
    stage_started("version", "publishing")
    published = push(run.workspace, lambda verb, done, total: progress("version", done, total, verb))
    # Without the run's id: the same content is the same commit, however often it is run.
    commit = commit_run(run.workspace, run.id, run_message(published.manifest.digest))
    shared = _share(run)
    words = f"data commit {commit[:12]} at {RUN_REFS}{run.id}{shared}; {_words(published, run.workspace.remote)}"
    stage_done("version", words)
    return DataVersion(commit=commit, digest=published.manifest.data)


def _share(run: Run) -> str:
    """Push the run and the ledger as it stands to the git remote that ``CXR_GIT_REMOTE`` names; says what was done."""
    remote = os.environ.get("CXR_GIT_REMOTE")
    if not remote:
        return ", in this repository alone (CXR_GIT_REMOTE is not set)" if git_remotes(run.workspace.checkout) else ""
    share_refs(run.workspace.checkout, remote, [f"{RUN_REFS}{run.id}", *_ledger(run)])
    return f", pushed to {remote}"


def _ledger(run: Run) -> list[str]:
    try:
        ref = ledger_ref(registry_of(run.home))
    except TrackingError as error:
        if error.reason != "model_missing":
            raise
        return []
    return [ref] if ref is not None else []


def _words(published: Published, remote: str) -> str:
    manifest = published.manifest
    number = f"{len(manifest.objects)} objects, {decimal(manifest.total_bytes)}"
    if not published.verified:
        return f"{number}, pushed to {remote} and not verified: only DVC can read it"
    return f"{number}, every one verified at {remote}"
