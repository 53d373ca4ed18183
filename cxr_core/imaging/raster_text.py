"""PNG and JPEG files without what describes them in words: who is on the picture, when and where it was taken.

In: a file that decodes. Out: a file of the same picture with nothing but what draws it and which way is up; the file
itself, byte for byte, where it holds no more. The coded picture is copied, never coded anew. Law:
``without_text(without_text(x)) == without_text(x)``.
"""

from __future__ import annotations

import struct
import zlib

from cxr_core.imaging import codestream
from cxr_core.imaging.exif import ORIENTATION, orientation
from cxr_core.imaging.jpeg import read_jpeg
from cxr_core.imaging.png import PNG_MAGIC, read_png

__all__ = ["without_text"]

_UPRIGHT = 1
# PNG, 5.6: the header is the first chunk, of 25 bytes. T.81, B.1.1.3: JPEG begins with a marker of two bytes.
_PNG_HEAD_BYTES, _JPEG_HEAD_BYTES = len(PNG_MAGIC) + 25, 2
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
# The fixed fields by which a decoder tells colours; a thumbnail, or anything, may follow them.
_JFIF, _JFIF_BYTES, _ADOBE, _ADOBE_BYTES = b"JFIF\0", 14, b"Adobe", 12


def without_text(data: bytes) -> bytes:
    """The file to keep of a PNG or JPEG file.

    Raises:
        ImageError: The file cannot be taken apart.
    """
    return _png(data) if data.startswith(PNG_MAGIC) else _jpeg(data)


def _png(data: bytes) -> bytes:
    found = read_png(data)
    block = _block(found.exif)
    if not block:
        return found.picture
    named = b"eXIf" + block
    chunk = struct.pack(">I", len(block)) + named + struct.pack(">I", zlib.crc32(named))
    return found.picture[:_PNG_HEAD_BYTES] + chunk + found.picture[_PNG_HEAD_BYTES:]


def _jpeg(data: bytes) -> bytes:
    block = _block(read_jpeg(data).exif)
    parts = [data[:_JPEG_HEAD_BYTES], _segment(_APP1, b"Exif\0\0" + block) if block else b""]
    position, found = _JPEG_HEAD_BYTES, codestream.read_jpeg(data)
    for text in found.texts:
        # Marker and length stand before the content.
        parts += [data[position : text.start - 4], _fields(text.marker, data[text.start : text.end])]
        position = text.end
    return b"".join([*parts, data[position : found.end]])


def _fields(marker: int, content: bytes) -> bytes:
    """The segment to put in a segment's place; none but JFIF's and Adobe's stays."""
    if marker == _APP0 and content.startswith(_JFIF) and len(content) >= _JFIF_BYTES:
        return _segment(marker, content[: _JFIF_BYTES - 2] + b"\0\0")
    if marker == _APP14 and content.startswith(_ADOBE) and len(content) >= _ADOBE_BYTES:
        return _segment(marker, content[:_ADOBE_BYTES])
    return b""


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">HH", 0xFF00 | marker, len(content) + 2) + content


def _block(exif: bytes) -> bytes:
    """A TIFF block that says which way is up and nothing else; none for a picture that is upright."""
    turned = orientation(exif)
    if turned == _UPRIGHT:
        return b""
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, ORIENTATION, 3, 1, turned, 0, 0)
