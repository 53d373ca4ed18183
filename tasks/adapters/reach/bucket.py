"""A source in a bucket: one archive, or the objects under a prefix as a folder of files.

Versions: ``s3:version:<id>`` where the bucket keeps versions, ``s3:etag:<tag>`` where it does not, and for a prefix
``s3:objects:<hex>``, the digest of what its listing says: name, size and ETag of each object. Laws: an archive is one
version from its first byte to its last; a prefix is what one listing says or nothing, objects that are here already are
not fetched twice, and no object is written where its name would lead out of the folder or onto another's place.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_core.classes import Source
from cxr_core.digests import digest_bytes, digest_value
from cxr_core.errors import SourceError
from cxr_core.ingest.address import S3Address
from tasks.adapters.reach.arrival import Fetched, take_in
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.members import check_names, is_hidden, published_root
from tasks.adapters.reach.progress import Progress
from tasks.adapters.reach.s3 import CONNECTIONS, ask, connect, object_stream
from tasks.adapters.reach.store import Store
from tasks.adapters.reach.terms import MAX_VARIABLE, Terms
from tasks.adapters.reach.transfer import transfer

__all__ = ["fetch_s3", "newest_s3"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Object:
    """One object of a listing: what follows the prefix in its key, bytes, and ETag as S3 writes it."""

    name: str
    bytes: int
    tag: str


def fetch_s3(
    source: Source, address: S3Address, *, store: Store, upstream: str, terms: Terms, progress: Progress
) -> Fetched:
    """What lies at an address in S3.

    Args:
        source: Whose.
        address: Where.
        store: Held by the caller.
        upstream: The wanted version; empty for what is there now.
        terms: Limits.
        progress: Told of the download.

    Raises:
        SourceError: It cannot be had, holds what must not be written, or is another version.
    """
    if here := upstream and store.find(upstream):
        return Fetched(folder=here, upstream=upstream)
    fetch = _fetch_prefix if address.is_prefix else _fetch_archive
    return fetch(connect(terms), source, address, store=store, upstream=upstream, terms=terms, progress=progress)


def newest_s3(address: S3Address, *, terms: Terms) -> str:
    """The version that is there now; nothing of it is read.

    Raises:
        SourceError: S3 refuses or does not answer, or there is nothing.
    """
    client = connect(terms)
    if address.is_prefix:
        return _version_of_all(_objects(client, address))
    return _version(_head(client, address))


def _fetch_archive(
    client: Any,
    source: Source,
    address: S3Address,
    *,
    store: Store,
    upstream: str,
    terms: Terms,
    progress: Progress,
) -> Fetched:
    head = _head(client, address)
    found = _version(head)
    version_id = ""
    if upstream and upstream != found:
        kind, _, version_id = upstream.removeprefix("s3:").partition(":")
        if kind != "version":
            raise _gone(address, upstream)
        head = _head(client, address, version_id=version_id)
        found = upstream
    if here := store.find(found):
        return Fetched(folder=here, upstream=found)
    arrived = transfer(
        lambda held, _: object_stream(
            client, address.bucket, address.key, held, shown=str(address), tag=head["ETag"], version_id=version_id
        ),
        store.partial(f"{address} {found}"),
        shown=str(address),
        terms=terms,
        progress=progress,
    )
    return take_in(arrived.path, found, source=source, store=store, shown=str(address))


def _fetch_prefix(
    client: Any,
    source: Source,
    address: S3Address,
    *,
    store: Store,
    upstream: str,
    terms: Terms,
    progress: Progress,
) -> Fetched:
    objects = _objects(client, address)
    found = _version_of_all(objects)
    if upstream and upstream != found:
        raise _gone(address, upstream)
    if here := store.find(found):
        return Fetched(folder=here, upstream=found)
    paths = check_names((item.name for item in objects), where=str(address))
    total = sum(item.bytes for item in objects)
    if total > terms.max_bytes:
        raise SourceError(
            f"{address} holds {total / 1e9:.1f} GB; {terms.max_bytes / 1e9:g} GB is all that is taken here.",
            reason=ReachFault.TOO_LARGE.value,
            hint=f"Check the address; if the source is that large, raise {MAX_VARIABLE}.",
        )
    partial = store.partial(f"{address} {found}")
    _bring(
        client, address, dict(zip(paths, objects, strict=True)), partial, terms=terms, progress=_Sum(progress, total)
    )
    folder = store.keep(published_root(partial / "files", source), found)
    shutil.rmtree(partial, ignore_errors=True)
    return Fetched(folder=folder, upstream=found)


def _bring(
    client: Any, address: S3Address, objects: Mapping[str, _Object], partial: Path, *, terms: Terms, progress: _Sum
) -> None:
    """Every object to ``partial/files``; those that an earlier try brought whole stay."""

    def bring(path: str, item: _Object) -> None:
        target = partial / "files" / path
        if not target.exists():
            own = partial / "objects" / digest_bytes(item.name.encode())[7:39]
            own.mkdir(parents=True, exist_ok=True)
            key, shown = address.key + item.name, f"{address}{item.name}"
            arrived = transfer(
                lambda held, _: object_stream(client, address.bucket, key, held, shown=shown, tag=item.tag),
                own,
                shown=shown,
                terms=terms,
                progress=lambda done, _: progress.at(item.name, done),
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            arrived.path.rename(target)
            shutil.rmtree(own)
        progress.at(item.name, item.bytes)

    with ThreadPoolExecutor(max_workers=CONNECTIONS) as threads:
        futures = [threads.submit(bring, path, item) for path, item in objects.items()]
        try:
            for future in futures:
                future.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


class _Sum:
    """Progress of many files as one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._each: dict[str, int] = {}
        self._lock = threading.Lock()

    def at(self, name: str, done: int) -> None:
        """So many bytes of a file are here."""
        with self._lock:
            self._done += done - self._each.get(name, 0)
            self._each[name] = done
            self._progress(self._done, self._total)


