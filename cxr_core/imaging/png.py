"""PNG bytes to a :class:`Container` (PNG Third Edition, clause 5): every chunk's length and checksum are checked.

Law: a file cut short anywhere is refused as truncated. Packed text and colour profiles are inflated up to a limit and
dropped: nobody reads them here, but a source's file may be opened by others, who inflate them.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from cxr_core.imaging.container import Container, beyond_padding
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["PNG_MAGIC", "check_rows", "read_png"]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_FRAME = struct.Struct(">I4s")  # length and kind, before a chunk's body; four bytes of checksum follow it
_HEADER_BYTES = 13
_KNOWN_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_DRAWS = _KNOWN_CRITICAL | {b"tRNS"}
# Of all packed texts and profiles of a file together; the largest profile in use has 3 MB.
_MAX_INFLATED_BYTES = 16 * 1024 * 1024
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type (11.2.1)
# Adam7 (8.1): first column and row of each pass, and the steps between its pixels.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATE_BYTES = 1024 * 1024


def read_png(data: bytes) -> Container:
    """Take a PNG file apart.

    Raises:
        ImageError: It is cut short, a checksum is wrong, it is an animation, or its texts unpack to a bomb.
    """
    view = memoryview(data)
    place, inflated, exif = len(PNG_MAGIC), 0, b""
    header: bytes | None = None
    kept = [view[:place]]
    kind = b""
    while kind != b"IEND":
        end, kind = _checked_chunk(view, place)
        body = view[place + _FRAME.size : end - 4]
        if header is None:
            if kind != b"IHDR" or len(body) != _HEADER_BYTES:
                raise refuse(ImageFault.CORRUPT, f"Expected the PNG to begin with its header, found {kind!r}.")
            header = bytes(body)
        elif kind == b"IHDR" or (kind[:1].isupper() and kind not in _KNOWN_CRITICAL):
            raise refuse(ImageFault.CORRUPT, f"The PNG holds a part that it must not: {kind!r}.")
        if kind == b"acTL":
            raise refuse(ImageFault.SEVERAL_FRAMES, "Expected one picture, found an animated PNG.")
        if kind == b"eXIf":
            exif = bytes(body)
        inflated += _inflated_bytes(kind, bytes(body), at_most=_MAX_INFLATED_BYTES - inflated)
        if kind in _DRAWS:
            kept.append(view[place:end])
        place = end
    assert header is not None
    width, height = struct.unpack(">II", header[:8])
    whole = sum(map(len, kept)) == len(data)
    return Container(
        picture=data if whole else b"".join(kept),
        height=height,
        width=width,
        exif=exif,
        rest=beyond_padding(data, place),
    )


def check_rows(data: bytes) -> None:
    """Refuse a PNG whose packed pixels end before its last row, which Pillow leaves black without a word.

    The pixels are inflated a second time, and dropped: to be asked where the last row is black alone.

    Args:
        data: A file that ``read_png`` has taken apart.

    Raises:
        ImageError: Rows are missing (``truncated``), or cannot be inflated (``corrupt``).
    """
    view = memoryview(data)
    place, missing = len(PNG_MAGIC), 0
    inflater = zlib.decompressobj()
    while place < len(view) and not inflater.eof:
        length, kind = _FRAME.unpack_from(view, place)
        body = view[place + _FRAME.size : place + _FRAME.size + length]
        place += _FRAME.size + length + 4
        if kind == b"IHDR":
            missing = _rows_bytes(bytes(body))
        if kind == b"IDAT":
            missing -= _drained_bytes(inflater, body, at_most=missing)
    if missing > 0:
        raise refuse(ImageFault.TRUNCATED, f"The PNG's pixels end {missing} bytes before its last row does.")


def _rows_bytes(header: bytes) -> int:
    """Bytes of all rows, unpacked, each with the byte of its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    bits = depth * _CHANNELS.get(colour, 1)
    sizes = ((-((left - width) // across), -((top - height) // down)) for left, top, across, down in passes)
    return sum((1 + (columns * bits + 7) // 8) * rows for columns, rows in sizes if columns > 0 and rows > 0)


def _drained_bytes(inflater: Any, packed: memoryview, *, at_most: int) -> int:
    """How many bytes come out of a piece of a stream, up to ``at_most``, with few of them held at a time."""
    drained = 0
    try:
        while drained < at_most and not inflater.eof:
            out = inflater.decompress(inflater.unconsumed_tail or packed, _INFLATE_BYTES)
            packed = memoryview(b"")
            drained += len(out)
            if not out and not inflater.unconsumed_tail:
                break
    except zlib.error as error:
        raise refuse(ImageFault.CORRUPT, "The PNG's pixels cannot be inflated.") from error
    return drained


def _checked_chunk(view: memoryview, place: int) -> tuple[int, bytes]:
    """Where the chunk at a place ends, and its kind."""
    if place + _FRAME.size > len(view):
        raise refuse(ImageFault.TRUNCATED, "The PNG ends before its last part.", hint="Fetch the file again.")
    length, kind = _FRAME.unpack_from(view, place)
    end = place + _FRAME.size + length + 4
    if not kind.isalpha():
        raise refuse(ImageFault.CORRUPT, f"Expected the name of a PNG's part, found {kind!r}.")
    if end > len(view):
        raise refuse(ImageFault.TRUNCATED, f"The PNG ends within its part {kind!r}.", hint="Fetch the file again.")
    if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
        raise refuse(ImageFault.CORRUPT, f"The checksum of the PNG's part {kind!r} is wrong.")
    return end, kind


def _inflated_bytes(kind: bytes, body: bytes, *, at_most: int) -> int:
    """How many bytes a packed text or profile unpacks to."""
    packed = _packed(kind, body)
    if packed is None:
        return 0
    try:
        size = len(zlib.decompressobj().decompress(packed, at_most + 1))
    except zlib.error:  # Unreadable, and therefore no bomb; the picture does not need it.
        return 0
    if size > at_most:
        raise refuse(ImageFault.TOO_LARGE, f"The PNG's part {kind!r} unpacks to over {_MAX_INFLATED_BYTES} bytes.")
    return size


def _packed(kind: bytes, body: bytes) -> bytes | None:
    """The deflated part of a chunk, past its keyword; None where it has none."""
    if kind in (b"zTXt", b"iCCP"):
        return body.partition(b"\0")[2][1:]
    if kind == b"iTXt":
        flags = body.partition(b"\0")[2]
        # Language and translated keyword stand before the text.
        return flags[2:].split(b"\0", 2)[-1] if flags[:1] == b"\x01" else None
    return None
