"""Good files of every kind that is read, odd ones among them: what must be kept, however strange it looks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin

from tests.cxr_core.imaging.raw_dicom import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    J2K_LOSSLESS,
    JPEG,
    JPEG_LS,
    RLE,
    file,
    nested,
)
from tests.cxr_core.imaging.raw_dicom import (
    picture as dicom_picture,
)
from tests.hostile.dicoms import jpeg_of
from tests.hostile.kinds import Make
from tests.hostile.pictures import PNG_HEAD, chunk, jpeg, picture, png, saved

GOOD: dict[str, tuple[str, Make]] = {}
"""Kind to the suffix of its files and their maker."""

FILMS: dict[str, tuple[str, Make]] = {}
"""Likewise, of 64 million pixels: the largest film that there is, digitised at 50 micrometres."""


def _good(name: str, suffix: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        GOOD[name] = (suffix, make)
        return make

    return register


def _mode(mode: str) -> None:
    @_good(f"png {mode}", ".png")
    def make(rng: np.random.Generator) -> bytes:
        return saved(Image.fromarray(picture(rng)).convert(mode), "PNG", compress_level=int(rng.integers(0, 10)))


for _name in ("L", "RGB", "RGBA", "LA", "P", "1"):
    _mode(_name)


@_good("png of 16 bits", ".png")
def _deep(rng: np.random.Generator) -> bytes:
    return saved(Image.fromarray((picture(rng).astype(np.uint16) * int(rng.integers(5, 257))).astype("<u2")), "PNG")


@_good("png with text, profile and a turned camera", ".png")
def _annotated(rng: np.random.Generator) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a scanner", zip=True)
    text.add_itxt("Comment", "é" * 300, zip=True)
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    return png(rng, pnginfo=text, exif=exif, icc_profile=rng.bytes(3000), dpi=(300, 300))


@_good("png interlaced", ".png")
def _interlaced(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in steps for row in pixels[y::dy, x::dx])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@_good("png with padding behind it and a part that nobody knows", ".png")
def _padded(rng: np.random.Generator) -> bytes:
    data = png(rng)
    return data[:PNG_HEAD] + chunk(b"prVt", rng.bytes(40)) + data[PNG_HEAD:] + b"\0" * int(rng.integers(0, 5000))


@_good("png named jpg", ".jpg")
def _misnamed(rng: np.random.Generator) -> bytes:
    return png(rng)


@_good("jpeg", ".jpg")
def _jpeg(rng: np.random.Generator) -> bytes:
    return jpeg(rng, optimize=bool(rng.integers(0, 2)), restart_marker_rows=int(rng.integers(0, 3)))


@_good("jpeg in colour", ".jpeg")
def _colour(rng: np.random.Generator) -> bytes:
    return saved(Image.fromarray(picture(rng)).convert("RGB"), "JPEG", subsampling=int(rng.integers(0, 3)))


@_good("jpeg progressive", ".jpg")
def _progressive(rng: np.random.Generator) -> bytes:
    return jpeg(rng, progressive=True)


@_good("jpeg cmyk", ".jpg")
def _cmyk(rng: np.random.Generator) -> bytes:
    return saved(Image.fromarray(picture(rng)).convert("CMYK"), "JPEG")


@_good("jpeg from a camera", ".JPG")
def _camera(rng: np.random.Generator) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    exif[0x010F] = "a maker"
    return jpeg(rng, exif=exif, icc_profile=rng.bytes(70_000), comment=b"a comment", dpi=(72, 72)) + b"\0\0\r\n"


def _dicom(name: str, syntax: str, *, bits: int = 8) -> None:
    @_good(f"dicom {name}", ".dcm")
    def make(rng: np.random.Generator) -> bytes:
        pixels = picture(rng)
        if bits == 8:
            return file(pixels, syntax=syntax)
        deep = (pixels.astype(np.uint16) * (2 ** (bits - 8))).astype("<u2")
        return file(
            deep,
            syntax=syntax,
            BitsStored=bits,
            WindowCenter=str(2 ** (bits - 1)),
            WindowWidth=str(2**bits),
            RescaleSlope="1",
            RescaleIntercept="-5",
        )


_dicom("explicit", EXPLICIT)
_dicom("implicit", IMPLICIT)
_dicom("big endian", BIG, bits=12)
_dicom("deflated", DEFLATED)
_dicom("12 bits with a window", EXPLICIT, bits=12)
_dicom("16 bits implicit", IMPLICIT, bits=16)


@_good("dicom inverted", ".dcm")
def _inverted(rng: np.random.Generator) -> bytes:
    return file(picture(rng), PhotometricInterpretation="MONOCHROME1")


@_good("dicom signed", ".dcm")
def _signed(rng: np.random.Generator) -> bytes:
    return file(dicom_picture(12, signed=True) + rng.integers(0, 3, (40, 56)).astype("i2"), BitsStored=16)


@_good("dicom without a preamble", ".dcm")
def _bare(rng: np.random.Generator) -> bytes:
    return file(picture(rng), preamble=None)


@_good("dicom that is a tiff as well", ".dcm")
def _dual(rng: np.random.Generator) -> bytes:
    # PS3.10, 7.1 allows it: whole-slide scanners write such files.
    return file(picture(rng), preamble=b"II*\0" + bytes(124))


@_good("dicom nested as far as a real one", ".dcm")
def _nested(rng: np.random.Generator) -> bytes:
    whole = file(picture(rng))
    place = whole.index(b"\x28\x00\x02\x00")
    return whole[:place] + nested(int(rng.integers(1, 8))) + whole[place:]


@_good("dicom jpeg", ".dcm")
def _dicom_jpeg(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    return file(pixels, jpeg_of(pixels), syntax=JPEG)


@_good("dicom jpeg-ls", ".dcm")
def _dicom_ls(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    return file(pixels, imagecodecs.jpegls_encode(pixels), syntax=JPEG_LS)


@_good("dicom jpeg 2000", ".dcm")
def _dicom_2000(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    return file(pixels, imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True), syntax=J2K_LOSSLESS)


@_good("dicom rle", ".dcm")
def _dicom_rle(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    plane = b"".join(
        bytes([len(row) - 1]) + row
        for line in pixels
        for row in (line.tobytes()[n : n + 128] for n in range(0, 128, 128))
    )
    return file(pixels, struct.pack("<16I", 1, 64, *[0] * 14) + plane, syntax=RLE)


def _film(rng: np.random.Generator) -> np.ndarray:
    """uint16 (8000, 8000) of 12 bits."""
    return np.tile(rng.integers(0, 4096, (1000, 1000)).astype("<u2"), (8, 8))


def _large(name: str, suffix: str, make: Callable[[np.ndarray], bytes]) -> None:
    FILMS[name] = (suffix, lambda rng: make(_film(rng)))


_large("film dicom of 12 bits", ".dcm", lambda film: file(film, BitsStored=12))
_large(
    "film png of 16 bits", ".png", lambda film: saved(Image.fromarray(film * np.uint16(16)), "PNG", compress_level=1)
)
_large("film jpeg", ".jpg", lambda film: saved(Image.fromarray((film >> 4).astype(np.uint8)), "JPEG"))
_large(
    "film jpeg progressive and in colour",
    ".jpg",
    lambda film: saved(Image.fromarray((film >> 4).astype(np.uint8)).convert("RGB"), "JPEG", progressive=True),
)
