"""Where DVC keeps objects, read without DVC: a cache or remote folder, or an S3 bucket.

Layout (DVC 3): ``files/md5/<first two hex digits>/<the rest>``; a folder's listing ends in ``.dir``. Beside them lie
our own notes, under ``cxr/``, which DVC never looks at. Comes in: an address. Goes out: an ``ObjectStore``. Laws: a
name holds a whole object or note, or none; nothing is deleted here but a note that its caller takes back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

from cxr_core.errors import VersioningError
from cxr_core.files import write_bytes

__all__ = ["FolderStore", "ObjectStore", "Standing", "object_name", "open_store"]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a store says of an object without its bytes being read.

    Args:
        size: Bytes.
        stamp: Another one whenever the bytes are written anew; compares within one store only.
        computed_md5: MD5 (32 hex digits) that the store itself took of the bytes it received; empty where it has none.
    """

    size: int
    stamp: str
    computed_md5: str = ""


class ObjectStore(Protocol):
    """Objects by MD5 (``<32 hex>``, with ``.dir`` for a listing), and notes by name. Threads may share one."""

    @property
    def address(self) -> str:
        """A folder, or ``s3://bucket/prefix``."""
        ...

    def open(self, md5: str, *, start: int = 0) -> BinaryIO | None:
        """The object's bytes from an offset on, or None where it is not here."""
        ...

    def standing(self, md5s: Iterable[str]) -> dict[str, Standing]:
        """What is here of these objects."""
        ...

    def put(self, md5: str, stream: BinaryIO) -> None:
        """Copy a stream in as an object, whole or not at all."""
        ...

    def where(self, md5: str) -> str:
        """How people find the object."""
        ...

    def read_note(self, name: str) -> bytes | None:
        """A note, or None where it is not here."""
        ...

    def write_note(self, name: str, data: bytes) -> None:
        """Set a note, whole or not at all."""
        ...

    def remove_note(self, name: str) -> None:
        """Take a note back; one that is not here may be."""
        ...

    def settle(self) -> None:
        """Return once all that was put here would outlive a power cut."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderStore:
    """A cache or remote in a folder."""

    root: Path

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.root)

    def open(self, md5: str, *, start: int = 0) -> BinaryIO | None:
        """The object's bytes from an offset on, or None where it is not here.

        Raises:
            VersioningError: The file is there and cannot be opened.
        """
        path = self.root / object_name(md5)
        try:
            stream = path.open("rb")
            stream.seek(start)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        return stream

    def standing(self, md5s: Iterable[str]) -> dict[str, Standing]:
        """Size, change times and inode of each object's file; a folder computes nothing of its bytes.

        The time of the last status change (ctime) cannot be set by a program, so that bytes edited with their old
        modification time restored still show.
        """
        found: dict[str, Standing] = {}
        for md5 in md5s:
            path = self.root / object_name(md5)
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unreadable(path, error) from error
            stamp = f"{state.st_mtime_ns}-{state.st_ctime_ns}-{state.st_ino}"
            found[md5] = Standing(size=state.st_size, stamp=stamp)
        return found

    def put(self, md5: str, stream: BinaryIO) -> None:
        """Copy a stream in as an object, whole or not at all (temporary file, fsync, rename).

        Raises:
            VersioningError: The folder cannot be written to.
        """
        path = self.root / object_name(md5)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(stream, file, _CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            # DVC takes a read-only object for one that nobody has edited.
            Path(temporary).chmod(0o444)
            Path(temporary).replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)

    def where(self, md5: str) -> str:
        """The object's file."""
        return str(self.root / object_name(md5))

    def read_note(self, name: str) -> bytes | None:
        """A note, or None where it is not here.

        Raises:
            VersioningError: The file is there and cannot be read.
        """
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self.root / name, error) from error

    def write_note(self, name: str, data: bytes) -> None:
        """Set a note, whole or not at all.

        Raises:
            VersioningError: The folder cannot be written to.
        """
        try:
            write_bytes(self.root / name, data)
        except OSError as error:
            raise _unwritable(self.root / name, error) from error

    def remove_note(self, name: str) -> None:
        """Take a note back.

        Raises:
            VersioningError: The folder cannot be written to.
        """
        try:
            (self.root / name).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.root / name, error) from error

    def settle(self) -> None:
        """Have the kernel write out what DVC left in its page cache: DVC itself syncs no file."""
        os.sync()


def open_store(address: str, options: Mapping[str, str] | None = None) -> ObjectStore | None:
    """A store by its address; None for a kind of remote that only DVC can read (ssh, gs, azure, …).

    Args:
        address: A folder, or ``s3://bucket/prefix``.
        options: DVC's options of the remote, as ``objects_s3.connect`` takes them.
    """
    if "://" not in address:
        return FolderStore(root=Path(address))
    parts = urlsplit(address)
    if parts.scheme == "file":
        return FolderStore(root=Path(parts.path))
    if parts.scheme != "s3":
        return None
    from tasks.adapters.objects_s3 import connect

    return connect(parts.netloc, parts.path.strip("/"), options or {})


def object_name(md5: str) -> str:
    """Where an object lies under a store's root."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _unreadable(path: Path, error: OSError) -> VersioningError:
    return VersioningError(
        f"{path} cannot be read: {error.strerror}.", reason="object_unreadable", hint=f"ls -l {path}"
    )


def _unwritable(path: Path, error: OSError) -> VersioningError:
    return VersioningError(
        f"{path} cannot be written: {error.strerror}.", reason="remote_unwritable", hint=f"ls -ld {path.parent}"
    )
