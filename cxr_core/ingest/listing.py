"""A source's folder to the list of its files with their digests: what a pin pins.

Laws: the same files give the same revision on every machine, in whatever order the folder lists them; one byte, name
or file changed gives another. Dot-files and ``__MACOSX`` are the operating system's, not the source's, and are left
out; links and special files are refused, since what they give may change without the folder changing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cxr_core.digests import digest_file, digest_value
from cxr_core.errors import SourceError

__all__ = ["IMAGE_SUFFIXES", "PHANTOM_MARKER", "Entry", "Listing", "list_source"]

PHANTOM_MARKER = "PHANTOM.txt"
# What counts as an image file; whether its bytes are one is the decoder's matter.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".dcm", ".gif", ".bmp", ".tif", ".tiff", ".webp"})

_NOT_THE_SOURCES = frozenset({"__MACOSX"})
# Hashing waits for the disk more than for the processor.
_THREADS = 4


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
            is no plain file (``not_a_plain_file``) or has a name that is no Unicode (``unreadable_name``).
    """
    if not address.is_dir():
        raise SourceError(
            f"Expected a source at {address}; there is no such folder.",
            reason="source_missing",
            hint="Set CXR_SOURCES (or the source's own variable) to the folder that holds it.",
        )
    found = sorted(_walk(address, prefix=""))
    if not found:
        raise SourceError(f"The source at {address} holds no file.", reason="source_empty", hint="Fetch it again.")
    with ThreadPoolExecutor(max_workers=_THREADS) as threads:
        digests = threads.map(lambda item: digest_file(address / item[0]), found)
        entries = tuple(
            Entry(path=path, bytes=size, sha256=digest) for (path, size), digest in zip(found, digests, strict=True)
        )
    return Listing(
        entries=entries,
        revision=digest_value([[entry.path, entry.bytes, entry.sha256] for entry in entries]),
        synthetic=any(entry.path == PHANTOM_MARKER for entry in entries),
    )


def _walk(folder: Path, *, prefix: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as items:
        for item in items:
            if item.name.startswith(".") or item.name in _NOT_THE_SOURCES:
                continue
            path = prefix + item.name
            if not item.name.isprintable():
                raise SourceError(
                    f"The name {path!r} cannot be written down.", reason="unreadable_name", hint="Rename the file."
                )
            if item.is_dir(follow_symlinks=False):
                yield from _walk(folder / item.name, prefix=f"{path}/")
            elif item.is_file(follow_symlinks=False):
                yield path, item.stat(follow_symlinks=False).st_size
            else:
                raise SourceError(
                    f"Expected plain files and folders; {path} is a link or a special file.",
                    reason="not_a_plain_file",
                    hint="Copy the file itself into the source's folder.",
                )
