"""The names of an archive's members: each becomes a path inside the folder, the same on every system, or is refused.

Law: two members that are taken never share a path on any file system in use, also where case or the form of accents
does not count.
"""

from __future__ import annotations

import re
import unicodedata

from cxr_core.ingest.archive_limits import refuse
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["Names"]

_DRIVE = re.compile(r"[A-Za-z]:")
# What Linux, macOS and Windows allow, less what a workspace's own path takes.
_PART_BYTES, _PATH_BYTES, _PARTS = 255, 1024, 32


class Names:
    """The paths that an archive's members have taken so far."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, ...], tuple[str, bool]] = {}

    def take(self, name: str, *, is_folder: bool) -> str:
        """The POSIX path, relative to the folder, at which a member may lie; empty for the folder itself.

        Raises:
            SourceError: The name leads out of the folder, cannot be a path on every system, or is taken; ``reason``
                is an ``ArchiveFault`` that begins with ``member_``.
        """
        parts = _parts(name)
        if not parts and not is_folder:
            raise refuse(ArchiveFault.BAD_NAME, f"Expected a name, found {_shown(name)}.")
        key: tuple[str, ...] = ()
        for number, part in enumerate(parts, 1):
            key = (*key, _folded(part))
            self._take(key, "/".join(parts[:number]), is_folder=is_folder or number < len(parts))
        return "/".join(parts)

    def _take(self, key: tuple[str, ...], path: str, *, is_folder: bool) -> None:
        if key not in self._taken:
            self._taken[key] = path, is_folder
            return
        other, other_is_folder = self._taken[key]
        if other != path:
            words = f"{_shown(other)} and {_shown(path)} are one name where case and accents do not count."
            raise refuse(ArchiveFault.COLLISION, words)
        if is_folder != other_is_folder:
            raise refuse(ArchiveFault.COLLISION, f"{_shown(path)} is a file, and another member's folder.")
        if not is_folder:
            raise refuse(ArchiveFault.DUPLICATE, f"Two members are named {_shown(path)}.")


def _parts(name: str) -> list[str]:
    """A name's parts, checked one by one and all together."""
    if not name.isprintable():
        words = f"A name cannot be shown: {_shown(name)}."
        raise refuse(ArchiveFault.UNPRINTABLE_NAME, words)
    if name.startswith("/") or _DRIVE.match(name):
        raise refuse(ArchiveFault.ABSOLUTE_PATH, f"Expected names inside the archive, found {_shown(name)}.")
    if "\\" in name:
        raise refuse(ArchiveFault.BACKSLASH, f"Expected slashes in names, found {_shown(name)}.")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise refuse(ArchiveFault.PARENT_PATH, f"Expected names inside the archive, found {_shown(name)}.")
    if ":" in name:
        raise refuse(ArchiveFault.BAD_NAME, f"Expected a name without a colon, found {_shown(name)}.")
    sizes = [len(part.encode()) for part in parts]
    if len(parts) > _PARTS or sum(sizes) + len(parts) > _PATH_BYTES or max(sizes, default=0) > _PART_BYTES:
        limits = f"{_PARTS} parts of at most {_PART_BYTES} bytes, {_PATH_BYTES} in all"
        raise refuse(ArchiveFault.LONG_NAME, f"Expected a name of at most {limits}; found {_shown(name)}.")
    return parts


def _folded(part: str) -> str:
    """One text for all spellings that a file system may take for one name: case, accents, ends in dots or blanks."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold())
    return plain.rstrip(". ") or plain


def _shown(name: str) -> str:
    return repr(name if len(name) <= 120 else f"{name[:120]}…")
