"""A source's folder to the list of its files with their digests: what a pin pins.

Laws: the same files give the same revision on every machine, in whatever order the folder lists them; one byte, name
or file changed gives another. Dot-files and ``__MACOSX`` are the operating system's, not the source's, and are left
out; links and special files are refused, since what they give may change without the folder changing. Whatever the
folder holds, the answer is a listing or a ``SourceError``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from cxr_core.digests import digest_file, digest_value
from cxr_core.errors import SourceError
from cxr_core.ingest.faults import SourceFault

__all__ = ["IMAGE_SUFFIXES", "PHANTOM_MARKER", "Entry", "Listing", "list_source"]

PHANTOM_MARKER = "PHANTOM.txt"
# What counts as an image file; whether its bytes are one is the decoder's matter.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".gif", ".bmp", ".tif", ".tiff", ".webp"})

_NOT_THE_SOURCES = frozenset({"__MACOSX"})
# One waits for the disk while another hashes; more get in each other's way where the files are in memory.
_THREADS = 2
# Files at a time a thread: handing over a small one alone takes longer than hashing it.
_SHARE = 64
# Published layouts have at most six; a path of thousands cannot be opened.
_MAX_DEPTH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file: POSIX path relative to the source's folder, size in bytes, ``sha256:<hex>``."""

    path: str
    bytes: int
    sha256: str

    @property
    def is_image(self) -> bool:
        """Whether the name is an image file's."""
        return os.path.splitext(self.path)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 (a POSIX path on any system)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Every file of a source, sorted by path.

    Attributes:
        entries: The files.
        revision: ``sha256:<hex>`` over each file's path, size and digest.
        synthetic: Whether the folder is marked as phantoms.
    """

    entries: tuple[Entry, ...]
    revision: str
    synthetic: bool

    @property
    def files(self) -> int:
        """How many files."""
        return len(self.entries)

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(entry.bytes for entry in self.entries)


def list_source(address: Path) -> Listing:
    """List and hash every file under a folder.

    Raises:
        SourceError: The folder is absent (``source_missing``) or holds no file (``source_empty``), or something in it
            is no plain file (``not_a_plain_file``), has a name that cannot be shown (``unreadable_name``), lies too
            deep (``too_deep``), cannot be read (``unreadable_file``) or went away meanwhile (``source_changed``).
    """
    if not address.is_dir():
        raise SourceError(
            f"Expected a source at {address}; there is no such folder.",
            reason=SourceFault.SOURCE_MISSING.value,
            hint="Set CXR_SOURCES (or the source's own variable) to the folder that holds it.",
        )
    try:
        found = sorted(_walk(address))
        if not found:
            reason = SourceFault.SOURCE_EMPTY.value
            raise SourceError(f"The source at {address} holds no file.", reason=reason, hint="Fetch it again.")
        with ThreadPoolExecutor(max_workers=_THREADS) as threads:
            shares = [found[start : start + _SHARE] for start in range(0, len(found), _SHARE)]
            entries = tuple(chain.from_iterable(threads.map(lambda share: _hashed(address, share), shares)))
    except FileNotFoundError as error:
        reason, hint = SourceFault.SOURCE_CHANGED.value, "Run it again once nobody writes to the source."
        raise SourceError(f"{error.filename} went away while it was read.", reason=reason, hint=hint) from error
    except OSError as error:
        reason, hint = SourceFault.UNREADABLE_FILE.value, "Make it readable, or take it out of the source's folder."
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}.", reason=reason, hint=hint) from error
    return Listing(
        entries=entries,
        revision=digest_value([[entry.path, entry.bytes, entry.sha256] for entry in entries]),
        synthetic=any(entry.path == PHANTOM_MARKER for entry in entries),
    )


def _hashed(root: Path, files: Sequence[tuple[str, int]]) -> list[Entry]:
    return [Entry(path=path, bytes=size, sha256=digest_file(f"{root}/{path}")) for path, size in files]


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Path and size in bytes of each file."""
    # A list of folders to come, not a call within a call: depth is a hostile folder's choice.
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(root / prefix) as items:
            for item in items:
                if item.name.startswith(".") or item.name in _NOT_THE_SOURCES:
                    continue
                path = prefix + item.name
                _check(item, path)
                if item.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                else:
                    yield path, item.stat(follow_symlinks=False).st_size


def _check(item: os.DirEntry[str], path: str) -> None:
    if not item.name.isprintable():
        raise SourceError(
            f"The name {path!r} cannot be written down.",
            reason=SourceFault.UNREADABLE_NAME.value,
            hint="Rename the file.",
        )
    if path.count("/") >= _MAX_DEPTH:
        raise SourceError(
            f"Expected folders at most {_MAX_DEPTH} deep, found {path[:200]}.",
            reason=SourceFault.TOO_DEEP.value,
            hint="Take the folder out of the source's.",
        )
    if not item.is_dir(follow_symlinks=False) and not item.is_file(follow_symlinks=False):
        raise SourceError(
            f"Expected plain files and folders; {path} is a link or a special file.",
            reason=SourceFault.NOT_A_PLAIN_FILE.value,
            hint="Copy the file itself into the source's folder.",
        )
