"""Zip (PKWARE's APPNOTE 6.3) read strictly: a file that two readers could take for two archives is refused.

Laws: the central directory ends where its end record begins, and every member's two headers agree; no two members share
a byte; what comes out is as long as both say and has their checksum. Bytes between members, which some programs leave
behind, are not read. Python's ``zipfile`` repairs or overlooks what is refused here, and in 3.11.7 overlaps as well.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cxr_core.ingest.archive_limits import Budget, Member, refuse
from cxr_core.ingest.faults import ArchiveFault

__all__ = ["ZIP_MAGICS", "zip_members"]

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")

_LOCAL, _CENTRAL, _END, _END64, _LOCATOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
_END_RECORD = struct.Struct("<4s4H2IH")
_END64_RECORD = struct.Struct("<4sQ2H2I4Q")
_END64_LOCATOR = struct.Struct("<4sIQI")
_SIZES64 = 0x0001  # the extra field that holds numbers of 64 bits
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _SIZES_BEHIND, _UTF8 = 0x2041, 0x0008, 0x0800  # bits of the flags; 0x2041 is all three ways of hiding
_STORED, _DEFLATED = 0, 8
_REPARSE_POINT, _VOLUME_LABEL = 0x400, 0x008  # DOS and Windows attributes
# The end record stands before a comment of at most 64 KiB; looked for further up to tell what follows it.
_TAIL_BYTES = 1024 * 1024
_READ_BYTES, _WRITE_BYTES = 64 * 1024, 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """One member as the central directory has it."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def zip_members(file: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The members of a zip file, in the order of their bytes.

    Raises:
        SourceError: Anything about the archive is not as it must be; ``reason`` is an ``ArchiveFault``.
    """
    start, end, count = _directory(file, budget.packed_bytes)
    entries = sorted(_entries(file, start, end, count, budget), key=lambda entry: entry.offset)
    if not entries:
        return
    if entries[0].offset != 0:
        raise refuse(ArchiveFault.FOREIGN_DATA, "Bytes stand before the archive's first member.")
    budget.check_claim(sum(entry.size for entry in entries))
    for entry, behind in zip(entries, [*(later.offset for later in entries[1:]), start], strict=True):
        begin = _checked_local(file, entry)
        if begin + entry.packed > behind:
            raise refuse(ArchiveFault.OVERLAP, f"The bytes of {entry.name!r} are another member's as well.")
        yield Member(name=entry.name, is_folder=entry.name.endswith("/"), chunks=_unpacked(file, entry, begin, budget))


def _directory(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the central directory begins and ends, and how many members it has."""
    place = max(0, size - _TAIL_BYTES)
    tail = _read_at(file, place, size - place)
    found = tail.rfind(_END)
    if found < 0 or len(tail) - found < _END_RECORD.size:
        raise refuse(ArchiveFault.TRUNCATED, "The zip archive has no end record: it is not whole.")
    _, disk, first_disk, _, count, length, start, comment = _END_RECORD.unpack_from(tail, found)
    behind = len(tail) - found - _END_RECORD.size - comment
    if behind:
        fault = ArchiveFault.FOREIGN_DATA if behind > 0 else ArchiveFault.TRUNCATED
        raise refuse(fault, f"The zip archive ends {behind} bytes before its file does.")
    if disk or first_disk:
        raise refuse(ArchiveFault.TRUNCATED, "The file is one part of a zip archive in several.")
    end = place + found
    if found >= _END64_LOCATOR.size and tail[found - _END64_LOCATOR.size :].startswith(_LOCATOR):
        wide = _directory64(file, end - _END64_LOCATOR.size)
        narrow = (start, length, count)
        for given, told, full in zip(narrow, wide[:3], (_FULL32, _FULL32, _FULL16), strict=True):
            if given not in (told, full):
                raise refuse(ArchiveFault.HEADERS_DIFFER, "The two end records of the zip archive differ.")
        start, length, count, end = wide
    if start + length != end:
        raise refuse(ArchiveFault.HEADERS_DIFFER, f"Expected the directory at {start} to end at {end}, not so.")
    return start, end, count


