"""How people name a data version (a commit, a run, a model), and where its bytes should be."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cxr_core.audit.lock import Lock, read_lock
from cxr_core.audit.objects import Copies
from cxr_core.errors import AuditError, TrackingError, VersioningError
from tasks.adapters.dvc_config import cache_folder, remote_address, remote_options
from tasks.adapters.git import find_checkout, read_committed, resolve
from tasks.adapters.objects import FolderStore, ObjectStore, open_store
from tasks.adapters.publish import in_store
from tasks.adapters.references import parse_reference
from tasks.adapters.sharing import FETCH_REFS, manifest_of_commit
from tasks.adapters.workspace import RUN_REFS
from tasks.settings import checkout, home

__all__ = ["DataAt", "commit_of", "find_data"]

_MODEL_PREFIX = "models:/"
_COMMIT_DIGITS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class DataAt:
    """A data version as a commit names it, and the remote it should be at.

    Attributes:
        reference: What was asked for.
        root: The checkout.
        home: ``CXR_HOME``.
        commit: Whose data it is.
        lock: The commit's dvc.lock.
        store: The remote.
        named: Digest of the manifest that the commit names; None where it names none.
    """

    reference: str
    root: Path
    home: Path
    commit: str
    lock: Lock
    store: ObjectStore
    named: str | None

    def cache(self) -> Copies:
        """The home's cache."""
        return in_store("cache", FolderStore(root=cache_folder(self.home)), complete=False)


def find_data(reference: str | None) -> DataAt:
    """A data version by name.

    Args:
        reference: A commit, a run (its id, or the first digits of MLflow's) or a model; None is the model in service.

    Raises:
        TrackingError: No such version.
        AuditError: The commit cannot be read, or names no data.
        VersioningError: Only DVC can read the remote.
    """
    root = find_checkout(checkout())
    where = home(root).root
    commit = commit_of(reference, root)
    text = read_committed(root, commit, "dvc.lock")
    if text is None:
        raise AuditError(
            f"The commit {commit[:12]} has no dvc.lock, so it names no data.",
            reason="no_lock",
            hint="Name a run's commit; they are listed by: git for-each-ref refs/cxr/runs",
        )
    address = remote_address(root, where, asked=os.environ.get("CXR_DVC_REMOTE") or None)
    store = open_store(address, remote_options(root))
    if store is None:
        raise VersioningError(
            f"Only DVC can read {address}, so nothing can be verified there.",
            reason="remote_not_readable",
            hint=f"git worktree add ../data {commit[:12]} && cd ../data && dvc pull",
        )
    return DataAt(
        reference=reference or "what serves",
        root=root,
        home=where,
        commit=commit,
        lock=read_lock(text),
        store=store,
        named=manifest_of_commit(root, commit),
    )


def commit_of(reference: str | None, root: Path) -> str:
    """The commit behind a name: a git revision, a run's id, the first digits of MLflow's, or a model; None serves.

    Raises:
        TrackingError: It names nothing here, or several runs.
        AuditError: The repository lacks the commit.
    """
    if reference is not None and not reference.startswith(_MODEL_PREFIX):
        for name in (RUN_REFS + reference, reference):
            if found := resolve(root, name):
                return found
    is_commit = reference is not None and len(reference) == _COMMIT_DIGITS
    said = reference if is_commit and reference is not None else _recorded_commit(reference)
    if found := resolve(root, said):
        return found
    raise AuditError(f"{root} does not have the commit {said}.", reason="no_commit", hint=FETCH_REFS)


def _recorded_commit(reference: str | None) -> str:
    """The commit that MLflow's store has for a model or a run."""
    from tasks.stores import MODEL, fact, in_service, registry_of, tracker_of

    where = home()
    if reference is None:
        return fact(in_service(registry_of(where)), "cxr.commit")
    runs = [record for record in tracker_of(where).search({}) if record.run_id.startswith(reference)]
    if len(runs) == 1 and "cxr.commit" in runs[0].tags:
        return runs[0].tags["cxr.commit"]
    try:
        return fact(registry_of(where).get(parse_reference(reference, default=MODEL)), "cxr.commit")
    except TrackingError as error:
        many = f"the beginning of {len(runs)} runs" if runs else "none that this machine knows"
        raise TrackingError(
            f"Expected a commit, a run or a model; {reference!r} is {many}.",
            reason="ambiguous_run" if len(runs) > 1 else "no_version",
            hint=f"`cxr ui` lists runs and models; in a fresh clone first: {FETCH_REFS}",
        ) from error
