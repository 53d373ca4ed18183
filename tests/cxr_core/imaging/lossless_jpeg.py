"""A second writer of lossless JPEG, from the standard's text (T.81, annex H), to hold the decoder's library against."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One Huffman table for all: 17 categories of differences, each with a code of five bits.
_CATEGORIES = 17
_CODE_BITS = 5


def lossless_jpeg(pixels: NDArray[Any], *, bits: int) -> bytes:
    """A grey picture (H, W) of unsigned values by predictor 1 (H.1.2.1).

    It takes the sample to the left, in column 0 the one above; the first of all is predicted as half the range.
    """
    values = pixels.astype(np.int64)
    predicted = np.empty_like(values)
    predicted[:, 1:] = values[:, :-1]
    predicted[1:, 0] = values[:-1, 0]
    predicted[0, 0] = 1 << (bits - 1)
    # H.1.2.1: differences are taken modulo 2^16.
    differences = (values - predicted + 32768) % 65536 - 32768
    coded = "".join(_bits(int(difference)) for difference in differences.ravel())
    coded += "1" * (-len(coded) % 8)
    packed = int(coded, 2).to_bytes(len(coded) // 8, "big").replace(b"\xff", b"\xff\0")
    height, width = pixels.shape
    lengths = bytes(_CATEGORIES if size == _CODE_BITS else 0 for size in range(1, 17))
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC4, b"\0" + lengths + bytes(range(_CATEGORIES))),
            _segment(0xC3, struct.pack(">BHHB3B", bits, height, width, 1, 1, 0x11, 0)),
            _segment(0xDA, struct.pack("6B", 1, 1, 0, 1, 0, 0)),
            packed,
            b"\xff\xd9",
        ]
    )


def _bits(difference: int) -> str:
    """H.1.2.2: the category's code, then the difference, of a negative one the ones' complement."""
    category = abs(difference).bit_length()
    code = f"{category:0{_CODE_BITS}b}"
    if category == 0 or difference == -32768:
        return code
    return code + f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}"


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", 0xFF00 | marker, len(body) + 2) + body
