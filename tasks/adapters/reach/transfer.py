"""One file from anywhere to the disk, going on after a cut where it stopped, also in another process and tomorrow.

In: ``Open``, which asks a server for the bytes from an offset on, and a folder of this download's own. Out: the whole
file and the server's word for its version. Laws: bytes of two versions are never joined (without a word for the
version, or a checksum that proves the whole, a download begins anew); what came is kept until it is whole; tries end,
since only bytes never had before count as progress; a server's stated length and digest are held against what came.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_core.errors import SourceError
from cxr_core.files import read_json
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.progress import Progress
from tasks.adapters.reach.terms import MAX_VARIABLE, Terms

__all__ = ["Arrived", "Interrupted", "Open", "Stream", "transfer"]

_WEB_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
# Fewer new bytes than this before a cut, and the line counts as one that brings nothing.
_PROGRESS_BYTES = 1 << 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What a server sends.

    Attributes:
        start: Offset of the first byte: the one asked for, or 0 where the server begins anew.
        total: Bytes of the whole file; None where the server does not say.
        version: The server's word for these bytes, strong enough to go on by; empty where it has none.
        chunks: The bytes; raises ``Interrupted`` where they stop coming.
        digest: Algorithm and hex digest that the server states of the whole file.
    """

    start: int
    total: int | None
    version: str
    chunks: Iterator[bytes]
    digest: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """A whole file."""

    path: Path
    version: str
    bytes: int


class Interrupted(Exception):  # noqa: N818 (not an end, so no error)
    """The bytes stopped coming; worth another try.

    Args:
        fault: What to call it where no try helps.
        words: What happened.
        anew: What we have is of another version, or cannot be gone on from.
    """

    def __init__(self, fault: ReachFault, words: str, *, anew: bool = False) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words
        self.anew = anew


Open = Callable[[int, str], AbstractContextManager[Stream]]
"""Takes the offset and the version of the bytes we have (0 and empty at first); raises ``SourceError`` or
``Interrupted``."""


def transfer(
    open_from: Open,
    folder: Path,
    *,
    shown: str,
    terms: Terms,
    progress: Progress,
    proven: bool = False,
) -> Arrived:
    """Bring a file here.

    Args:
        open_from: Asks the server.
        folder: This download's own; what came in an earlier try lies there.
        shown: Where it comes from, for messages.
        terms: Limits.
        progress: Told after every piece.
        proven: Whether the caller proves the whole by a checksum, so that it may go on without a version.

    Raises:
        SourceError: As ``open_from``; or no try brought more (the ``Interrupted``'s fault), or it is a web page, too
            large, of another digest than stated, or the disk is full.
    """
    held = _Held(folder, terms=terms, shown=shown)
    waits = terms.waits()
    while True:
        furthest = held.furthest
        try:
            with open_from(*held.position(proven=proven)) as stream:
                held.take(stream, progress)
            return held.finish()
        except Interrupted as cut:
            if cut.anew:
                held.drop()
            progressed = held.furthest - furthest >= _PROGRESS_BYTES
            if progressed:
                waits = terms.waits()
            wait = terms.first_wait_seconds if progressed else next(waits, None)
            if wait is None:
                raise _gave_up(cut, shown, held, terms) from cut
            time.sleep(wait)


