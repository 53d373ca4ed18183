"""PNG bytes to a :class:`Container` (PNG Third Edition, clause 5): every chunk's length and checksum are checked.

Law: a file cut short anywhere is refused as truncated. Packed text and colour profiles are inflated up to a limit and
dropped: nobody reads them here, but a source's file may be opened by others, who inflate them.
"""

from __future__ import annotations

import struct
import zlib

from cxr_core.imaging.container import Container, beyond_padding
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["FRAME", "PNG_MAGIC", "read_png"]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

FRAME = struct.Struct(">I4s")
"""Length and kind, before a chunk's body; four bytes of checksum follow it."""

_HEADER_BYTES = 13
_KNOWN_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_DRAWS = _KNOWN_CRITICAL | {b"tRNS"}
# Of all packed texts and profiles of a file together; the largest profile in use has 3 MB.
_MAX_INFLATED_BYTES = 16 * 1024 * 1024


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
        body = view[place + FRAME.size : end - 4]
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


def _checked_chunk(view: memoryview, place: int) -> tuple[int, bytes]:
    """Where the chunk at a place ends, and its kind."""
    if place + FRAME.size > len(view):
        raise refuse(ImageFault.TRUNCATED, "The PNG ends before its last part.", hint="Fetch the file again.")
    length, kind = FRAME.unpack_from(view, place)
    end = place + FRAME.size + length + 4
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
