"""Publishing a data version: DVC copies, we verify every object at the remote, and a marker is written last.

DVC calls a remote up to date that a killed push left incomplete: it takes a folder's listing for proof that the files
are there. So nothing that DVC says counts here. Comes in: a dvc.lock, the cache and workspace that hold its bytes, a
remote. Goes out: ``Published``. Laws: a marker stands only where every object was verified with the SHA-256 of the
manifest; killed at any moment, a publish leaves no marker of its own, and the next one repairs; a publish that finds a
standing marker wrong takes it back before anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cxr_core.audit.lock import Lock
from cxr_core.audit.manifest import Fault, Manifest, manifest_of
from cxr_core.audit.objects import Copies, Object, Reading, objects_of, open_intact, read_intact, read_stream
from cxr_core.errors import VersioningError
from tasks.adapters.claims import read_claim, withdraw_claim, write_claim
from tasks.adapters.objects import FolderStore, ObjectStore
from tasks.adapters.receipts import Receipts
from tasks.adapters.survey import in_threads, survey

__all__ = [
    "Counted",
    "Published",
    "build_manifest",
    "contents_of",
    "in_store",
    "in_workspace",
    "missing_of",
    "publish",
    "restore",
]

Counted = Callable[[str, int, int], None]
"""Told what is being done, and how many of how many objects are done."""

_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What a publish ended with.

    Args:
        manifest: What is at the remote.
        verified: Whether every object was verified there and the marker stands; False where only DVC can read the
            remote.
        standing: Whether the remote was complete, and said so, before.
        read: Objects whose bytes were read back now.
        restored: Objects that DVC did not bring and that were copied here.
    """

    manifest: Manifest
    verified: bool
    standing: bool
    read: int
    restored: int


def publish(
    lock: Lock,
    *,
    local: Sequence[Copies],
    store: ObjectStore | None,
    receipts: Receipts,
    copy: Callable[[], None],
    named: str | None = None,
    counted: Counted = lambda verb, done, total: None,
) -> Published:
    """Bring a data version to a remote and have the remote say so, once every object there has been verified.

    Args:
        lock: What to publish.
        local: Where its bytes are on this machine.
        store: The remote; None where only DVC can read it: then DVC's word is all there is, and no marker is written.
        receipts: What was read before.
        copy: Copies the objects (``dvc push``); called only where something is missing.
        named: The digest of the manifest that a commit names, where one does: another one is refused.
        counted: Told of the progress.

    Raises:
        VersioningError: Bytes are lost or not those of the named manifest, DVC failed, the remote does not answer, or
            objects there stay wrong.
    """
    if store is None:
        manifest = build_manifest(lock, local, receipts, counted)
        copy()
        return Published(manifest=manifest, verified=False, standing=False, read=0, restored=0)
    manifest = build_manifest(lock, [*local, in_store("remote", store, complete=True)], receipts, counted)
    if named not in (None, manifest.digest):
        raise VersioningError(
            f"These bytes have the MD5s of dvc.lock but the manifest {manifest.digest}; the commit names {named}.",
            reason="manifest_mismatch",
            hint="An object was forged here or at the remote: publish from the machine that made the run.",
        )
    claim = read_claim(store, manifest.data)
    faults, read = _survey(store, manifest, receipts, counted)
    standing = not faults and claim.manifest == manifest
    if not standing and claim.marked:
        withdraw_claim(store, manifest.data)
    restored = 0
    if faults:
        counted("copying", 0, 0)
        copy()
        faults, again = _survey(store, manifest, receipts, counted)
        read += again
    if faults:
        restored = restore(store, local, manifest, faults, counted)
        faults, again = _survey(store, manifest, receipts, counted)
        read += again
    if faults:
        raise _incomplete(store, local, faults)
    if not standing:
        write_claim(store, manifest)
    return Published(manifest=manifest, verified=True, standing=standing, read=read, restored=restored)


def restore(
    store: ObjectStore, local: Sequence[Copies], manifest: Manifest, faults: Sequence[Fault], counted: Counted
) -> int:
    """Copy wrong objects into a store from unchanged ones of this machine; returns how many were.

    Raises:
        VersioningError: The remote refuses.
    """

    def put(fault: Fault) -> bool:
        entry = manifest.objects[fault.md5]
        stream = open_intact(Object(path=entry.path, part=entry.path, md5=entry.md5), local)
        if stream is None:
            return False
        with closing(stream):
            store.put(entry.md5, stream)
        return True

    # Listings last: where one stands, DVC believes that the files do.
    listings = [fault for fault in faults if fault.md5.endswith(".dir")]
    files = [fault for fault in faults if not fault.md5.endswith(".dir")]
    return sum(
        sum(in_threads(some, put, lambda done, total: counted("restoring", done, total))) for some in (files, listings)
    )


