"""Tar (POSIX.1-2017 pax and ustar, with GNU's long names) read strictly, as a stream: memory stays flat.

Laws: links, devices and sparse files are refused; extended headers, which Python's ``tarfile`` takes into memory whole
at whatever size they claim, have a limit; behind the end there are zeros alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cxr_core.ingest.archive_limits import Budget, Member, refuse
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["is_tar_header", "tar_members"]

_BLOCK_BYTES = 512
_MAX_EXTENDED_BYTES = 64 * 1024
_FILES, _FOLDER, _LINKS = frozenset({b"0", b"\0", b"7"}), b"5", frozenset({b"1", b"2"})
_PAX, _PAX_FOR_ALL, _GNU_NAME, _GNU_LINK = b"x", b"g", b"L", b"K"
_USTAR = b"ustar\0"


@dataclass(kw_only=True, slots=True)
class _Ahead:
    """What extended headers say of the member behind them."""

    name: str | None = None
    size: int | None = None


class _Stream:
    """Bytes taken from the front of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")

    def up_to(self, count: int) -> Iterator[memoryview]:
        """The next ``count`` bytes in pieces; fewer where the stream ends."""
        while count:
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    return
            piece, self._held = self._held[:count], self._held[count:]
            count -= len(piece)
            yield piece

    def exactly(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            SourceError: The stream ends before (``archive_truncated``).
        """
        data = b"".join(self.up_to(count))
        if len(data) != count:
            raise refuse(ArchiveFault.TRUNCATED, "The tar archive ends before its end mark.")
        return data

    def pieces(self, count: int) -> Iterator[bytes]:
        """As ``exactly``, in pieces."""
        left = count
        for piece in self.up_to(count):
            left -= len(piece)
            yield bytes(piece)
        if left:
            raise refuse(ArchiveFault.TRUNCATED, "The tar archive ends within a member.")


def is_tar_header(block: bytes) -> bool:
    """Whether a block's checksum is a tar header's: the sum of its bytes, the checksum itself counted as blanks."""
    if len(block) != _BLOCK_BYTES:
        return False
    try:
        told = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:]) == told


def tar_members(chunks: Iterator[bytes], budget: Budget) -> Iterator[Member]:
    """The members of a tar archive, in order.

    Args:
        chunks: The archive, unpacked.
        budget: Its members' sizes are checked against it.

    Raises:
        SourceError: Anything about the archive is not as it must be; ``reason`` is an ``ArchiveFault``.
    """
    stream, ahead, first = _Stream(chunks), _Ahead(), True
    while any(block := stream.exactly(_BLOCK_BYTES)):
        if not is_tar_header(block):
            fault = ArchiveFault.NOT_AN_ARCHIVE if first else ArchiveFault.CORRUPT
            raise refuse(fault, "Expected the header of a tar member, found other bytes.")
        first = False
        kind, size = block[156:157], _number(block[124:136])
        if kind in (_PAX, _PAX_FOR_ALL, _GNU_NAME, _GNU_LINK):
            _extend(ahead, kind, _extended(stream, size))
            continue
        name = _name(block) if ahead.name is None else ahead.name
        size = size if ahead.size is None else ahead.size
        ahead = _Ahead()
        is_folder = _is_folder(kind, name)
        if is_folder and size:
            raise refuse(ArchiveFault.HEADERS_DIFFER, f"{name!r} is a folder and has {size} bytes.")
        budget.check_member(size)
        yield Member(name=name, is_folder=is_folder, chunks=stream.pieces(size))
        stream.exactly(-size % _BLOCK_BYTES)
    _check_end(stream)


def _is_folder(kind: bytes, name: str) -> bool:
    if kind in _LINKS:
        raise refuse(ArchiveFault.LINK, f"{name!r} is a link.", hint="Pack the files themselves.")
    if kind not in _FILES and kind != _FOLDER:
        words = f"{name!r} is no plain file: its kind is {kind!r}."
        raise refuse(ArchiveFault.SPECIAL, words, hint="Pack plain files alone.")
    return kind == _FOLDER or name.endswith("/")


def _extended(stream: _Stream, size: int) -> bytes:
    if size > _MAX_EXTENDED_BYTES:
        words = f"Expected an extended header of at most {_MAX_EXTENDED_BYTES} bytes, found one that claims {size}."
        raise refuse(ArchiveFault.BOMB, words)
    data = stream.exactly(size)
    stream.exactly(-size % _BLOCK_BYTES)
    return data


def _extend(ahead: _Ahead, kind: bytes, data: bytes) -> None:
    """Keep what an extended header says of the next member; of all members it may say nothing that counts."""
    if kind == _GNU_NAME:
        ahead.name = _decoded(data.split(b"\0", 1)[0])
    elif kind in (_PAX, _PAX_FOR_ALL):
        records = _records(data)
        if any(key.startswith(b"GNU.sparse.") for key in records):
            raise refuse(ArchiveFault.SPECIAL, "A member is a sparse file.", hint="Pack it without `--sparse`.")
        path, size = records.get(b"path"), records.get(b"size")
        if kind == _PAX_FOR_ALL and (path is not None or size is not None):
            raise refuse(ArchiveFault.HEADERS_DIFFER, "The tar archive gives one name or size to all its members.")
        if path is not None:
            ahead.name = _decoded(path)
        if size is not None:
            if not size.isdigit() or len(size) > 19:
                raise refuse(ArchiveFault.CORRUPT, f"Expected a size in bytes, found {size[:40]!r}.")
            ahead.size = int(size)


def _records(data: bytes) -> dict[bytes, bytes]:
    """``length key=value\\n`` again and again, the length counting the whole record."""
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(data):
        digits, blank, _ = data[place : place + 20].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        record = data[place : place + length]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not equals or len(record) != length or not value.endswith(b"\n"):
            raise refuse(ArchiveFault.CORRUPT, "An extended header of the tar archive cannot be read.")
        records[key] = value[:-1]
        place += length
    return records


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0", 1)[0]
    prefix = block[345:500].split(b"\0", 1)[0] if block[257:263] == _USTAR else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refuse(ArchiveFault.UNPRINTABLE_NAME, f"A name is no UTF-8: {raw[:120]!r}.") from error


def _number(field: bytes) -> int:
    """Octal digits, or after a set first bit a number to the base 256, which GNU tar writes above 8 GiB."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if value >= 1 << 63:
            raise refuse(ArchiveFault.CORRUPT, "A size in the tar archive is negative.")
        return value
    digits = field.strip(b" \0")
    if (digits and not digits.isdigit()) or b"8" in digits or b"9" in digits:
        raise refuse(ArchiveFault.CORRUPT, f"Expected a size in octal digits, found {field!r}.")
    return int(digits or b"0", 8)


def _check_end(stream: _Stream) -> None:
    while piece := b"".join(stream.up_to(1 << 20)):
        if any(piece):
            raise refuse(ArchiveFault.FOREIGN_DATA, "Bytes stand behind the end of the tar archive.")