def _directory64(file: BinaryIO, locator: int) -> tuple[int, int, int, int]:
    """Start, length and count of the central directory by the 64-bit end record, and where that record begins."""
    _, _, place, _ = _END64_LOCATOR.unpack(_read_at(file, locator, _END64_LOCATOR.size))
    if place + _END64_RECORD.size > locator:
        raise refuse(ArchiveFault.HEADERS_DIFFER, "The 64-bit end record does not lie where its locator says.")
    found = _END64_RECORD.unpack(_read_at(file, place, _END64_RECORD.size))
    if found[0] != _END64 or place + 12 + found[1] != locator:
        raise refuse(ArchiveFault.HEADERS_DIFFER, "The 64-bit end record does not lie where its locator says.")
    return found[9], found[8], found[7], place


def _entries(file: BinaryIO, start: int, end: int, count: int, budget: Budget) -> Iterator[_Entry]:
    place, seen = start, 0
    file.seek(start)
    while place < end:
        header = _CENTRAL_HEADER.unpack(_exactly(file, _CENTRAL_HEADER.size))
        name_bytes, extra_bytes, comment_bytes = header[10:13]
        if header[0] != _CENTRAL:
            raise refuse(ArchiveFault.CORRUPT, "The central directory of the zip archive cannot be read.")
        raw, extra = _exactly(file, name_bytes), _exactly(file, extra_bytes)
        _exactly(file, comment_bytes)
        place += _CENTRAL_HEADER.size + name_bytes + extra_bytes + comment_bytes
        seen += 1
        budget.check_members(seen)
        yield _entry(header, raw, extra)
    if place != end or seen != count:
        words = f"The end record counts {count} members, the directory has {seen}."
        raise refuse(ArchiveFault.HEADERS_DIFFER, words)


def _entry(header: tuple[int, ...], raw: bytes, extra: bytes) -> _Entry:
    _, _, _, flags, method, _, _, crc, packed, size = header[:10]
    attributes, offset = header[15], header[16]
    name = _name(raw, flags)
    if flags & _ENCRYPTED or method == 99:
        raise refuse(
            ArchiveFault.ENCRYPTED, f"{name!r} is encrypted.", hint="Unpack it by hand, and point to the folder."
        )
    if method not in (_STORED, _DEFLATED):
        words = f"{name!r} is packed by method {method}; stored and deflated are read."
        raise refuse(ArchiveFault.UNSUPPORTED_COMPRESSION, words, hint="Pack it anew with `zip`.")
    _check_kind(name, attributes)
    size, packed, offset = _wide((size, packed, offset), extra)
    if name.endswith("/") and size:
        raise refuse(ArchiveFault.HEADERS_DIFFER, f"{name!r} is a folder by its name and has {size} bytes.")
    return _Entry(raw_name=raw, name=name, flags=flags, method=method, crc=crc, packed=packed, size=size, offset=offset)