def build_manifest(lock: Lock, copies: Sequence[Copies], receipts: Receipts, counted: Counted) -> Manifest:
    """The manifest of a lock, from bytes that have the MD5 the lock states; what was hashed before is not hashed again.

    Raises:
        VersioningError: An object has no unchanged copy in any of the places.
        AuditError: A listing cannot be used.
    """
    objects = contents_of(lock, copies)
    by_md5 = {item.md5: item for item in objects}
    known = receipts.measured(by_md5)
    unknown = [item for md5, item in by_md5.items() if md5 not in known]
    found = in_threads(
        unknown, lambda item: _measure(item, copies), lambda done, total: counted("hashing", done, total)
    )
    new = {item.md5: reading for item, reading in zip(unknown, found, strict=True)}
    receipts.keep_measured(new)
    return manifest_of(lock, objects, known | new)


def contents_of(lock: Lock, copies: Sequence[Copies]) -> list[Object]:
    """All objects of a lock: the listings, each read from the first place that has it unchanged, and their members.

    Raises:
        VersioningError: A listing has no unchanged copy.
        AuditError: A listing cannot be used.
    """
    objects: list[Object] = []
    for part in lock.outputs:
        whole = Object(path=part.path, part=part.path, md5=part.md5)
        listing = read_intact(whole, copies) if part.is_folder else None
        if part.is_folder and listing is None:
            raise _lost(whole, copies)
        objects += objects_of(part, listing)
    return objects


def missing_of(lock: Lock, store: ObjectStore, local: Sequence[Copies]) -> list[Fault]:
    """What a store lacks of a lock for which it has no manifest: presence alone, since only a manifest knows sizes.

    Raises:
        VersioningError: The store does not answer.
        AuditError: A listing cannot be used.
    """
    places = [*local, in_store("remote", store, complete=True)]
    objects: list[Object] = []
    for part in lock.outputs:
        whole = Object(path=part.path, part=part.path, md5=part.md5)
        listing = read_intact(whole, places) if part.is_folder else None
        objects += [whole] if part.is_folder and listing is None else objects_of(part, listing)
    there = store.standing([item.md5 for item in objects])
    return [
        Fault(path=item.path, md5=item.md5, kind="missing", detail=f"not at {store.where(item.md5)}")
        for item in sorted(objects, key=lambda item: item.path)
        if item.md5 not in there
    ]


def in_store(name: str, store: ObjectStore, *, complete: bool) -> Copies:
    """A store as a place that holds copies."""
    return Copies(
        name=name,
        open=lambda wanted: store.open(wanted.md5),
        where=lambda wanted: store.where(wanted.md5),
        complete=complete,
    )


def in_workspace(root: Path, cache: FolderStore) -> list[Copies]:
    """Where a workspace's bytes are: DVC's cache first, then its own files."""

    def open_file(wanted: Object) -> BinaryIO | None:
        path = root / wanted.path
        # A listing has no file in a workspace: there its folder stands.
        return path.open("rb") if path.is_file() else None

    files = Copies(name="workspace", open=open_file, where=lambda wanted: str(root / wanted.path), complete=False)
    return [in_store("cache", cache, complete=False), files]


def _survey(
    store: ObjectStore, manifest: Manifest, receipts: Receipts, counted: Counted
) -> tuple[tuple[Fault, ...], int]:
    found = survey(
        store,
        manifest.objects,
        depth="unseen",
        receipts=receipts,
        counted=lambda done, total: counted("verifying", done, total),
    )
    return found.faults, found.read


def _measure(item: Object, copies: Sequence[Copies]) -> Reading:
    for place in copies:
        stream = None if place.unread else place.open(item)
        if stream is not None and (reading := read_stream(stream)).md5 == item.md5.removesuffix(".dir"):
            return reading
    raise _lost(item, copies)


def _lost(item: Object, copies: Sequence[Copies]) -> VersioningError:
    places = ", ".join(place.name for place in copies)
    return VersioningError(
        f"{item.path} ({item.md5}) has no unchanged copy in any of: {places}.",
        reason="object_lost",
        hint=_hint(item, copies),
    )


def _incomplete(store: ObjectStore, local: Sequence[Copies], faults: Sequence[Fault]) -> VersioningError:
    named = "; ".join(fault.words for fault in faults[:_NAMED])
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return VersioningError(
        f"{len(faults)} objects at {store.address} are not what dvc.lock says: {named}{more}.",
        reason="remote_incomplete",
        hint=_hint(Object(path=faults[0].path, part=faults[0].path, md5=faults[0].md5), local),
    )


def _hint(item: Object, copies: Sequence[Copies]) -> str:
    # DVC takes a read-only object in its cache for unchanged, whatever its bytes are.
    return f"rm -f {copies[0].where(item)}, remove data/ and dvc.lock from the workspace, and run again."
