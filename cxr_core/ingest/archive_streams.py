"""What a compressed tar unpacks to, in chunks of bounded size, each counted as it comes out."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from cxr_core.ingest.archive_limits import Budget, refuse
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["PACKINGS", "plain_chunks", "unpacked_chunks"]

_READ_BYTES, _WRITE_BYTES = 64 * 1024, 256 * 1024
# `xz -9` needs 64 MiB to unpack; a header may ask for 4 GiB.
_XZ_MEMORY_BYTES = 128 * 1024 * 1024


class _Unpacker(Protocol):
    """What bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """Gzip in the same form; zlib checks its length and checksum."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out without more going in."""
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What stands behind the end."""
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """At most so much of what the data unpacks to."""
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


def _xz() -> _Unpacker:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


PACKINGS: dict[bytes, Callable[[], _Unpacker]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": _xz,
}
"""How a packed file begins, and what unpacks it."""


def plain_chunks(file: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """A file that is not packed, in chunks."""
    while chunk := file.read(_WRITE_BYTES):
        budget.take_bytes(len(chunk))
        yield chunk


def unpacked_chunks(file: BinaryIO, magic: bytes, budget: Budget) -> Iterator[bytes]:
    """What a packed file unpacks to; several packed files in a row are one, as the tools have it.

    Args:
        file: At its beginning.
        magic: A key of ``PACKINGS``.
        budget: Told of every byte.

    Raises:
        SourceError: The file is cut short, damaged, a bomb, or followed by other bytes.
    """
    data = file.read(_READ_BYTES)
    while data:
        if not data.startswith(magic):
            raise refuse(ArchiveFault.FOREIGN_DATA, "Other bytes follow the packed ones.")
        unpacker = PACKINGS[magic]()
        while not unpacker.eof:
            chunk = _unpack(unpacker, data)
            data = file.read(_READ_BYTES) if unpacker.needs_input and not unpacker.eof else b""
            if not chunk and not data and unpacker.needs_input and not unpacker.eof:
                raise refuse(ArchiveFault.TRUNCATED, "The packed bytes end too early.")
            budget.take_bytes(len(chunk))
            if chunk:
                yield chunk
        data = _beyond_padding(file, unpacker.unused_data, len(magic))


def _unpack(unpacker: _Unpacker, data: bytes) -> bytes:
    try:
        return unpacker.decompress(data, _WRITE_BYTES)
    except lzma.LZMAError as error:
        fault = ArchiveFault.BOMB if "limit" in str(error).lower() else ArchiveFault.CORRUPT
        raise refuse(fault, f"The packed bytes cannot be read: {error}.") from error
    except (OSError, ValueError, zlib.error) as error:
        raise refuse(ArchiveFault.CORRUPT, f"The packed bytes cannot be read: {error}.") from error


def _beyond_padding(file: BinaryIO, data: bytes, enough: int) -> bytes:
    """What follows the end of packed bytes, past the zeros that a tape may have filled up with."""
    while len(data := data.lstrip(b"\0")) < enough and (more := file.read(_READ_BYTES)):
        data += more
    return data