def _name(raw: bytes, flags: int) -> str:
    """UTF-8, which many programs write without saying so; else the code page of the first PCs."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if flags & _UTF8:
            raise refuse(ArchiveFault.UNPRINTABLE_NAME, f"A name is no UTF-8: {raw[:120]!r}.") from error
        return raw.decode("cp437")


def _check_kind(name: str, attributes: int) -> None:
    """Links and devices show in the attributes, whatever system the archive says it was made on."""
    kind = stat.S_IFMT(attributes >> 16)
    if kind == stat.S_IFLNK or attributes & _REPARSE_POINT:
        raise refuse(ArchiveFault.LINK, f"{name!r} is a link.", hint="Pack the files themselves.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or attributes & _VOLUME_LABEL:
        raise refuse(ArchiveFault.SPECIAL, f"{name!r} is no plain file.", hint="Pack plain files alone.")


def _wide(narrow: tuple[int, int, int], extra: bytes) -> tuple[int, int, int]:
    """Size, packed size and offset, from the 64-bit field where the header has no room (APPNOTE 4.5.3)."""
    if _FULL32 not in narrow:
        return narrow
    place, field = 0, b""
    while place + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, place)
        if number == _SIZES64:
            field = extra[place + 4 : place + 4 + length]
            break
        place += 4 + length
    numbers = list(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
    if len(numbers) < narrow.count(_FULL32):
        raise refuse(ArchiveFault.HEADERS_DIFFER, "A 64-bit size is announced and not there.")
    size, packed, offset = (numbers.pop(0) if value == _FULL32 else value for value in narrow)
    return size, packed, offset


def _checked_local(file: BinaryIO, entry: _Entry) -> int:
    """Where a member's bytes begin, once its own header agrees with the directory's."""
    header = _LOCAL_HEADER.unpack(_read_at(file, entry.offset, _LOCAL_HEADER.size))
    mark, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = header
    raw, extra = _exactly(file, name_bytes), _exactly(file, extra_bytes)
    agreed = (mark, flags, method, raw) == (_LOCAL, entry.flags, entry.method, entry.raw_name)
    if flags & _SIZES_BEHIND and (crc, packed, size) in ((0, 0, 0), (0, _FULL32, _FULL32)):
        told = (entry.crc, entry.size, entry.packed)
    else:
        told = (crc, *_wide((size, packed, 0), extra)[:2])
    if not agreed or told != (entry.crc, entry.size, entry.packed):
        words = f"What the archive's directory says of {entry.name!r} is not what stands at the member itself."
        raise refuse(ArchiveFault.HEADERS_DIFFER, words)
    return entry.offset + _LOCAL_HEADER.size + name_bytes + extra_bytes


def _unpacked(file: BinaryIO, entry: _Entry, begin: int, budget: Budget) -> Iterator[bytes]:
    budget.check_member(entry.size)
    size = crc = 0
    file.seek(begin)
    for chunk in _stored(file, entry) if entry.method == _STORED else _inflated(file, entry):
        size += len(chunk)
        budget.check_ratio(size, packed=entry.packed)
        budget.take_bytes(len(chunk))
        if size > entry.size:
            raise refuse(ArchiveFault.HEADERS_DIFFER, f"{entry.name!r} unpacks to more than its {entry.size} bytes.")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != entry.size:
        raise refuse(ArchiveFault.HEADERS_DIFFER, f"{entry.name!r} has {size} bytes, not the {entry.size} it says.")
    if crc != entry.crc:
        raise refuse(ArchiveFault.WRONG_CHECKSUM, f"The bytes of {entry.name!r} are not those that were packed.")


def _stored(file: BinaryIO, entry: _Entry) -> Iterator[bytes]:
    left = entry.packed
    while left:
        chunk = _exactly(file, min(left, _WRITE_BYTES))
        left -= len(chunk)
        yield chunk


def _inflated(file: BinaryIO, entry: _Entry) -> Iterator[bytes]:
    inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), entry.packed
    try:
        while not inflater.eof:
            packed = inflater.unconsumed_tail or _exactly(file, min(left, _READ_BYTES))
            left -= 0 if inflater.unconsumed_tail else len(packed)
            chunk = inflater.decompress(packed, _WRITE_BYTES)
            if not packed and not chunk:
                raise refuse(ArchiveFault.CORRUPT, f"The packed bytes of {entry.name!r} end too early.")
            yield chunk
    except zlib.error as error:
        raise refuse(ArchiveFault.CORRUPT, f"The packed bytes of {entry.name!r} cannot be read: {error}.") from error
    if left or inflater.unused_data:
        raise refuse(ArchiveFault.HEADERS_DIFFER, f"The packed bytes of {entry.name!r} end before they should.")


def _read_at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return _exactly(file, count)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise refuse(ArchiveFault.TRUNCATED, "The zip archive ends where a header says that it goes on.")
    return data
