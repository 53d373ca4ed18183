"""DICOM pixel data to stored values, one decoder a coding; the picture's shape is known and checked before.

In: a parsed data set and the ``Layout`` its header gives. Out: integers (H, W). Laws: no memory is taken for a picture
that a codestream's own header says is another one; what lies in unused bits of a container (retired overlays) does not
come along; decoders' own words, which may quote the file, stay inside.

JPEG with 8 bits is Pillow's, as for files. The rest is imagecodecs' (BSD): libjpeg-turbo for 12 bits and lossless,
CharLS, OpenJPEG, each in memory. python-gdcm was tried: it cannot read 12 bits and ended its process on a good picture.
RLE is undone here, since every decoder at hand expands a segment whole before it looks at its size.

Shapes: H = Rows, W = Columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_core.errors import ImageError
from cxr_core.imaging.codestream import Codestream, bare, read_jpeg, read_jpeg_2000
from cxr_core.imaging.dicom_elements import PIXEL_DATA
from cxr_core.imaging.dicom_parse import DataSet
from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.raster import read_raster

__all__ = ["Layout", "Stored", "bare_frame", "stored_values"]

Stored = NDArray[np.integer[Any]]

_JPEG_KINDS = {
    "jpeg": frozenset({"sequential", "progressive"}),
    "jpeg_lossless": frozenset({"lossless"}),
    "jpeg_ls": frozenset({"jpeg_ls"}),
    "jpeg_2000": frozenset({"jpeg_2000"}),
}
_RLE_HEADER_BYTES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a picture's values are stored (PS3.3, C.7.6.3.1).

    Attributes:
        rows: H.
        columns: W.
        allocated: Bits of a container, 8 or 16.
        stored: Bits of a value.
        high: The place of a value's highest bit.
        signed: Whether values are in two's complement.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def bytes(self) -> int:
        """Of the whole picture, uncompressed."""
        return self.rows * self.columns * self.allocated // 8


def stored_values(data: DataSet, layout: Layout) -> Stored:
    """Decode the one frame: (H, W), of the container's width and sign.

    Raises:
        ImageError: The pixel data are cut short, damaged, or another picture than the header says.
    """
    place = data.places[PIXEL_DATA]
    if (place.fragments is None) != (data.syntax.codec == "native"):
        raise refuse(ImageFault.CORRUPT, "The pixel data are not wrapped as the transfer syntax says.")
    if data.syntax.codec == "native":
        return _unpacked(_native(data, layout), layout, high=layout.high)
    if data.syntax.codec == "rle":
        return _unpacked(_rle(data.frame(), layout), layout, high=layout.high)
    frame, found = _checked_frame(data, layout)
    # What a codec gives back begins at bit 0, wherever the header puts the highest bit.
    return _unpacked(_decoded(frame, found, layout), layout, high=layout.stored - 1)


def bare_frame(data: DataSet, layout: Layout) -> bytes:
    """The frame's codestream as it is, but for comments and what stands behind its end. Not for native data or RLE.

    Raises:
        ImageError: The codestream is cut short, or another picture than the header says.
    """
    return _checked_frame(data, layout)[0]


def _native(data: DataSet, layout: Layout) -> NDArray[Any]:
    place = data.places[PIXEL_DATA]
    # A byte more makes an odd length even; anything else means that rows or columns are not what the header says.
    if place.length not in (layout.bytes, layout.bytes + layout.bytes % 2):
        raise refuse(
            ImageFault.CORRUPT,
            f"The header describes a picture of {layout.bytes} bytes; the pixel data have {place.length}.",
        )
    pixels = data.native_pixels()
    if layout.allocated == 16:
        order = ">" if data.syntax.big_endian else "<"
        return np.frombuffer(pixels, f"{order}u2", layout.rows * layout.columns).astype(np.uint16)
    values = np.frombuffer(pixels, np.uint8)
    if data.syntax.big_endian and place.vr == b"OW":
        # Two pixels a word, the first in its low byte, which comes second here (PS3.5, 8.1.1 and 7.3).
        values = values.reshape(-1, 2)[:, ::-1].ravel()
    return values[: layout.bytes]


def _rle(frame: bytes, layout: Layout) -> NDArray[Any]:
    """Byte planes, the highest first, each run-length coded (PS3.5, annex G)."""
    planes = layout.allocated // 8
    header = np.frombuffer(frame[:_RLE_HEADER_BYTES].ljust(_RLE_HEADER_BYTES, b"\0"), "<u4").tolist()
    if len(frame) < _RLE_HEADER_BYTES:
        raise _cut()
    starts = [*header[1 : planes + 1], len(frame)]
    if header[0] != planes or starts[0] < _RLE_HEADER_BYTES or starts != sorted(starts):
        raise refuse(ImageFault.CORRUPT, "The RLE header does not describe this picture.")
    size = layout.rows * layout.columns
    values = np.zeros(size, np.uint16 if planes == 2 else np.uint8)
    for number in range(planes):
        plane = _unpacked_bits(frame[starts[number] : starts[number + 1]], size)
        values |= np.frombuffer(plane, np.uint8).astype(values.dtype) << (8 * (planes - 1 - number))
    return values


def _unpacked_bits(segment: bytes, size: int) -> bytearray:
    """So many bytes, and no more, from PackBits (PS3.5, G.3.2)."""
    out = bytearray()
    position = 0
    while len(out) < size and position + 1 < len(segment):
        control = segment[position]
        if control < 128:
            out += segment[position + 1 : position + control + 2]
            position += control + 2
        elif control > 128:
            out += segment[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            position += 1
    if len(out) < size:
        raise _cut()
    if len(out) > size:
        raise refuse(ImageFault.CORRUPT, "An RLE segment holds more than its picture has.")
    return out


def _checked_frame(data: DataSet, layout: Layout) -> tuple[bytes, Codestream]:
    codec = data.syntax.codec
    frame = data.frame()
    if not frame:
        raise _cut()
    found = read_jpeg_2000(frame) if codec == "jpeg_2000" else read_jpeg(frame)
    if found.kind not in _JPEG_KINDS[codec]:
        raise refuse(ImageFault.CORRUPT, "The codestream is of another kind than the transfer syntax says.")
    if (found.height, found.width, found.components) != (layout.rows, layout.columns, 1):
        raise refuse(
            ImageFault.CORRUPT,
            f"The header describes {layout.columns} x {layout.rows} pixels of one sample; the codestream holds "
            f"{found.width} x {found.height} of {found.components}.",
        )
    if not layout.stored <= found.precision <= layout.allocated:
        raise refuse(
            ImageFault.CORRUPT,
            f"The header describes {layout.stored} bits in {layout.allocated}; the codestream holds {found.precision}.",
        )
    return bare(frame, found), found


def _decoded(frame: bytes, found: Codestream, layout: Layout) -> NDArray[Any]:
    if found.kind in ("sequential", "progressive") and found.precision == 8:
        try:
            values = read_raster(frame)[0]
        except ImageError as error:
            # Pillow's words, which stand in that message, may quote the file.
            raise refuse(ImageFault(error.reason), "The picture inside the file cannot be decoded.") from None
    else:
        values = _by_imagecodecs(frame, found)
    if values.shape != (layout.rows, layout.columns) or values.dtype.kind not in "ui":
        raise refuse(ImageFault.CORRUPT, "The codestream decodes to another picture than its header says.")
    if found.precision > layout.stored and not layout.signed and found.kind != "lossless":
        # A lossy coding may come back above the largest value, which would else be cut to a small one.
        values = np.minimum(values, (1 << layout.stored) - 1)
    return values.ravel()


def _by_imagecodecs(frame: bytes, found: Codestream) -> NDArray[Any]:
    # Loaded when first met: most sources hold no such file, and each worker process would pay.
    import imagecodecs

    decoders: dict[str, Callable[[bytes], Any]] = {
        "jpeg_ls": imagecodecs.jpegls_decode,
        "jpeg_2000": imagecodecs.jpeg2k_decode,
    }
    try:
        return decoders.get(found.kind, imagecodecs.jpeg8_decode)(frame)
    # The library's errors are RuntimeErrors, a kind a codec; ValueError and TypeError come from its own checks.
    except (RuntimeError, ValueError, TypeError):
        raise refuse(ImageFault.CORRUPT, "The picture inside the file cannot be decoded.") from None


def _unpacked(values: NDArray[Any], layout: Layout, *, high: int) -> Stored:
    """Containers (H*W,) to values (H, W): the unused bits cut off, the sign restored."""
    unsigned, signed = (np.uint8, np.int8) if layout.allocated == 8 else (np.uint16, np.int16)
    kept = values.astype(unsigned, copy=False).reshape(layout.rows, layout.columns)
    unused = layout.allocated - layout.stored
    if unused:
        # Up to the container's top, which cuts off what lies above a value, and down again, which cuts off what lies
        # below it; on the way down a signed value's highest bit is repeated, an unsigned one's place filled with zeros.
        kept = kept << unsigned(layout.allocated - 1 - high)
    placed = kept.view(signed) if layout.signed else kept
    return np.right_shift(placed, placed.dtype.type(unused), out=placed) if unused else placed


def _cut() -> ImageError:
    return refuse(ImageFault.TRUNCATED, "The pixel data end before the picture does.", hint="Fetch the file again.")
