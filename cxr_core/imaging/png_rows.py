"""A PNG's packed rows: unpacked faster than Pillow does it, and looked at for those that are missing.

In: a file that ``read_png`` has taken apart. libdeflate unpacks twice as fast as zlib, which Pillow has built in, where
it is told how much comes out; so a picture's rows are unpacked here, and Pillow gets the same PNG with its rows stored
as they are. Laws: that PNG shows the same picture; whatever is wrong with the packed rows is left to Pillow, so that
the reason of a refusal does not depend on the way.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.png import FRAME, PNG_MAGIC

__all__ = ["check_rows", "unpacked"]

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type (11.2.1)
# Adam7 (8.1): first column and row of each pass, and the steps between its pixels.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATE_BYTES = 1024 * 1024
# Larger pictures are unpacked by Pillow, row by row: here all rows lie in memory three times.
_MAX_ROWS_BYTES = 16 * 1024 * 1024


def unpacked(data: bytes) -> bytes | None:
    """The same PNG with its rows stored; None where it is too large for that, or Pillow must say what is wrong with it.

    Args:
        data: A file that ``read_png`` has taken apart, of a checked size.
    """
    view = memoryview(data)
    place = len(PNG_MAGIC)
    packed: list[memoryview] = []
    before, behind = [view[:place]], list[memoryview]()
    rows_bytes = 0
    while place < len(view):
        length, kind = FRAME.unpack_from(view, place)
        end = place + FRAME.size + length + 4
        body = view[place + FRAME.size : end - 4]
        if kind == b"IHDR":
            rows_bytes = _rows_bytes(bytes(body))
        if kind == b"IDAT":
            packed.append(body)
        else:
            (behind if packed else before).append(view[place:end])
        place = end
    rows = _inflated(b"".join(packed), rows_bytes) if 0 < rows_bytes <= _MAX_ROWS_BYTES else None
    if rows is None:
        return None
    stored = b"IDAT" + zlib.compress(rows, 0)
    frame = (len(stored) - 4).to_bytes(4, "big"), stored, zlib.crc32(stored).to_bytes(4, "big")
    return b"".join((*before, *frame, *behind))


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
        length, kind = FRAME.unpack_from(view, place)
        body = view[place + FRAME.size : place + FRAME.size + length]
        place += FRAME.size + length + 4
        if kind == b"IHDR":
            missing = _rows_bytes(bytes(body))
        if kind == b"IDAT":
            missing -= _drained_bytes(inflater, body, at_most=missing)
    if missing > 0:
        raise refuse(ImageFault.TRUNCATED, f"The PNG's pixels end {missing} bytes before its last row does.")


def _inflated(packed: bytes, rows_bytes: int) -> bytes | None:
    """Exactly so many bytes, whose checksum is right; None where that is not what comes out."""
    # Loaded when first met: most sources hold no PNG, and each worker process would pay.
    import imagecodecs

    try:
        rows = bytes(imagecodecs.deflate_decode(packed, out=rows_bytes))
    # The library's errors are RuntimeErrors, a kind a codec.
    except RuntimeError:
        return None
    return rows if len(rows) == rows_bytes else None


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