def _objects(client: Any, address: S3Address) -> list[_Object]:
    """What a prefix holds, sorted by name; folders' own marks and hidden files are left out.

    Raises:
        SourceError: S3 refuses, or there is nothing.
    """
    found: list[_Object] = []
    more: dict[str, str] = {}
    while True:
        page = ask(client.list_objects_v2, shown=str(address), Bucket=address.bucket, Prefix=address.key, **more)
        for row in page.get("Contents", []):
            name = row["Key"].removeprefix(address.key)
            # An empty object whose name ends with a slash is how consoles keep an empty folder.
            marks_folder = not row["Size"] and (not name or name.endswith("/"))
            if not marks_folder and not is_hidden(name):
                found.append(_Object(name=name, bytes=int(row["Size"]), tag=row["ETag"]))
        if not page.get("IsTruncated"):
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    if not found:
        raise SourceError(
            f"{address} holds no object.",
            reason=ReachFault.NOT_FOUND.value,
            hint="Check the prefix: it is spelled as the objects' keys begin.",
        )
    return sorted(found, key=lambda item: item.name)


def _head(client: Any, address: S3Address, *, version_id: str = "") -> dict[str, Any]:
    version = {"VersionId": version_id} if version_id else {}
    try:
        return ask(client.head_object, shown=str(address), Bucket=address.bucket, Key=address.key, **version)
    except SourceError as error:
        if version_id and error.reason == ReachFault.NOT_FOUND:
            raise _gone(address, f"s3:version:{version_id}") from error
        raise


def _version(head: dict[str, Any]) -> str:
    # "null" is what S3 calls an object from before the bucket kept versions; it is replaced without a trace.
    if (version := head.get("VersionId", "null")) != "null":
        return f"s3:version:{version}"
    return "s3:etag:" + str(head["ETag"]).strip('"')


def _version_of_all(objects: Sequence[_Object]) -> str:
    rows = [[item.name, item.bytes, item.tag.strip('"')] for item in objects]
    return f"s3:objects:{digest_value(rows).removeprefix('sha256:')}"


def _gone(address: S3Address, wanted: str) -> SourceError:
    return SourceError(
        f"{address} does not have {wanted} any more.",
        reason=ReachFault.VERSION_GONE.value,
        hint="See what changed and move the pin: cxr sources update",
    )
