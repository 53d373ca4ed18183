"""One archive on a web server, by address: ``https:sha256:<hex>`` is the version of what it holds.

A server names versions by ETag or time, which says nothing to anybody else; so a fetched archive is known by its
digest, and the server's word is kept beside it in the store, to see without a download that nothing changed.
"""

from __future__ import annotations

from cxr_core.classes import Source
from cxr_core.digests import digest_file
from cxr_core.errors import SourceError
from cxr_core.ingest.address import HttpAddress
from tasks.adapters.reach.arrival import Fetched, take_in
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.progress import Progress
from tasks.adapters.reach.store import Store
from tasks.adapters.reach.terms import Terms
from tasks.adapters.reach.transfer import transfer
from tasks.adapters.reach.web import check_answer, get_stream, open_session, request, stated_digest, version_of

__all__ = ["fetch_http", "newest_http"]

_PROVEN = "https:sha256:"


def fetch_http(
    source: Source, address: HttpAddress, *, store: Store, upstream: str, terms: Terms, progress: Progress
) -> Fetched:
    """The archive at an address, unpacked.

    Args:
        source: Whose.
        address: Where.
        store: Held by the caller.
        upstream: The wanted version; empty for what is there now.
        terms: Limits.
        progress: Told of the download.

    Raises:
        SourceError: It cannot be had, is not what it should be, or is another version.
    """
    wanted = _wanted(address, upstream)
    if upstream and not wanted and (now := newest_http(address, store=None, terms=terms)) != upstream:
        raise _other(address, upstream, now)
    if here := wanted and store.find(wanted):
        return Fetched(folder=here, upstream=wanted)
    if not wanted and any(store.root.glob("https-*")):
        now = newest_http(address, store=store, terms=terms)
        if here := store.find(now):
            return Fetched(folder=here, upstream=now)
    with open_session(terms) as session:
        arrived = transfer(
            lambda held, version: get_stream(session, address.url, held, version, shown=str(address)),
            store.partial(address.url),
            shown=str(address),
            terms=terms,
            progress=progress,
            proven=bool(wanted),
        )
    found = "https:" + digest_file(arrived.path)
    if wanted and found != wanted:
        # What the server names a version of stays: the next fetch of the newest takes it without a second download.
        if address.sha256 or not arrived.version:
            arrived.path.unlink()
        raise _other(address, wanted, found)
    return take_in(
        arrived.path,
        found,
        source=source,
        store=store,
        shown=str(address),
        address=str(address),
        version=arrived.version,
    )


def newest_http(address: HttpAddress, *, store: Store | None, terms: Terms) -> str:
    """The version that a server has now, as far as it says: by digest where it is known, else by its own word.

    Raises:
        SourceError: No answer, a refusal, or the server says nothing of versions (``version_unknown``).
    """
    if address.sha256:
        return _PROVEN + address.sha256
    shown = str(address)
    with open_session(terms) as session:
        response = request(session, "HEAD", address.url, shown=shown)
        if not response.ok:
            # Signed addresses and some servers know GET alone.
            response.close()
            response = request(session, "GET", address.url, shown=shown)
        with response:
            check_answer(response, shown=shown)
            headers = response.headers
    stated, version = stated_digest(headers), version_of(headers, strong=False)
    if stated is not None and stated[0] == "sha256":
        return _PROVEN + stated[1]
    if not version:
        raise SourceError(
            f"{shown} has neither ETag nor Last-Modified, so the server does not say what it has now.",
            reason=ReachFault.VERSION_UNKNOWN.value,
            hint="Fetch it and compare: cxr sources update",
        )
    known = store.seen(shown, version_of(headers, strong=True)) if store is not None else None
    return known or f"https:etag:{version}"


def _wanted(address: HttpAddress, upstream: str) -> str:
    """The version by digest that must come; empty where any may.

    Raises:
        SourceError: Pin and address want different ones.
    """
    claimed = _PROVEN + address.sha256 if address.sha256 else ""
    pinned = upstream if upstream.startswith(_PROVEN) else ""
    if claimed and pinned and claimed != pinned:
        raise SourceError(
            f"The pin wants {pinned}; the address says {address}.",
            reason=ReachFault.VERSION_GONE.value,
            hint="Take #sha256= out of the address, or see what changed and move the pin: cxr sources update",
        )
    return claimed or pinned


def _other(address: HttpAddress, wanted: str, found: str) -> SourceError:
    if address.sha256:
        return SourceError(
            f"{address} sent an archive with {found.removeprefix('https:')}, not the one that the address claims.",
            reason=ReachFault.WRONG_CHECKSUM.value,
            hint="Check the address and its #sha256= against what the publisher says.",
        )
    return SourceError(
        f"{address} has {found} now; {wanted} is not there any more.",
        reason=ReachFault.VERSION_GONE.value,
        hint="See what changed and move the pin: cxr sources update",
    )
