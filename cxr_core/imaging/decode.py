"""Any image file's bytes to grey pixels: the one way in, for ingest and for the served model.

What the bytes are is told by their first bytes, never by a name. Laws: the same bytes give the same pixels everywhere;
bytes give pixels or an ``ImageError``, never another error but ``MemoryError``, which says nothing about the bytes.

Shapes: H, W pixels of the upright original.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.errors import ImageError
from cxr_core.imaging.dicom import DicomFacts, is_dicom, read_dicom
from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.raster import is_raster, read_raster

__all__ = ["MAX_BYTES", "Decoded", "decode"]

# Four bytes a pixel of the largest picture taken.
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """One picture.

    Attributes:
        pixels: uint8 (H, W), 0 black (air), 255 white.
        mode: Pillow's mode of the file, or the DICOM photometric interpretation.
        dicom: The facts of a DICOM file; None for PNG and JPEG.
    """

    pixels: NDArray[np.uint8]
    mode: str
    dicom: DicomFacts | None = None

    @property
    def width(self) -> int:
        """Columns of the original, in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of the original, in pixels."""
        return int(self.pixels.shape[0])


def decode(data: bytes) -> Decoded:
    """Decode PNG, JPEG or DICOM bytes.

    Raises:
        ImageError: The bytes cannot be used; ``reason`` is an ``ImageFault``.
    """
    if not data:
        raise refuse(ImageFault.EMPTY, "The file is empty.", hint="Fetch the file again from its source.")
    if len(data) > MAX_BYTES:
        raise refuse(ImageFault.TOO_LARGE, f"Expected at most {MAX_BYTES} bytes, found {len(data)}.")
    try:
        decoded = _decoded(data)
    except (ImageError, MemoryError):
        raise
    # Three libraries meet hostile bytes here. What each may raise is listed where it is called; what the list lacks
    # must cost this one file, not the run, and say that it is our fault.
    except Exception as error:
        words = f"The decoder stopped on {type(error).__name__}: {' '.join(str(error).split())[:200]}."
        raise refuse(ImageFault.DECODER_FAILED, words, hint="Report it, with the file if it may be shown.") from error
    if decoded.pixels.min() == decoded.pixels.max():
        raise refuse(ImageFault.BLANK, f"Every pixel is {decoded.pixels.flat[0]}: there is nothing to see.")
    return decoded


def _decoded(data: bytes) -> Decoded:
    if is_raster(data):
        pixels, mode = read_raster(data)
        return Decoded(pixels=pixels, mode=mode)
    if is_dicom(data):
        pixels, facts = read_dicom(data)
        return Decoded(pixels=pixels, mode=facts.photometric, dicom=facts)
    raise refuse(ImageFault.NOT_AN_IMAGE, f"Expected PNG, JPEG or DICOM, found bytes that begin {data[:8].hex()}.")
