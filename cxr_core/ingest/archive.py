"""An archive's file to a folder of plain files, or to nothing: the one way in for whatever a source is packed as.

Zip, and tar that is plain or packed by gzip, bzip2 or xz, told by their bytes. Laws: nothing is ever written outside
the folder; the folder appears whole or not at all; no member is a link; memory stays flat at any size; whatever the
bytes, the answer is the paths or a ``SourceError`` whose reason is an ``ArchiveFault``.

An archive inside the archive is a plain file like any other and never opened: a published source may hold some (volumes
in ``.gz``) that no stage reads, and a bomb of nested archives cannot go off where nothing unpacks twice.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cxr_core.ingest.archive_limits import Budget, Limits, Member, refuse
from cxr_core.ingest.archive_names import Names
from cxr_core.ingest.archive_streams import PACKINGS, plain_chunks, unpacked_chunks
from cxr_core.ingest.archive_tar import is_tar_header, tar_members
from cxr_core.ingest.archive_zip import ZIP_MAGICS, zip_members
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["Limits", "unpack"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HEAD_BYTES = 512


def unpack(archive: Path, into: Path, *, limits: Limits | None = None) -> list[str]:
    """Unpack an archive into a folder.

    The files lie beside the folder until the last one is whole, in ``.<name>.partial``, which a killed run may leave
    and the next one clears. Times, owners and permissions of the archive are not taken: files are plain.

    Args:
        archive: The archive's file, whatever its name.
        into: The folder to make; it may be there, empty. One process a folder at a time.
        limits: What the archive may unpack to; None takes those that fit the published sources.

    Returns:
        The files' POSIX paths, relative to the folder, sorted.

    Raises:
        SourceError: The archive is broken, hostile or too large; ``reason`` is an ``ArchiveFault``. The folder is then
            as it was.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        words = f"Expected no folder, or an empty one, at {into}."
        raise refuse(ArchiveFault.FOLDER_NOT_EMPTY, words, hint="Unpack into another folder, or empty this one.")
    partial = into.with_name(f".{into.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        with archive.open("rb") as file:
            paths = _unpack(file, partial, limits or Limits())
        if not paths:
            raise refuse(ArchiveFault.EMPTY_ARCHIVE, f"{archive.name} holds no file.")
        partial.rename(into)
    except OSError as error:
        raise _refused_by_the_system(error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sorted(paths)


def _unpack(file: BinaryIO, folder: Path, limits: Limits) -> list[str]:
    budget = Budget(limits=limits, folder=folder, packed_bytes=os.fstat(file.fileno()).st_size)
    names, paths = Names(), list[str]()
    for member in _members(file, budget):
        budget.take_member()
        path = names.take(member.name, is_folder=member.is_folder)
        if member.is_folder:
            # Nothing is made for a folder by itself, and it has no bytes.
            for _ in member.chunks:
                pass
        else:
            _write(folder / path, member.chunks)
            paths.append(path)
    return paths


def _members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The members of whatever kind of archive the bytes are."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    budget.check_room(budget.packed_bytes)
    if head.startswith(ZIP_MAGICS):
        return zip_members(file, budget)
    for magic in PACKINGS:
        if head.startswith(magic):
            return tar_members(unpacked_chunks(file, magic, budget), budget)
    if is_tar_header(head):
        return tar_members(plain_chunks(file, budget), budget)
    if not head:
        raise refuse(ArchiveFault.EMPTY_ARCHIVE, "The file is empty.")
    if b"<html" in head.lower() or b"<!doctype" in head.lower():
        hint = "Open the address in a browser: it may ask to sign in, or to accept terms."
        raise refuse(ArchiveFault.NOT_AN_ARCHIVE, "Expected zip or tar, found a web page.", hint=hint)
    raise refuse(ArchiveFault.NOT_AN_ARCHIVE, f"Expected zip or tar, found bytes that begin {head[:8].hex()}.")


def _write(path: Path, chunks: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Never over something: all names are different, so whatever lies there is not ours.
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(opened, "wb") as out:
        for chunk in chunks:
            out.write(chunk)


def _refused_by_the_system(error: OSError) -> Exception:
    words = f"{error.filename or 'The disk'}: {error.strerror or error}."
    if error.errno in _NO_ROOM:
        return refuse(ArchiveFault.DISK_FULL, words, hint="Free space on the disk.")
    return refuse(ArchiveFault.UNREADABLE, words, hint="Check that the archive can be read and the folder written.")
