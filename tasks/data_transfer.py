"""``cxr data pull|push|verify``: a version held against the remote, published there again, or brought back from it.

None of them needs DVC to be right: what is expected is read from the commit and from the manifest that was published
with it, and every byte is checked here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cxr_core.audit.manifest import Fault, Manifest, manifest_faults
from cxr_core.errors import VersioningError
from tasks.adapters import dvc
from tasks.adapters.claims import Claim, read_claim
from tasks.adapters.dvc_config import cache_folder
from tasks.adapters.fetch import CacheTarget, Fetched, FolderTarget, fetch, wrong_files
from tasks.adapters.publish import contents_of, in_store, missing_of, publish
from tasks.adapters.receipts import Receipts
from tasks.adapters.survey import survey
from tasks.adapters.workspace import make_home, open_workspace
from tasks.events import progress, stage_done, stage_started
from tasks.versions import DataAt, find_data

__all__ = ["pull_data", "push_data", "verify_data"]


def verify_data(reference: str | None, *, quick: bool) -> dict[str, Any]:
    """Hold a remote against what was published there: is it complete, and is every object what the manifest says?

    Args:
        reference: A commit, a run (its id, or the first digits of MLflow's) or a model; None is the model in service.
        quick: Presence and sizes alone, instead of every byte.

    Returns:
        ``ok``, ``complete`` (the remote's own claim holds), ``why`` it does not, ``commit``, ``data``, ``remote``,
        ``quick``, ``objects``, ``bytes``, ``read`` (objects read whole), ``missing`` and ``damaged`` (paths),
        ``faults`` (each with path, md5, kind, detail).

    Raises:
        TrackingError: No such version.
        AuditError: The commit cannot be read.
        VersioningError: The remote does not answer, or only DVC can read it.
    """
    version = find_data(reference)
    stage_started("verify", version.store.address)
    manifest, why = _trusted(version, read_claim(version.store, version.lock.version), listings=not quick)
    if manifest is None:
        return _report(version, why=why, faults=missing_of(version.lock, version.store, [version.cache()]), quick=quick)
    found = survey(
        version.store,
        manifest.objects,
        depth="presence" if quick else "all",
        counted=lambda done, total: progress("verify", done, total, "reading"),
    )
    words = f"{len(manifest.objects) - len(found.faults)} of {len(manifest.objects)} objects are right"
    stage_done("verify", f"{words} at {version.store.address}")
    return _report(version, manifest=manifest, faults=found.faults, quick=quick, read=found.read)


def pull_data(reference: str | None, *, to: Path | None) -> dict[str, Any]:
    """Bring every byte of a data version back, each file checked by SHA-256; or say which cannot be had.

    Args:
        reference: As for ``verify_data``.
        to: The folder that gets the files; None lays out a workspace of the commit (code, data, dvc.lock) in the home.

    Returns:
        As ``verify_data``, and ``to``, ``files``, and of the objects ``kept`` (in place before), ``copied`` (from the
        cache), ``downloaded``.

    Raises:
        TrackingError: No such version.
        AuditError: The commit cannot be read.
        SettingError: The folder holds other bytes under the same names, or cannot be written to.
        VersioningError: The remote does not answer, or only DVC can read it.
    """
    version = find_data(reference)
    stage_started("pull", version.store.address)
    manifest, why = _trusted(version, read_claim(version.store, version.lock.version), listings=True)
    if manifest is None:
        # Nothing can prove what would be fetched, so nothing is.
        return _report(version, why=why, faults=missing_of(version.lock, version.store, [version.cache()]))
    folder, fetched, wrong = _workspace(version, manifest) if to is None else _folder(version, manifest, to)
    faults = [*fetched.faults, *wrong]
    if not faults:
        stage_done("pull", f"{len(manifest.files)} files, each with its SHA-256, in {folder}")
    return _report(version, manifest=manifest, faults=faults) | {
        "to": str(folder),
        "files": len(manifest.files),
        "kept": fetched.kept,
        "copied": fetched.copied,
        "downloaded": fetched.downloaded,
    }


def push_data(reference: str | None) -> dict[str, Any]:
    """Publish a commit's data again from this home's cache: repairs a remote that has lost objects.

    Raises:
        TrackingError: No such version.
        AuditError: The commit cannot be read.
        VersioningError: The remote does not answer, only DVC can read it, an object is whole nowhere, or the
            bytes are not those that the commit names.
    """
    version = find_data(reference)
    stage_started("publish", version.store.address)
    published = publish(
        version.lock,
        local=[version.cache()],
        store=version.store,
        receipts=Receipts(home=version.home),
        # Without a workspace there is nothing that DVC could push from; what is missing is copied from the cache.
        copy=lambda: None,
        named=version.named,
        counted=lambda verb, done, total: progress("publish", done, total, verb),
    )
    stage_done("publish", f"{len(published.manifest.objects)} objects verified at {version.store.address}")
    return _report(version, manifest=published.manifest) | {"read": published.read, "restored": published.restored}


def _trusted(version: DataAt, claim: Claim, *, listings: bool) -> tuple[Manifest | None, str]:
    """The manifest that the remote claims to hold whole, if it is the one that the commit speaks of; else why not."""
    manifest = claim.manifest
    if manifest is None:
        return None, claim.why
    if version.named not in (None, manifest.digest):
        return None, f"the commit was made with the manifest {version.named}, the remote has {manifest.digest}"
    if listings:
        places = [version.cache(), in_store("remote", version.store, complete=True)]
        try:
            differing = manifest_faults(manifest, version.lock, contents_of(version.lock, places))
        except VersioningError as error:
            # A listing that is lost is told with everything else that is.
            differing = [] if error.reason == "object_lost" else [error.message]
        if differing:
            return None, "; ".join(differing[:5])
    return manifest, ""


def _workspace(version: DataAt, manifest: Manifest) -> tuple[Path, Fetched, list[Fault]]:
    make_home(version.home)
    remote = os.environ.get("CXR_DVC_REMOTE") or None
    name = f"data-{version.commit[:12]}"
    with open_workspace(version.root, version.home, version.commit, name=name, remote=remote) as workspace:
        target = CacheTarget(root=cache_folder(version.home), data=manifest.data)
        fetched = fetch(manifest.objects, target=target, store=version.store, counted=_counted)
        if fetched.faults:
            return workspace.path, fetched, []
        dvc.checkout(workspace.path)
        return workspace.path, fetched, wrong_files(workspace.path, manifest)


def _folder(version: DataAt, manifest: Manifest, to: Path) -> tuple[Path, Fetched, list[Fault]]:
    folder = to.expanduser().absolute()
    files = {md5: entry for md5, entry in manifest.objects.items() if not entry.is_listing}
    target = FolderTarget(folder, manifest)
    fetched = fetch(files, target=target, store=version.store, local=[version.cache()], counted=_counted)
    return folder, fetched, []


def _counted(done: int, total: int) -> None:
    progress("pull", done, total, "fetching")


def _report(
    version: DataAt,
    *,
    manifest: Manifest | None = None,
    why: str = "",
    faults: Sequence[Fault] = (),
    quick: bool = False,
    read: int = 0,
) -> dict[str, Any]:
    rows = [*_by_path(manifest, faults)]
    return {
        "ok": manifest is not None and not faults,
        "complete": manifest is not None,
        "why": why,
        "reference": version.reference,
        "commit": version.commit,
        "data": version.lock.version,
        "remote": version.store.address,
        "quick": quick,
        "objects": 0 if manifest is None else len(manifest.objects),
        "bytes": 0 if manifest is None else manifest.total_bytes,
        "read": read,
        "missing": [row["path"] for row in rows if row["kind"] == "missing"],
        "damaged": [row["path"] for row in rows if row["kind"] != "missing"],
        "faults": rows,
    }


def _by_path(manifest: Manifest | None, faults: Iterable[Fault]) -> Iterable[dict[str, str]]:
    """Every file that a fault concerns: several files with the same bytes are one object."""
    for fault in faults:
        paths = [entry.path for entry in manifest.entries if entry.md5 == fault.md5] if manifest else [fault.path]
        for path in paths or [fault.path]:
            yield {"path": path, "md5": fault.md5, "kind": fault.kind, "detail": fault.detail}
