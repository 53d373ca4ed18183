"""PNG and JPEG: every mode becomes the same grey, and damaged or hostile bytes get one named reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

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


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_a_camera_turned_picture_is_turned_upright_as_pillow_turns_it(kind, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    data = encoded(Image.fromarray(GREY), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode(data).pixels, np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [("H", 3), ("I", 4)])
def test_an_orientation_is_read_in_either_byte_order_and_width(order, kind):
    assert decode(_with_exif(_tiff(order, kind, value=6))).pixels.shape == (56, 40)


@pytest.mark.parametrize(
    "block",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"\xff" * 300],
)
def test_camera_data_that_cannot_be_read_turns_nothing(block):
    assert np.array_equal(decode(_with_exif(block)).pixels, decode(JPEG).pixels)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_there_is_not_turns_nothing(value):
    assert decode(_with_exif(_tiff("<", ("H", 3), value=value))).pixels.shape == GREY.shape


def test_cmyk_becomes_the_grey_that_pillow_makes_of_it():
    data = encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG", quality=95)
    decoded = decode(data)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decoded.pixels, np.asarray(image.convert("RGB").convert("L")))
    assert decoded.mode == "CMYK"
    assert np.abs(decoded.pixels.astype(int) - GREY).mean() < 4


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_a_picture_of_many_bands_is_the_picture_of_one(mode, monkeypatch):
    deep = (ramp(height=90, width=70).astype(np.uint16) * 200).astype("<u2")
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(ramp(height=90, width=70)).convert(mode)
    whole = decode(encoded(image)).pixels
    monkeypatch.setattr("cxr_core.imaging.raster._BAND_PIXELS", 500)
    assert np.array_equal(decode(encoded(image)).pixels, whole)


@given(cut=st.integers(min_value=9, max_value=len(JPEG) - 1))
@settings(max_examples=25, deadline=None)
def test_a_jpeg_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(JPEG, cut)


@given(cut=st.integers(min_value=9, max_value=len(PROGRESSIVE) - 1))
@settings(max_examples=25, deadline=None)
def test_a_progressive_jpeg_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(PROGRESSIVE, cut)


@given(cut=st.integers(min_value=9, max_value=len(PNG) - 1))
@settings(max_examples=25, deadline=None)
def test_a_png_cut_anywhere_raises_or_is_whole(cut):
    _raises_or_is_whole(PNG, cut)


@given(place=st.integers(min_value=8, max_value=len(PNG) - 1), bit=st.integers(min_value=0, max_value=7))
@settings(max_examples=60, deadline=None)
def test_a_png_with_one_bit_flipped_never_passes_as_another_picture(place, bit):
    flipped = bytearray(PNG)
    flipped[place] ^= 1 << bit
    assert is_whole_or(set(ImageFault), outcome(bytes(flipped)), GREY)


@given(data=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
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


FOREIGN = {
    "gif": b"GIF89a" + b"\0" * 40,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
    "psd": b"8BPS\0\x01" + b"\0" * 40,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "zip": b"PK\3\4" + b"\0" * 40,
    "elf": b"\x7fELF" + b"\0" * 40,
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "jpeg xl": b"\xff\x0a" + b"\0" * 40,
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=list(FOREIGN))
def test_a_foreign_file_is_no_image_whatever_its_name(data):
    assert reason_of(data) == ImageFault.NOT_AN_IMAGE


@pytest.mark.parametrize("frames", [1, 2])
def test_an_animation_is_refused(frames):
    pictures = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = encoded(pictures[0], save_all=True, append_images=pictures[1:])
    assert reason_of(data) == ImageFault.SEVERAL_FRAMES
    # A chunk that says how many frames there are makes an animation, whatever it says.
    acTL = _chunk(b"acTL", struct.pack(">II", frames, 0))
    assert reason_of(PNG[:33] + acTL + PNG[33:]) == ImageFault.SEVERAL_FRAMES


@pytest.mark.parametrize("data", [PNG, JPEG], ids=["png", "jpeg"])
def test_padding_behind_a_picture_is_nothing_and_anything_else_is_a_second_file(data):
    assert np.array_equal(decode(data + b"\0" * 700).pixels, decode(data).pixels)
    assert np.array_equal(decode(data + b"\r\n").pixels, decode(data).pixels)
    assert reason_of(data + b"PK\3\4 an archive") == ImageFault.TRAILING_DATA
    assert reason_of(data + b"\0" * 700 + b"<script>") == ImageFault.TRAILING_DATA
    assert reason_of(data + JPEG) == ImageFault.SEVERAL_FRAMES


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_packed_text_and_profiles_are_inflated_up_to_a_limit(kind):
    head = {b"zTXt": b"k\0\0", b"iCCP": b"k\0\0", b"iTXt": b"k\0\x01\0en\0k\0"}[kind]
    small, bomb = (_chunk(kind, head + zlib.compress(b"\0" * size)) for size in (100_000, 40_000_000))
    assert np.array_equal(decode(PNG[:33] + small + PNG[33:]).pixels, GREY)
    assert reason_of(PNG[:33] + bomb + PNG[33:]) == ImageFault.TOO_LARGE
    # Many that are small each are one bomb together.
    half = _chunk(kind, head + zlib.compress(b"\0" * 4_000_000))
    assert reason_of(PNG[:33] + half * 6 + PNG[33:]) == ImageFault.TOO_LARGE


def test_text_that_says_it_is_packed_and_is_not_harms_nothing():
    odd = _chunk(b"zTXt", b"k\0\0 not deflated") + _chunk(b"iTXt", b"") + _chunk(b"iCCP", b"no end")
    assert np.array_equal(decode(PNG[:33] + odd + PNG[33:]).pixels, GREY)


@pytest.mark.parametrize("place", [16, 29, -8, -20], ids=["header", "header's sum", "last sum", "data"])
def test_a_wrong_checksum_in_a_png_is_corrupt(place):
    flipped = bytearray(PNG)
    flipped[place] ^= 1
    assert reason_of(bytes(flipped)) == ImageFault.CORRUPT


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_rows_that_are_missing_and_rows_that_are_black_are_told_apart(mode):
    height, width = 50, 37
    black = ramp(height=height, width=width)
    black[-30:] = 0
    deep = (black.astype(np.uint16) * 200).astype("<u2")
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(black).convert(mode)
    data = encoded(image)
    decode(data)
    start = data.index(b"IDAT")
    rows = zlib.decompress(data[start + 4 : start + 4 + struct.unpack(">I", data[start - 4 : start])[0]])
    for kept in (len(rows) // 3, len(rows) - 1):
        short = data[: start - 4] + _chunk(b"IDAT", zlib.compress(rows[:kept])) + _chunk(b"IEND", b"")
        assert reason_of(short) == ImageFault.TRUNCATED


def test_an_interlaced_picture_is_read_and_one_with_rows_missing_is_refused():
    # Pillow writes none, so Adam7's passes are put together here; sides that no step of a pass divides.
    pixels = ramp(height=21, width=19)
    pixels[-1] = 0
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in pixels[y::dy, x::dx])
    head = PNG[:8] + _chunk(b"IHDR", struct.pack(">IIBBBBB", 19, 21, 8, 0, 0, 0, 1))
    whole, short = (
        head + _chunk(b"IDAT", zlib.compress(rows[:end])) + _chunk(b"IEND", b"") for end in (None, len(rows) - 1)
    )
    assert np.array_equal(decode(whole).pixels, pixels)
    assert reason_of(short) == ImageFault.TRUNCATED


@pytest.mark.parametrize("kind", [b"CgBI", b"IHDR"])
def test_a_part_that_draws_and_is_not_known_is_corrupt(kind):
    assert reason_of(PNG[:33] + _chunk(kind, b"\0" * 13) + PNG[33:]) == ImageFault.CORRUPT


def test_the_decoder_sees_nothing_but_what_draws(monkeypatch):
    seen = []
    opened = Image.open

    def watched(file, **options):
        seen.append(file.getvalue())
        return opened(file, **options)

    monkeypatch.setattr("cxr_core.imaging.raster.Image.open", watched)
    secret = b"somebody's name"
    decode(PNG[:33] + _chunk(b"tEXt", b"k\0" + secret) + PNG[33:])
    decode(_with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + secret))
    decode(_with_segment(0xFE, secret))
    assert len(seen) == 3
    assert not any(secret in data for data in seen)


@pytest.mark.parametrize("process", [0xC3, 0xC9, 0xCA, 0xC5])
def test_kinds_of_jpeg_that_are_not_read_are_named_and_not_called_damaged(process):
    place = JPEG.index(b"\xff\xc0")
    assert reason_of(JPEG[: place + 1] + bytes([process]) + JPEG[place + 2 :]) == ImageFault.UNSUPPORTED_JPEG


def test_a_jpeg_of_twelve_bits_is_named():
    place = JPEG.index(b"\xff\xc0")
    assert reason_of(JPEG[: place + 4] + b"\x0c" + JPEG[place + 5 :]) == ImageFault.UNSUPPORTED_JPEG


def test_thousands_of_passes_are_a_bomb():
    place = PROGRESSIVE.rindex(b"\xff\xda")
    assert reason_of(PROGRESSIVE[:place] + PROGRESSIVE[place:-2] * 200 + b"\xff\xd9") == ImageFault.TOO_LARGE


ODD_JPEGS = {
    "no picture": JPEG[:2] + JPEG[-2:] + b"\xff",
    "size twice": JPEG[: JPEG.index(b"\xff\xc4")] + JPEG[JPEG.index(b"\xff\xc0") :],
    "a length of one": JPEG[:2] + b"\xff\xe1\0\x01" + JPEG[2:],
    "jpeg within": JPEG[:2] + JPEG,
}


@pytest.mark.parametrize("data", ODD_JPEGS.values(), ids=list(ODD_JPEGS))
def test_a_jpeg_that_contradicts_itself_is_corrupt(data):
    assert reason_of(data) == ImageFault.CORRUPT


def test_an_error_that_nobody_foresaw_costs_one_file_and_says_whose_fault_it_is(monkeypatch):
    def surprised(_data):
        raise ZeroDivisionError("of a library")

    monkeypatch.setattr("cxr_core.imaging.decode.read_raster", surprised)
    with pytest.raises(ImageError, match="ZeroDivisionError: of a library") as caught:
        decode(PNG)
    assert caught.value.reason == ImageFault.DECODER_FAILED


def test_want_of_memory_is_not_the_picture_s_fault(monkeypatch):
    def exhausted(_data):
        raise MemoryError

    monkeypatch.setattr("cxr_core.imaging.decode.read_raster", exhausted)
    with pytest.raises(MemoryError):
        decode(PNG)


@pytest.mark.parametrize(("width", "height"), [(9_000, 9_000), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(width, height):
    assert reason_of(_png_header(width=width, height=height)) == ImageFault.TOO_LARGE


def test_a_sliver_is_refused():
    assert reason_of(png(ramp(height=8, width=400))) == ImageFault.TOO_SMALL


def test_a_picture_of_one_value_is_blank():
    assert reason_of(png(np.full((40, 40), 7, np.uint8))) == ImageFault.BLANK


def _raises_or_is_whole(data: bytes, cut: int) -> None:
    assert is_whole_or({ImageFault.TRUNCATED, ImageFault.CORRUPT}, outcome(data[:cut]), decode(data).pixels)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _with_segment(marker: int, body: bytes) -> bytes:
    """The JPEG with one more segment behind its start."""
    return JPEG[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + JPEG[2:]


def _with_exif(block: bytes) -> bytes:
    return _with_segment(0xE1, b"Exif\0\0" + block)


def _tiff(order: str, kind: tuple[str, int], *, value: int) -> bytes:
    """A TIFF block whose one entry is an orientation."""
    letter, number = kind
    entry = struct.pack(f"{order}HHI{letter}", 0x0112, number, 1, value).ljust(12, b"\0")
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, 1) + entry + b"\0" * 4


def _png_header(*, width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG[:8] + header + _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _chunk(b"IEND", b"")
