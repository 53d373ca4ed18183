"""Where copies of a run's data may be on this machine and its remote, handed to the audit as places to read.

Comes in: a run's commit, the checkout and the home. Goes out: ``Copies`` for the core, or with ``trace_run`` the trace.
A workspace counts where its own dvc.lock names the same output; its files are then compared too, since a data scientist
works on those, not on the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from cxr_core.audit.chain import Trace, trace_images
from cxr_core.audit.lock import Lock, read_lock
from cxr_core.audit.objects import Copies, Object
from cxr_core.errors import AuditError
from tasks.adapters.dvc_config import cache_folder, remote_address, remote_options
from tasks.adapters.git import find_checkout, read_committed, resolve
from tasks.adapters.objects import FolderStore, ObjectStore, open_store
from tasks.adapters.workspace import is_busy, known_workspaces

__all__ = ["find_copies", "trace_run"]


def trace_run(
    checkout: Path, home: Path, commit: str, *, remote: str | None = None, workspaces: Sequence[Path] = ()
) -> Trace:
    """Walk from a run's commit to every X-ray behind it, reading every copy there is.

    Args:
        checkout: The user's checkout, whose repository holds the run's commit.
        home: ``CXR_HOME``.
        commit: The run's commit.
        remote: ``CXR_DVC_REMOTE``; by default what ``remote_address`` finds.
        workspaces: Workspaces to read in any case: one outside the home, or one that the caller itself holds.

    Raises:
        SettingError: The checkout cannot serve.
        AuditError: The repository lacks the commit, or it has no readable dvc.lock.
        VersioningError: An S3 remote does not answer.
    """
    checkout = find_checkout(checkout)
    if resolve(checkout, commit) is None:
        raise AuditError(
            f"{checkout} does not have the commit {commit}.",
            reason="no_commit",
            hint="git fetch origin 'refs/cxr/*:refs/cxr/*'",
        )
    lock = read_committed(checkout, commit, "dvc.lock")
    places = find_copies(read_lock(lock), checkout, home, remote=remote, workspaces=workspaces) if lock else []
    return trace_images(committed=lambda path: read_committed(checkout, commit, path), copies=places)


def find_copies(
    lock: Lock, checkout: Path, home: Path, *, remote: str | None = None, workspaces: Sequence[Path] = ()
) -> list[Copies]:
    """The remote, the shared cache, and every workspace (the checkout among them) that states outputs of this lock."""
    address = remote_address(checkout, home, asked=remote)
    store = open_store(address, remote_options(checkout))
    # The cache may be emptied at any time; the remote is where a run's data is kept.
    places = [
        _unread("remote", f"only DVC can read {address}")
        if store is None
        else _in_store("remote", store, complete=True),
        _in_store("cache", FolderStore(root=cache_folder(home)), complete=False),
    ]
    named = [path.resolve() for path in (checkout, *workspaces)]
    others = [path.resolve() for path in known_workspaces(home)]
    for folder in dict.fromkeys([*named, *others]):
        name = "checkout" if folder == checkout else f"workspace {folder.name}"
        if folder not in named and is_busy(folder):
            places.append(_unread(name, "another run is using it"))
        elif place := _in_workspace(name, folder, lock):
            places.append(place)
    return places


def _in_store(name: str, store: ObjectStore, *, complete: bool) -> Copies:
    return Copies(
        name=name,
        open=lambda wanted: store.open(wanted.md5),
        where=lambda wanted: store.where(wanted.md5),
        complete=complete,
    )


def _in_workspace(name: str, folder: Path, lock: Lock) -> Copies | None:
    if not (folder / "dvc.lock").is_file():
        return None
    try:
        own = {part.path: part.md5 for part in read_lock((folder / "dvc.lock").read_bytes()).outputs}
    except AuditError as error:
        return _unread(name, error.message)
    shared = {part.path for part in lock.outputs if own.get(part.path) == part.md5}

    def open_file(wanted: Object) -> BinaryIO | None:
        path = folder / wanted.path
        # A listing has no file in a workspace: there its folder stands.
        return path.open("rb") if wanted.part in shared and path.is_file() else None

    if not shared:
        return None
    return Copies(name=name, open=open_file, where=lambda wanted: str(folder / wanted.path), complete=False)


def _unread(name: str, why: str) -> Copies:
    return Copies(name=name, open=lambda _: None, where=lambda wanted: wanted.path, complete=False, unread=why)
