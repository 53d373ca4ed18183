"""DICOM files with one thing wrong each."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_core.imaging.faults import ImageFault
from tests.cxr_core.imaging.raw_dicom import (
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    J2K,
    JPEG,
    JPEG_LS,
    LOSSLESS_1,
    RLE,
    element,
    file,
    meta_group,
    nested,
)
from tests.hostile.kinds import Kinds
from tests.hostile.pictures import jpeg, picture, saved
from tests.hostile.zips import word

DICOMS = Kinds()


def jpeg_of(pixels: NDArray[np.uint8]) -> bytes:
    return saved(Image.fromarray(pixels), "JPEG", quality=90)


@DICOMS.add("dicom-truncated", ImageFault.TRUNCATED, suffix=".dcm")
def _cut(rng: np.random.Generator) -> bytes:
    data = file(picture(rng), syntax=str(rng.choice([EXPLICIT, IMPLICIT])))
    return data[: int(rng.integers(len(data) // 2, len(data) - 2))]


@DICOMS.add("dicom-header-alone", ImageFault.TRUNCATED, suffix=".dcm")
def _header(rng: np.random.Generator) -> bytes:
    data = file(picture(rng))
    return data[: data.index(b"\xe0\x7f\x10\x00")]


@DICOMS.add("dicom-lying-rows", ImageFault.CORRUPT, suffix=".dcm")
def _rows(rng: np.random.Generator) -> bytes:
    return file(picture(rng), Rows=int(rng.integers(200, 7000)))


@DICOMS.add("dicom-lying-columns-in-jpeg", ImageFault.CORRUPT, suffix=".dcm")
def _columns(rng: np.random.Generator) -> bytes:
    return file(picture(rng), jpeg(rng), syntax=JPEG, Columns=int(rng.integers(200, 7000)))


@DICOMS.add("dicom-that-claims-a-bomb", ImageFault.TOO_LARGE, suffix=".dcm")
def _claim(rng: np.random.Generator) -> bytes:
    return file(picture(rng), Rows=int(rng.integers(60_000, 65_536)), Columns=60_000)


@DICOMS.add("dicom-deflated-bomb", ImageFault.TOO_LARGE, suffix=".dcm")
def _bomb(rng: np.random.Generator) -> bytes:
    """A megabyte that inflates to one gigabyte of header."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = element(0x00080005, "CS", b"ISO_IR 100") + element(0x00091001, "OB", b"", length=1_000_000_000)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers back, so that the same packed zeros may follow as often as one likes.
    zeros = packer.compress(b"\0" * 10_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    many = zeros * int(rng.integers(60, 100))
    return bytes(128) + b"DICM" + meta_group({0x00020010: DEFLATED}) + packed + many + packer.flush()


@DICOMS.add("dicom-deflated-damaged", ImageFault.CORRUPT, suffix=".dcm")
def _deflated(rng: np.random.Generator) -> bytes:
    return bytes(128) + b"DICM" + meta_group({0x00020010: DEFLATED}) + b"\xff" + rng.bytes(600)


@DICOMS.add("dicom-deeply-nested", ImageFault.TOO_COMPLEX, suffix=".dcm")
def _nested(rng: np.random.Generator) -> bytes:
    syntax = str(rng.choice([EXPLICIT, IMPLICIT]))
    whole = file(picture(rng), syntax=syntax)
    place = whole.index(b"\x28\x00\x02\x00")
    return whole[:place] + nested(int(rng.integers(40, 20_000)), syntax=syntax) + whole[place:]


@DICOMS.add("dicom-of-endless-elements", ImageFault.TOO_COMPLEX, suffix=".dcm")
def _many(rng: np.random.Generator) -> bytes:
    whole = file(picture(rng), syntax=EXPLICIT)
    place = whole.index(b"\x28\x00\x02\x00")
    group = int(rng.integers(4, 8)) * 2 + 1
    items = struct.pack("<HH2sHI", group, 0x1001, b"SQ", 0, 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\0\0\0\0" * 120_000
    return whole[:place] + items + b"\xfe\xff\xdd\xe0\0\0\0\0" + whole[place:]


@DICOMS.add("dicom-unknown-syntax", ImageFault.UNSUPPORTED_TRANSFER_SYNTAX, suffix=".dcm")
def _syntax(rng: np.random.Generator) -> bytes:
    uid = str(rng.choice(["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.110", "1.2.3.4.5", "1.2.840.10008.1.2.99"]))
    return file(picture(rng), rng.bytes(300), syntax=uid)


@DICOMS.add("dicom-no-syntax", ImageFault.UNSUPPORTED_TRANSFER_SYNTAX, suffix=".dcm")
def _no_syntax(rng: np.random.Generator) -> bytes:
    return (
        bytes(128)
        + b"DICM"
        + meta_group({0x00020002: "1.2.840.10008.5.1.4.1.1.7"})
        + file(picture(rng), meta=False, preamble=None)
    )


@DICOMS.add("dicom-wrapped-garbage", ImageFault.CORRUPT, suffix=".dcm")
def _garbage(rng: np.random.Generator) -> bytes:
    syntax = str(rng.choice([JPEG, LOSSLESS_1, JPEG_LS, J2K, RLE]))
    return file(picture(rng), b"\x01" + rng.bytes(400), syntax=syntax)


@DICOMS.add("dicom-jpeg-cut-short", ImageFault.TRUNCATED, suffix=".dcm")
def _frame(rng: np.random.Generator) -> bytes:
    pixels = picture(rng)
    data = jpeg_of(pixels)
    return file(pixels, data[: int(rng.integers(len(data) * 3 // 4, len(data) - 8))], syntax=JPEG)


@DICOMS.add("dicom-bomb-in-jpeg", ImageFault.CORRUPT, suffix=".dcm")
def _jpeg_bomb(rng: np.random.Generator) -> bytes:
    """The header says a small picture, the frame a huge one."""
    pixels = picture(rng)
    data = jpeg_of(pixels)
    place = data.index(b"\xff\xc0") + 5
    return file(pixels, data[:place] + struct.pack(">HH", 65_500, 65_500) + data[place + 4 :], syntax=JPEG)


@DICOMS.add("dicom-that-is-a-windows-program", ImageFault.EXECUTABLE_PREAMBLE, suffix=".dcm")
def _windows(rng: np.random.Generator) -> bytes:
    return file(picture(rng), preamble=b"MZ" + rng.bytes(126))


@DICOMS.add("dicom-that-is-a-linux-program", ImageFault.EXECUTABLE_PREAMBLE, suffix=".dcm")
def _linux(rng: np.random.Generator) -> bytes:
    return file(picture(rng), preamble=b"\x7fELF" + rng.bytes(124))


@DICOMS.add("dicom-that-is-a-script", ImageFault.EXECUTABLE_PREAMBLE, suffix=".dcm")
def _script(rng: np.random.Generator) -> bytes:
    return file(picture(rng), preamble=f"#!/bin/sh\n{word(rng)}\n".encode().ljust(128, b"\n"))


@DICOMS.add("dicom-burned-in", ImageFault.BURNED_IN_ANNOTATION, suffix=".dcm")
def _burned(rng: np.random.Generator) -> bytes:
    return file(picture(rng), BurnedInAnnotation=str(rng.choice(["YES", "yes", "UNKNOWN"])))


@DICOMS.add("dicom-without-a-picture", ImageFault.NO_PIXELS, suffix=".dcm")
def _report(rng: np.random.Generator) -> bytes:
    whole = file(picture(rng), Rows=None, Columns=None)
    return whole[: whole.index(b"\xe0\x7f\x10\x00")]


@DICOMS.add("dicom-in-colour", ImageFault.UNSUPPORTED_PHOTOMETRIC, suffix=".dcm")
def _colour(rng: np.random.Generator) -> bytes:
    return file(picture(rng), PhotometricInterpretation=str(rng.choice(["RGB", "YBR_FULL", "PALETTE COLOR"])))


@DICOMS.add("dicom-cine", ImageFault.SEVERAL_FRAMES, suffix=".dcm")
def _cine(rng: np.random.Generator) -> bytes:
    return file(picture(rng), NumberOfFrames=str(rng.integers(2, 10**9)))


@DICOMS.add("dicom-of-32-bits", ImageFault.UNSUPPORTED_DEPTH, suffix=".dcm")
def _deep_values(rng: np.random.Generator) -> bytes:
    return file(picture(rng), BitsAllocated=int(rng.choice([1, 12, 24, 32, 64])))


@DICOMS.add("dicom-values-that-cannot-be", ImageFault.CORRUPT, suffix=".dcm")
def _layout(rng: np.random.Generator) -> bytes:
    return file(picture(rng), BitsStored=int(rng.integers(17, 4000)))


@DICOMS.add("dicom-sliver", ImageFault.TOO_SMALL, suffix=".dcm")
def _sliver(rng: np.random.Generator) -> bytes:
    return file(rng.integers(0, 256, (int(rng.integers(1, 16)), 300), dtype=np.uint8))


@DICOMS.add("dicom-blank", ImageFault.BLANK, suffix=".dcm")
def _blank(rng: np.random.Generator) -> bytes:
    pixels = np.full((50, 60), int(rng.integers(0, 256)), np.uint8)
    syntax = str(rng.choice([EXPLICIT, IMPLICIT, DEFLATED]))
    return file(pixels, syntax=syntax)
