"""What this machine has of each source: the folder of a version, and what earlier versions said of each image.

In: where a source is reached, and its pin. Out: a ``Found``, listed and so proven to its bytes, or a ``Catalogue``.
Laws: no pin moves here; a catalogue is kept under the digest of the files it speaks of; versions upstream that brought
the same bytes are one version, by the name that was seen first; pinned bytes that are here are not asked for again.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from cxr_core.classes import Source
from cxr_core.errors import CxrError, SourceError
from cxr_core.files import read_json, write_json
from cxr_core.ingest.address import Address, FolderAddress, source_address
from cxr_core.ingest.catalogue import Catalogue, catalogue_of, read_catalogue, write_catalogue
from cxr_core.ingest.connectors import LICENCES
from cxr_core.ingest.layout import Tree
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import Pin, check_pin, kind_of, pin_of
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.progress import Meter, progress_words
from tasks.events import progress, stage_done
from tasks.settings import Home

__all__ = [
    "Found",
    "Version",
    "has_catalogue",
    "keep_catalogue",
    "obtain",
    "obtain_pinned",
    "pinned_catalogue",
    "seen_revision",
    "store_of",
    "version_here",
]

_SECONDS_BETWEEN_EVENTS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A version of a source on this machine.

    Attributes:
        tree: Its folder, listed.
        upstream: The version, by the name under which these bytes were seen first; empty for a folder.
    """

    tree: Tree
    upstream: str

    @property
    def pin(self) -> Pin:
        """The pin that holds the source at this version."""
        return pin_of(self.tree.listing, licence=LICENCES[self.tree.source], upstream=self.upstream)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version that this machine has fetched once.

    Attributes:
        upstream: As upstream names it.
        revision: ``sha256:<hex>`` of its listing.
        folder: Where it was put; POSIX, relative to the source's store, so that a home may be moved.
    """

    upstream: str
    revision: str
    folder: str

    def path(self, source: Source, where: Home) -> Path:
        """The folder in a home."""
        return store_of(source, where) / self.folder


def obtain(source: Source, where: Home, *, upstream: str = "") -> Found:
    """A version of a source, fetched where it is not here yet; by default the newest.

    Raises:
        SettingError: The source's address is not set, or cannot be used.
        SourceError: Upstream refuses, is not reached or has no such version; or a version has other bytes than when it
            was fetched first (``version_changed``).
    """
    address = source_address(source, os.environ)
    if isinstance(address, FolderAddress):
        return Found(tree=_tree(source, address.path), upstream="")
    folder, version = _fetch(source, address, where, upstream)
    tree = _tree(source, folder)
    return Found(tree=tree, upstream=_remember(where, tree, version))


def obtain_pinned(source: Source, where: Home, pin: Pin) -> Found:
    """The pinned bytes, proven: those here, else those of the pinned version, else what upstream has now.

    Raises:
        SettingError: As ``obtain``.
        SourceError: As ``obtain``; or what was found is not what is pinned (``pin_mismatch``).
    """
    address = source_address(source, os.environ)
    if isinstance(address, FolderAddress):
        found = obtain(source, where)
    else:
        found = _pinned_here(source, where, pin) or _fetch_pinned(source, where, pin, address)
    check_pin(source, pin, found.tree.listing, upstream=found.upstream)
    return found


def store_of(source: Source, where: Home) -> Path:
    """Where fetched versions of a source lie."""
    return where.root / "sources" / source


def seen_revision(source: Source, where: Home, upstream: str) -> str:
    """The revision of a version that this machine has fetched once; empty where it has not."""
    return next((one.revision for one in _versions(where, source) if one.upstream == upstream), "")


def version_here(source: Source, where: Home, revision: str = "") -> Version | None:
    """A fetched version whose folder is still here: one of this revision, or the last one; None where there is none."""
    known = [one for one in _versions(where, source) if revision in ("", one.revision)]
    return next((one for one in reversed(known) if one.path(source, where).is_dir()), None)


def has_catalogue(source: Source, where: Home, revision: str) -> bool:
    """Whether this machine has kept what a revision said of each image."""
    return _catalogue_path(where, source, revision).is_file()


def keep_catalogue(source: Source, where: Home, catalogue: Catalogue) -> None:
    """Keep what a revision says of each image, for the day when there is another."""
    write_catalogue(_catalogue_path(where, source, catalogue.revision), catalogue)


def pinned_catalogue(source: Source, where: Home, pin: Pin) -> Catalogue | str:
    """What the pinned version said of each image, or in words why it cannot be had.

    From what was kept, else from the version's folder in the store, else fetched once more where upstream keeps
    versions.
    """
    try:
        return read_catalogue(_catalogue_path(where, source, pin.revision), revision=pin.revision)
    except FileNotFoundError:
        kept = "this machine has not kept what the pinned version said"
    except SourceError as error:
        kept = error.message.removesuffix(".")
    found = _pinned_here(source, where, pin)
    if found is None:
        if pin.kind == "folder" or pin.kind != source_address(source, os.environ).kind:
            return f"{kept}, and a {pin.kind} pin cannot be fetched from where the source is reached now"
        try:
            found = obtain(source, where, upstream=pin.upstream)
            check_pin(source, pin, found.tree.listing, upstream=found.upstream)
        except CxrError as error:
            return f"{kept}, and the version cannot be fetched again ({error.message.removesuffix('.')})"
    catalogue = catalogue_of(found.tree)
    keep_catalogue(source, where, catalogue)
    return catalogue


def _pinned_here(source: Source, where: Home, pin: Pin) -> Found | None:
    """A fetched copy of the pinned bytes, read and proven; None where there is none, or it has been changed."""
    version = version_here(source, where, pin.revision)
    if version is None:
        return None
    tree = _tree(source, version.path(source, where))
    return Found(tree=tree, upstream=version.upstream) if tree.listing.revision == pin.revision else None


def _fetch_pinned(source: Source, where: Home, pin: Pin, address: Address) -> Found:
    if pin.kind == address.kind:
        try:
            return obtain(source, where, upstream=pin.upstream)
        except SourceError as error:
            # Upstream has lost that version; what it has now may be the same bytes.
            if error.reason != ReachFault.VERSION_GONE:
                raise
    return obtain(source, where)


def _fetch(source: Source, address: Address, where: Home, upstream: str) -> tuple[Path, str]:
    # Network clients are imported by those who have something to fetch.
    from tasks.adapters.reach import reach

    teller = _Teller(source)
    fetched = reach.fetch(source, address, store=store_of(source, where), upstream=upstream, progress=teller)
    teller.end(fetched.upstream)
    return fetched.folder, fetched.upstream


def _tree(source: Source, folder: Path) -> Tree:
    return Tree(source=source, root=folder, listing=list_source(folder))


def _remember(where: Home, tree: Tree, upstream: str) -> str:
    """Note what a version held; returns the first name of these bytes, so that their pin's text never changes."""
    source, revision = tree.source, tree.listing.revision
    path = _versions_path(where, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = _versions(where, source)
        before = next((one for one in known if one.upstream == upstream), None)
        if before is not None and before.revision != revision:
            raise SourceError(
                f"{upstream} of {source} held {before.revision} when it was fetched first; {tree.root} holds "
                f"{revision}: somebody changed the copy, or upstream gave other bytes the same name.",
                reason="version_changed",
                hint=f"Fetch it anew: rm -r {tree.root}; if upstream really changed it: rm {path}",
            )
        folder = tree.root.relative_to(store_of(source, where)).as_posix()
        if before is None or before.folder != folder:
            version = Version(upstream=upstream, revision=revision, folder=folder)
            known = [version if one is before else one for one in known] + ([] if before else [version])
            write_json(path, {"schema": 1, "versions": [asdict(one) for one in known]})
    kind = kind_of(upstream)
    return next(one.upstream for one in known if (one.revision, kind_of(one.upstream)) == (revision, kind))


def _versions(where: Home, source: Source) -> list[Version]:
    """The versions that this machine has fetched, as first seen."""
    path = _versions_path(where, source)
    if not path.is_file():
        return []
    try:
        return [Version(**row) for row in read_json(path)["versions"]]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"{path} should list the versions of {source} that were fetched; it cannot be read.",
            reason="bad_versions",
            hint=f"It only remembers, and may go: rm {path}",
        ) from error


def _versions_path(where: Home, source: Source) -> Path:
    return where.root / "catalogues" / source / "versions.json"


def _catalogue_path(where: Home, source: Source, revision: str) -> Path:
    return where.root / "catalogues" / source / f"{revision.removeprefix('sha256:')}.jsonl"


class _Teller:
    """Tells what has come of a source, with rate and time left; silent where all of it was here already."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._meter = Meter()
        self._told = -math.inf
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        rate, self._done = self._meter.rate(done, at=now), done
        if now - self._told >= _SECONDS_BETWEEN_EVENTS:
            self._told = now
            progress("fetch", done, total or 0, f"{self._source} {progress_words(done, total, rate=rate)}")

    def end(self, upstream: str) -> None:
        if self._done:
            stage_done("fetch", f"{self._source} {progress_words(self._done, None, rate=None)}, {upstream}")
