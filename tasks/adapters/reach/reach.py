"""A source's address to a folder with one version of it, however it is reached.

Laws: a version's folder lies in the store whole or not at all; what is there is used without asking the network, where
the version is named; two processes that want the same wait for each other; a folder of the user's own is returned as it
is and never written to. ``upstream`` begins with the kind: ``git:<commit>``, ``https:sha256:<hex>``,
``s3:version:<id>``, ``s3:etag:<tag>``, ``s3:objects:<hex>``, ``kaggle:<owner>/<name>/versions/<n>``,
``kaggle:competitions/<name>/modified/<UTC>``; ``folder`` for a folder, which keeps no versions.
"""

from __future__ import annotations

import os
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.errors import SourceError
from cxr_core.ingest.address import Address, FolderAddress, GitAddress, HttpAddress, KaggleAddress, S3Address
from tasks.adapters.reach.arrival import Fetched
from tasks.adapters.reach.bucket import fetch_s3, newest_s3
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.git_mirror import fetch_git
from tasks.adapters.reach.git_upstream import newest_git
from tasks.adapters.reach.http import fetch_http, newest_http
from tasks.adapters.reach.kaggle import fetch_kaggle, newest_kaggle
from tasks.adapters.reach.progress import Progress, ignore
from tasks.adapters.reach.store import Store
from tasks.adapters.reach.terms import Terms, read_terms

__all__ = ["Fetched", "fetch", "newest"]


def fetch(
    source: Source,
    address: Address,
    *,
    store: Path,
    upstream: str = "",
    progress: Progress = ignore,
    terms: Terms | None = None,
) -> Fetched:
    """A version of a source, on this machine.

    Args:
        source: Which of the four.
        address: Where it is reached.
        store: The source's folder for fetched versions, ``CXR_HOME/sources/<source>``.
        upstream: The wanted version; empty for the newest.
        progress: Told of bytes done and in all while something comes.
        terms: Limits; None reads this machine's.

    Raises:
        SourceError: It cannot be had (a ``ReachFault``), or holds what must not be written (an ``ArchiveFault``).
        SettingError: This machine lacks what is needed: git, a key, a sensible limit.
    """
    if isinstance(address, FolderAddress):
        return Fetched(folder=address.path, upstream="folder")
    if upstream and upstream.partition(":")[0] != address.kind:
        raise SourceError(
            f"{upstream} is wanted, and {address} is no place of that kind.",
            reason=ReachFault.VERSION_GONE.value,
            hint=f"Set the source's address to one of that kind, or move the pin: cxr sources update {source}",
        )
    place, terms = Store(root=store), terms or read_terms(os.environ)
    with place.held():
        match address:
            case GitAddress():
                return fetch_git(source, address, store=place, upstream=upstream, terms=terms, progress=progress)
            case HttpAddress():
                return fetch_http(source, address, store=place, upstream=upstream, terms=terms, progress=progress)
            case S3Address():
                return fetch_s3(source, address, store=place, upstream=upstream, terms=terms, progress=progress)
            case KaggleAddress():
                return fetch_kaggle(source, address, store=place, upstream=upstream, terms=terms, progress=progress)


def newest(source: Source, address: Address, *, store: Path | None = None, terms: Terms | None = None) -> str:
    """The version that upstream has now; nothing of it is downloaded.

    A web server's own word for a version (``https:etag:…``) cannot be compared with a digest. With the store, a version
    that was fetched from there is recognised and named by its digest.

    Args:
        source: Which of the four.
        address: Where it is reached.
        store: As ``fetch`` takes it.
        terms: Limits; None reads this machine's.

    Raises:
        SourceError: Upstream refuses, is not reached, or does not say which version it has.
        SettingError: As ``fetch``.
    """
    terms = terms or read_terms(os.environ)
    match address:
        case FolderAddress():
            return "folder"
        case GitAddress():
            return newest_git(address, terms=terms)
        case HttpAddress():
            return newest_http(address, store=Store(root=store) if store else None, terms=terms)
        case S3Address():
            return newest_s3(address, terms=terms)
        case KaggleAddress():
            return newest_kaggle(address, terms=terms)
