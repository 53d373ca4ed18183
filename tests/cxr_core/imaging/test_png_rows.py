"""PNG rows unpacked here: the picture is the same one, and whatever is wrong is left to the decoder."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from cxr_core.imaging import png_rows
from cxr_core.imaging.png import read_png
from cxr_core.imaging.png_rows import unpacked
from tests.cxr_core.imaging.pictures import encoded, ramp

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def picture(mode: str = "L") -> Image.Image:
    pixels = np.tile(ramp(), (1, 2))[:, :37]
    deep = Image.fromarray(pixels.astype(np.uint16) * 257)
    return deep if mode == "I;16" else Image.fromarray(pixels).convert(mode)


def idat(data: bytes) -> bytes:
    """The packed rows of a PNG that has them in one piece."""
    start = data.index(b"IDAT")
    return data[start + 4 : start + 4 + int.from_bytes(data[start - 4 : start], "big")]


def with_idat(data: bytes, packed: bytes) -> bytes:
    old = idat(data)
    start = data.index(b"IDAT") - 4
    chunk = len(packed).to_bytes(4, "big") + b"IDAT" + packed + zlib.crc32(b"IDAT" + packed).to_bytes(4, "big")
    return data[:start] + chunk + data[start + len(old) + 12 :]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_picture_with_its_rows_stored(mode):
    data = encoded(picture(mode), "PNG")
    stored = unpacked(read_png(data).picture)
    assert stored is not None
    # Every length and checksum is right, and nothing is packed any more.
    assert read_png(stored).picture == stored
    assert zlib.decompress(idat(stored)) == zlib.decompress(idat(data))
    assert len(idat(stored)) > len(zlib.decompress(idat(data)))
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(stored)) as after:
        assert (before.mode, before.tobytes()) == (after.mode, after.tobytes())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: zlib.compress(rows[:-1]),
        lambda rows: zlib.compress(rows + b"\0"),
        lambda rows: zlib.compress(rows)[:-2],
        lambda rows: zlib.compress(rows)[:-1] + bytes([zlib.compress(rows)[-1] ^ 1]),
        lambda rows: b"",
        lambda rows: rows,
    ],
    ids=["too-few", "too-many", "cut", "checksum", "none", "not-packed"],
)
def test_rows_that_are_not_what_they_should_be_are_left_to_the_decoder(spoil):
    data = encoded(picture(), "PNG")
    assert unpacked(with_idat(data, spoil(zlib.decompress(idat(data))))) is None


def test_a_large_picture_is_left_to_the_decoder(monkeypatch):
    monkeypatch.setattr(png_rows, "_MAX_ROWS_BYTES", 1000)
    assert unpacked(encoded(picture(), "PNG")) is None