class _Held:
    """What has come so far: the file ``data`` and, beside it, what the server said of it."""

    def __init__(self, folder: Path, *, terms: Terms, shown: str) -> None:
        self.data = folder / "data"
        self.note = folder / "data.json"
        self.terms = terms
        self.shown = shown
        self.version, self.digest = _noted(self.note)
        self.size = self.data.stat().st_size if self.data.exists() else 0
        self.furthest = self.size

    def position(self, *, proven: bool) -> tuple[int, str]:
        """Where to go on: offset and version."""
        return (self.size, self.version) if self.version or proven else (0, "")

    def drop(self) -> None:
        """Forget the bytes."""
        self.data.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.size, self.version, self.digest = 0, "", None

    def take(self, stream: Stream, progress: Progress) -> None:
        """Add a stream's bytes.

        Raises:
            Interrupted: They stopped before the whole was here.
            SourceError: They cannot be taken.
        """
        self._check_room(stream)
        self.version, self.digest = stream.version, stream.digest or (self.digest if stream.start else None)
        # Half written it says nothing, and the download begins anew: no need to wait for the disk.
        self.note.write_text(json.dumps({"version": self.version, "digest": self.digest}), encoding="utf-8")
        self.size = stream.start
        with self.data.open("r+b" if self.data.exists() else "wb") as file:
            file.truncate(stream.start)
            file.seek(stream.start)
            for chunk in stream.chunks:
                if self.size == 0:
                    self._check_first(chunk)
                self._check_size(self.size + len(chunk))
                self._write(file, chunk)
                self.size += len(chunk)
                self.furthest = max(self.furthest, self.size)
                progress(self.size, stream.total)
        if stream.total is not None and self.size < stream.total:
            words = f"the server announced {stream.total} bytes and sent {self.size}"
            raise Interrupted(ReachFault.INCOMPLETE, words)

    def finish(self) -> Arrived:
        """The whole file, held against the digest that the server stated."""
        with self.data.open("rb") as file:
            # Again, since the first piece may have been too short to know.
            self._check_first(file.read(512))
        if self.digest is not None:
            algorithm, stated = self.digest
            with self.data.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
            if found != stated:
                self.drop()
                raise SourceError(
                    f"{self.shown} states the {algorithm} {stated} for what it sends; what came has {found}.",
                    reason=ReachFault.WRONG_CHECKSUM.value,
                    hint="Try again; where it stays so, the file there is damaged, or something on the way changes it.",
                )
        return Arrived(path=self.data, version=self.version, bytes=self.size)

    def _check_room(self, stream: Stream) -> None:
        self._check_size(stream.total or 0)
        free = shutil.disk_usage(self.data.parent).free
        if stream.total is not None and stream.total - stream.start > free:
            raise _disk_full(self.shown, f"{stream.total - stream.start} bytes are to come, {free} are free")

    def _check_size(self, size: int) -> None:
        if size > self.terms.max_bytes:
            self.drop()
            raise SourceError(
                f"{self.shown} sends more than {self.terms.max_bytes / 1e9:g} GB, which is all that is taken here.",
                reason=ReachFault.TOO_LARGE.value,
                hint=f"Check the address; if the source is that large, raise {MAX_VARIABLE}.",
            )

    def _check_first(self, chunk: bytes) -> None:
        if _WEB_PAGE.match(chunk):
            self.drop()
            raise SourceError(
                f"{self.shown} sent a web page, not an archive: most often a login, or the page around the download.",
                reason=ReachFault.WEB_PAGE.value,
                hint="Open it in a browser to see; then set the address of the file itself, with a key in ~/.netrc "
                "where one is needed.",
            )

    def _write(self, file: Any, chunk: bytes) -> None:
        try:
            file.write(chunk)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(self.shown, f"{self.size} bytes have come, and no more can be written") from error
            raise


def _noted(note: Path) -> tuple[str, tuple[str, str] | None]:
    try:
        said = read_json(note)
        return str(said["version"]), (said["digest"][0], said["digest"][1]) if said["digest"] else None
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return "", None


def _disk_full(shown: str, words: str) -> SourceError:
    return SourceError(
        f"The disk is too small for {shown}: {words}.",
        reason=ReachFault.DISK_FULL.value,
        hint="Make room, or set CXR_HOME to a larger disk; what came is kept.",
    )


def _gave_up(cut: Interrupted, shown: str, held: _Held, terms: Terms) -> SourceError:
    kept = f" {held.size} bytes are kept, and the next try goes on from there." if held.size and held.version else ""
    return SourceError(
        f"{shown}: {cut.words} ({terms.tries} tries in a row brought nothing).{kept}",
        reason=cut.fault.value,
        hint="Run it again when the line is better.",
    )
