"""Which way up a camera held a picture: the one thing taken from an EXIF block."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = ["ORIENTATION", "orientation", "upright"]

ORIENTATION = 0x0112  # Orientation (CIPA DC-008, 4.6.4)
_NUMBERS = {3: "H", 4: "I"}  # TIFF types SHORT and LONG


def orientation(block: bytes) -> int:
    """1 (upright) to 8, from a TIFF block's first directory; 1 where it is not said or not readable."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, start)
        for number in range(entries):
            tag, kind, count = struct.unpack_from(order + "HHI", block, start + 2 + 12 * number)
            if tag == ORIENTATION and kind in _NUMBERS and count == 1:
                (value,) = struct.unpack_from(order + _NUMBERS[kind], block, start + 10 + 12 * number)
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(pixels: NDArray[np.uint8], turned: int) -> NDArray[np.uint8]:
    """Turn stored pixels (H, W) by an orientation, so that the first row is the top; (W, H) for 5 to 8."""
    if turned >= 5:
        pixels = pixels.T
    if turned in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turned in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
