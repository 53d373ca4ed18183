"""Codings of pixel data: what comes out is what went in, and a codestream that is another picture is refused."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.pixels.encoders import RLELosslessEncoder

from cxr_core.errors import ImageError
from cxr_core.imaging.codecs import bare_frame, stored_values
from cxr_core.imaging.codestream import bare, read_jpeg, read_jpeg_2000
from cxr_core.imaging.decode import decode
from cxr_core.imaging.dicom_header import open_dicom
from cxr_core.imaging.faults import ImageFault
from tests.cxr_core.imaging.lossless_jpeg import lossless_jpeg
from tests.cxr_core.imaging.pictures import encoded, is_whole_or, outcome
from tests.cxr_core.imaging.raw_dicom import (
    BIG,
    EXPLICIT,
    J2K,
    J2K_LOSSLESS,
    JPEG,
    JPEG_12,
    JPEG_LS,
    LOSSLESS,
    LOSSLESS_1,
    NEAR_LS,
    RLE,
    file,
    meta_group,
    picture,
)

DEPTHS = [(8, False), (10, False), (12, False), (16, False), (12, True), (16, True)]


def coded(pixels, syntax: str, *, bits: int, **options) -> bytes:
    """One frame of stored values, signed ones as their bit patterns."""
    plain = pixels.view(f"u{pixels.dtype.itemsize}") & ((1 << bits) - 1)
    match syntax:
        case "1.2.840.10008.1.2.4.50":
            return encoded(Image.fromarray(plain), "JPEG", quality=95)
        case "1.2.840.10008.1.2.4.51":
            return imagecodecs.jpeg8_encode(plain, level=98, bitspersample=bits, **options)
        case "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70":
            options.setdefault("predictor", 1)
            return imagecodecs.jpeg8_encode(plain, lossless=True, bitspersample=bits, **options)
        case "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81":
            return imagecodecs.jpegls_encode(plain, **options)
        case "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91":
            return imagecodecs.jpeg2k_encode(
                plain, level=0, codecformat="j2k", reversible=True, bitspersample=bits, **options
            )
        case "1.2.840.10008.1.2.5":
            rows, columns = plain.shape
            return RLELosslessEncoder.encode(
                plain.astype(plain.dtype.newbyteorder("<")).tobytes(),
                rows=rows,
                columns=columns,
                samples_per_pixel=1,
                number_of_frames=1,
                bits_allocated=plain.dtype.itemsize * 8,
                bits_stored=bits,
                pixel_representation=0,
                photometric_interpretation="MONOCHROME2",
            )
    raise AssertionError(syntax)


def wrapped(pixels, frame: bytes, *, syntax: str, bits: int, **changes) -> bytes:
    return file(pixels, frame, syntax=syntax, BitsStored=bits, **changes)


def values(data: bytes):
    opened = open_dicom(data)
    return stored_values(opened.data, opened.picture.layout)


def reason_of(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value.reason


@pytest.mark.parametrize("syntax", [RLE, LOSSLESS, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS, J2K])
@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
def test_a_lossless_coding_gives_back_every_stored_value(syntax, bits, signed):
    pixels = picture(bits, signed=signed)
    frame = coded(pixels, syntax, bits=bits)
    data = wrapped(pixels, frame, syntax=syntax, bits=bits)
    assert values(data).dtype == pixels.dtype
    assert np.array_equal(values(data), pixels)
    assert np.array_equal(decode(data).pixels, decode(file(pixels, BitsStored=bits)).pixels)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_lossless_jpeg_is_undone(predictor):
    pixels = picture(12)
    frame = coded(pixels, LOSSLESS, bits=12, predictor=predictor)
    assert np.array_equal(values(wrapped(pixels, frame, syntax=LOSSLESS, bits=12)), pixels)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_agrees_with_a_second_writer(bits):
    pixels = picture(bits)
    data = wrapped(pixels, lossless_jpeg(pixels, bits=bits), syntax=LOSSLESS_1, bits=bits)
    assert np.array_equal(values(data), pixels)


def test_the_tiles_of_jpeg_2000_are_put_together():
    pixels = picture(8, height=200, width=300)
    options = {"no_jp2": True, "tile_size": (64, 64), "num_resolutions": 3}
    frame = encoded(Image.fromarray(pixels), "JPEG2000", **options)
    assert frame.count(b"\xff\x90\0\x0a") == 20
    assert np.array_equal(values(wrapped(pixels, frame, syntax=J2K_LOSSLESS, bits=8)), pixels)


def test_a_signed_jpeg_2000_codestream_and_an_unsigned_one_give_the_same_values():
    pixels = picture(12, signed=True)
    signed = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True, bitspersample=12)
    assert read_jpeg_2000(signed).signed
    for frame in (signed, coded(pixels, J2K_LOSSLESS, bits=12)):
        assert np.array_equal(values(wrapped(pixels, frame, syntax=J2K_LOSSLESS, bits=12)), pixels)


@pytest.mark.parametrize(
    ("syntax", "bits", "most"), [(JPEG, 8, 9), (JPEG_12, 8, 9), (JPEG_12, 12, 60), (NEAR_LS, 12, 4)]
)
def test_a_lossy_coding_comes_back_near(syntax, bits, most):
    pixels = picture(bits)
    options = {"level": 4} if syntax == NEAR_LS else {}
    frame = coded(pixels, syntax, bits=bits, **options)
    found = values(wrapped(pixels, frame, syntax=syntax, bits=bits))
    assert 0 < np.abs(found.astype(int) - pixels).max() <= most


def test_eight_bits_in_containers_of_sixteen_are_read():
    pixels = picture(8).astype(np.uint16)
    for syntax in (J2K_LOSSLESS, LOSSLESS):
        frame = coded(pixels.astype(np.uint8), syntax, bits=8)
        assert np.array_equal(values(wrapped(pixels, frame, syntax=syntax, bits=8)), pixels)


def test_what_lies_in_unused_bits_does_not_come_along():
    pixels = picture(12)
    overlay = np.zeros_like(pixels)
    overlay[5:9, 5:30] = 0xF000
    for syntax in (EXPLICIT, BIG):
        assert np.array_equal(values(file(pixels | overlay, syntax=syntax, BitsStored=12)), pixels)
    low = file((pixels << 4) | 0xF, BitsStored=12, HighBit=15)
    assert np.array_equal(values(low), pixels)
    frame = coded(pixels | overlay, RLE, bits=16)
    assert np.array_equal(values(wrapped(pixels, frame, syntax=RLE, bits=12)), pixels)


def test_a_frame_in_several_fragments_is_one_frame():
    pixels = picture(12)
    frame = coded(pixels, JPEG_LS, bits=12)
    parts = [frame[start : start + 500] for start in range(0, len(frame), 500)]
    assert len(parts) > 2
    assert np.array_equal(values(file(pixels, *parts, syntax=JPEG_LS, BitsStored=12)), pixels)


# --- codestreams that are another picture than the header says


@pytest.mark.parametrize("syntax", [JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS])
@pytest.mark.parametrize("change", [{"Rows": 41}, {"Columns": 55}, {"Rows": 56, "Columns": 40}, {"Rows": 6000}])
def test_a_codestream_of_another_size_is_corrupt(syntax, change):
    pixels = picture(8)
    assert reason_of(wrapped(pixels, coded(pixels, syntax, bits=8), syntax=syntax, bits=8, **change)) == "corrupt"


def test_a_codestream_with_more_or_fewer_bits_than_the_header_says_is_corrupt():
    deep, shallow = picture(12), picture(8)
    frame = coded(deep, LOSSLESS_1, bits=12)
    assert reason_of(wrapped(shallow, frame, syntax=LOSSLESS_1, bits=8)) == "corrupt"
    frame = coded(shallow, LOSSLESS_1, bits=8)
    assert reason_of(wrapped(deep, frame, syntax=LOSSLESS_1, bits=12)) == "corrupt"


def test_a_colour_codestream_in_a_grey_file_is_corrupt():
    pixels = picture(8)
    colour = encoded(Image.fromarray(pixels).convert("RGB"), "JPEG")
    assert reason_of(wrapped(pixels, colour, syntax=JPEG, bits=8)) == "corrupt"


@pytest.mark.parametrize("said", [JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS, RLE])
@pytest.mark.parametrize("is_", [JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS, RLE])
def test_a_codestream_of_another_kind_than_the_syntax_says_is_corrupt(said, is_):
    if said == is_:
        return
    pixels = picture(8)
    assert reason_of(wrapped(pixels, coded(pixels, is_, bits=8), syntax=said, bits=8)) in ("corrupt", "truncated")


def test_pixel_data_wrapped_otherwise_than_the_syntax_says_are_corrupt():
    pixels = picture(8)
    assert reason_of(wrapped(pixels, coded(pixels, JPEG, bits=8), syntax=EXPLICIT, bits=8)) == "corrupt"
    plain = file(pixels).replace(meta_group({0x00020010: EXPLICIT}), meta_group({0x00020010: JPEG}))
    assert reason_of(plain) == "corrupt"


@pytest.mark.parametrize("rows", [39, 41, 20, 6000])
def test_uncompressed_pixels_that_do_not_fill_the_header_s_picture_are_corrupt(rows):
    assert reason_of(file(picture(12), BitsStored=12, Rows=rows)) == "corrupt"


def test_more_frames_than_the_header_says_are_corrupt():
    pixels = picture(8)
    assert reason_of(file(np.vstack([pixels, pixels]), Rows=40, NumberOfFrames="1")) == "corrupt"


@pytest.mark.parametrize(
    ("bits", "reason"),
    [
        ({"BitsAllocated": 32}, "unsupported_depth"),
        ({"BitsAllocated": 1}, "unsupported_depth"),
        ({"BitsAllocated": 12}, "unsupported_depth"),
        ({"BitsStored": 17}, "corrupt"),
        ({"BitsStored": 0, "HighBit": 0}, "corrupt"),
        ({"BitsStored": 12, "HighBit": 5}, "corrupt"),
        ({"BitsStored": 12, "HighBit": 16}, "corrupt"),
        ({"PixelRepresentation": 2}, "corrupt"),
    ],
)
def test_impossible_bits_are_refused(bits, reason):
    assert reason_of(file(picture(12), **{"BitsStored": 12, "HighBit": 11} | bits)) == reason


# --- cut, damaged, made to exhaust


@pytest.mark.parametrize("syntax", [RLE, JPEG, JPEG_12, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS])
@given(cut=st.integers(min_value=0))
@settings(max_examples=15)
def test_a_frame_cut_anywhere_raises_or_is_whole(syntax, cut):
    pixels = picture(8)
    frame = coded(pixels, syntax, bits=8)
    whole = decode(wrapped(pixels, frame, syntax=syntax, bits=8)).pixels
    found = outcome(wrapped(pixels, frame[: cut % len(frame)], syntax=syntax, bits=8))
    assert is_whole_or({ImageFault.TRUNCATED, ImageFault.CORRUPT}, found, whole)


@pytest.mark.parametrize("syntax", [RLE, JPEG, JPEG_12, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS])
@given(noise=st.binary(min_size=1, max_size=24), place=st.integers(min_value=0))
@settings(max_examples=25)
def test_an_overwritten_frame_raises_image_errors_only(syntax, noise, place):
    pixels = picture(12)
    frame = bytearray(coded(pixels if syntax != JPEG else picture(8), syntax, bits=8 if syntax == JPEG else 12))
    start = place % len(frame)
    frame[start : start + len(noise)] = noise
    found = outcome(
        wrapped(pixels if syntax != JPEG else picture(8), bytes(frame), syntax=syntax, bits=8 if syntax == JPEG else 12)
    )
    assert found != ImageFault.DECODER_FAILED if isinstance(found, ImageFault) else found.dtype == np.uint8


def test_an_rle_segment_that_unpacks_without_end_is_not_unpacked():
    pixels = picture(8)
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    runs = header + b"\x81\x07" * 1_000_000  # 128 bytes each
    assert reason_of(wrapped(pixels, runs, syntax=RLE, bits=8)) == "corrupt"


def test_a_jpeg_of_a_thousand_scans_is_refused():
    pixels = picture(8)
    frame = encoded(Image.fromarray(pixels), "JPEG", progressive=True)
    scan = frame[frame.rindex(b"\xff\xda") : -2]
    assert reason_of(wrapped(pixels, frame[:-2] + scan * 1000 + b"\xff\xd9", syntax=JPEG, bits=8)) == "too_complex"


# --- text in codestreams


@pytest.mark.parametrize("syntax", [JPEG, LOSSLESS_1, JPEG_LS, J2K_LOSSLESS])
def test_text_in_a_codestream_and_behind_it_is_taken_out_without_touching_the_picture(syntax):
    pixels = picture(8)
    frame = coded(pixels, syntax, bits=8)
    text = b"Doe^Jane 19500101"
    if syntax == J2K_LOSSLESS:
        size = 4 + int.from_bytes(frame[4:6], "big")
        noted = frame[:size] + b"\xff\x64" + (len(text) + 4).to_bytes(2, "big") + b"\0\1" + text + frame[size:]
    else:
        segments = b"".join(
            bytes((0xFF, marker)) + (len(text) + 2).to_bytes(2, "big") + text for marker in (0xE0, 0xE1, 0xEF, 0xFE)
        )
        noted = frame[:2] + segments + frame[2:]
    noted += text
    data = wrapped(pixels, noted, syntax=syntax, bits=8)
    opened = open_dicom(data)
    kept = bare_frame(opened.data, opened.picture.layout)
    found = (read_jpeg_2000 if syntax == J2K_LOSSLESS else read_jpeg)(kept)
    assert b"Doe" in data
    assert b"Doe" not in kept
    assert bare(kept, found) == kept
    assert np.array_equal(decode(data).pixels, decode(wrapped(pixels, frame, syntax=syntax, bits=8)).pixels)
    assert np.array_equal(decode(wrapped(pixels, kept, syntax=syntax, bits=8)).pixels, decode(data).pixels)


def test_a_camera_s_orientation_inside_a_dicom_file_turns_nothing():
    pixels = picture(8)
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = encoded(Image.fromarray(pixels), "JPEG", quality=95, exif=exif.tobytes())
    turned = decode(wrapped(pixels, frame, syntax=JPEG, bits=8)).pixels
    assert np.array_equal(turned, decode(wrapped(pixels, coded(pixels, JPEG, bits=8), syntax=JPEG, bits=8)).pixels)
