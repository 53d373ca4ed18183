"""PNG and JPEG: every mode becomes the same grey, and damaged or hostile bytes get one named reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_core.errors import ImageError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.faults import ImageFault
from tests.cxr_core.imaging.pictures import encoded, is_whole_or, outcome, png, ramp

GREY = ramp()
JPEG = encoded(Image.fromarray(GREY), "JPEG", quality=90)
PROGRESSIVE = encoded(Image.fromarray(GREY), "JPEG", quality=90, progressive=True)
PNG = png(GREY)


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


def test_grey_png_comes_back_bit_for_bit():
    decoded = decode(PNG)
    assert np.array_equal(decoded.pixels, GREY)
    assert (decoded.height, decoded.width, decoded.mode, decoded.dicom) == (40, 56, "L", None)
    assert decoded.pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_a_grey_picture_in_any_mode_is_the_same_picture(mode):
    decoded = decode(encoded(Image.fromarray(GREY).convert(mode)))
    assert decoded.mode == mode
    assert np.array_equal(decoded.pixels, GREY)


def test_transparent_pixels_become_air():
    alpha = np.full_like(GREY, 255)
    alpha[:, :10] = 0
    decoded = decode(encoded(Image.fromarray(np.dstack([GREY + 0, GREY, GREY, alpha]))))
    assert (decoded.pixels[:, :10] == 0).all()
    assert np.array_equal(decoded.pixels[:, 10:], GREY[:, 10:])


def test_a_palette_entry_marked_transparent_becomes_air():
    picture = Image.fromarray(GREY).convert("P")
    decoded = decode(encoded(picture, transparency=int(np.asarray(picture)[-1, -1])))
    assert decoded.pixels[-1, -1] == 0


@pytest.mark.parametrize("top", [4095, 65535])
def test_deep_pixels_are_spread_over_the_whole_range(top):
    deep = (GREY.astype(np.float64) / 255 * top).astype(np.uint16)
    pixels = decode(png(deep)).pixels
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert np.abs(pixels.astype(int) - GREY).max() <= 1


def test_a_camera_turned_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to view
    turned = Image.fromarray(np.rot90(GREY, 1).copy())
    decoded = decode(encoded(turned, exif=exif))
    assert np.array_equal(decoded.pixels, GREY)


@given(cut=st.integers(min_value=9, max_value=len(JPEG) - 1))
@settings(max_examples=60, deadline=None)
def test_a_jpeg_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(JPEG, cut)


@given(cut=st.integers(min_value=9, max_value=len(PROGRESSIVE) - 1))
@settings(max_examples=60, deadline=None)
def test_a_progressive_jpeg_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(PROGRESSIVE, cut)


@given(cut=st.integers(min_value=9, max_value=len(PNG) - 1))
@settings(max_examples=60, deadline=None)
def test_a_png_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(PNG, cut)


@given(place=st.integers(min_value=8, max_value=len(PNG) - 1), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=150, deadline=None)
def test_a_png_with_one_bit_flipped_never_passes_as_another_picture(place, bit):
    flipped = bytearray(PNG)
    flipped[place] ^= 1 << bit
    assert is_whole_or(set(ImageFault), outcome(bytes(flipped)), GREY)


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_behind_a_true_beginning_raise_image_errors_only(data):
    for magic in (PNG[:8], JPEG[:3], PNG[:33], JPEG[:40]):
        with pytest.raises(ImageError):
            decode(magic + data)


def test_half_a_jpeg_is_called_truncated():
    assert reason_of(JPEG[: len(JPEG) // 2]) == ImageFault.TRUNCATED


def test_no_bytes_are_called_empty():
    assert reason_of(b"") == ImageFault.EMPTY


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_decoders_are_never_reached_whatever_the_name(kind):
    assert reason_of(encoded(Image.fromarray(GREY), kind)) == ImageFault.NOT_AN_IMAGE


def test_a_text_is_no_image():
    assert reason_of(b"<html>404</html>") == ImageFault.NOT_AN_IMAGE


def test_an_animation_is_refused():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    assert reason_of(encoded(frames[0], save_all=True, append_images=frames[1:])) == ImageFault.SEVERAL_FRAMES


@pytest.mark.parametrize(("width", "height"), [(9_000, 9_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(width, height):
    assert reason_of(_png_header(width=width, height=height)) == ImageFault.TOO_LARGE


def test_a_sliver_is_refused():
    assert reason_of(png(ramp(height=8, width=400))) == ImageFault.TOO_SMALL


def test_a_picture_of_one_value_is_blank():
    assert reason_of(png(np.full((40, 40), 7, np.uint8))) == ImageFault.BLANK


def _raises_or_is_whole(data: bytes, cut: int) -> None:
    assert is_whole_or({ImageFault.TRUNCATED, ImageFault.CORRUPT}, outcome(data[:cut]), decode(data).pixels)


def _png_header(*, width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)))
    out.write(chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))
    return out.getvalue()
