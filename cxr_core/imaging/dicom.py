"""DICOM bytes to grey pixels and the few facts that may leave the file.

Stored values become grey as PS3.3 has it: the rescale (C.11.1), then the first window (C.11.2.1.2). Checks come before
decompression: what the header claims, then what the codestream's own header claims, then pixels.

Shapes: H = Rows, W = Columns, V = values that there can be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_core.imaging.codecs import Stored, stored_values
from cxr_core.imaging.dicom_header import DicomFacts, Picture, open_dicom
from cxr_core.imaging.dicom_parse import is_dicom
from cxr_core.imaging.raster import full_range

__all__ = ["DicomFacts", "is_dicom", "read_dicom"]

_BLOCK_PIXELS = 1 << 20


def read_dicom(data: bytes) -> tuple[NDArray[np.uint8], DicomFacts]:
    """Grey pixels (H, W) in which air is black, and the facts.

    Stored values pass the rescale (PS3.3, C.11.1) and the first window (PS3.3, C.11.2.1.2); 8-bit values without a
    window stay as they are, deeper ones are spread from the darkest to the brightest pixel that is no padding.
    MONOCHROME1, where low values are bright, is inverted. Lookup tables are not applied.

    Raises:
        ImageError: As ``open_dicom``, or the pixels cannot be decoded.
    """
    opened = open_dicom(data)
    return _to_8_bit(stored_values(opened.data, opened.picture.layout), opened.picture), opened.facts


def _to_8_bit(stored: Stored, picture: Picture) -> NDArray[np.uint8]:
    """Grey of each value that there can be, then of each pixel: a table keeps memory flat and costs less."""
    if _is_shown_as_stored(picture):
        return stored.view(np.uint8) if picture.photometric != "MONOCHROME1" else 255 - stored.view(np.uint8)
    layout = picture.layout
    lowest = -(1 << layout.stored - 1) if layout.signed else 0
    # (2 ** stored,): a value's place in the tables is its low bits, the negative ones behind the others.
    domain = np.roll(np.arange(lowest, lowest + (1 << layout.stored)), lowest)
    flat = stored.view(np.uint8 if layout.allocated == 8 else np.uint16).ravel()
    # numpy widens an index to eight bytes: done for all pixels at once, that would be most of the memory taken.
    blocks = [slice(start, start + _BLOCK_PIXELS) for start in range(0, len(flat), _BLOCK_PIXELS)]
    present = np.zeros(len(domain), np.bool_)
    for block in blocks:
        present[flat[block] & (len(domain) - 1)] = True
    greys = _greys(domain, picture, present=present)
    if picture.photometric == "MONOCHROME1":
        greys = 255 - greys
    pixels = np.empty(flat.shape, np.uint8)
    for block in blocks:
        pixels[block] = greys[flat[block] & (len(domain) - 1)]
    return pixels.reshape(stored.shape)


def _is_shown_as_stored(picture: Picture) -> bool:
    """Whether stored values are greys already, as in nearly all files of one byte a pixel: a table would be a line."""
    rescaled = (float(picture.slope or 1), float(picture.intercept or 0)) != (1, 0)
    whole = picture.layout.stored == picture.layout.allocated == 8 and not picture.layout.signed
    return whole and not picture.centre and not rescaled


def _greys(domain: NDArray[np.int_], picture: Picture, *, present: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The grey of each value of a domain; ``present`` says which of them the picture holds."""
    slope, intercept = float(picture.slope or 1), float(picture.intercept or 0)
    values = domain.astype(np.float64) * slope + intercept
    if picture.centre:
        return _windowed(values, centre=float(picture.centre), width=float(picture.width), function=picture.function)
    if picture.padding is not None:
        low, high = picture.padding
        measured = present & ((domain < low) | (domain > high))
        present = measured if measured.any() else present
    return full_range(values, low=float(values[present].min()), high=float(values[present].max()))


def _windowed(values: NDArray[np.float64], *, centre: float, width: float, function: str) -> NDArray[np.uint8]:
    if function == "SIGMOID":  # C.11.2.1.3.1
        scaled = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500)))
        return full_range(scaled, low=0, high=1)
    if function == "LINEAR_EXACT":  # C.11.2.1.3.2
        return full_range(values, low=centre - width / 2, high=centre + width / 2)
    # C.11.2.1.2.1: the window's edges are c - 0.5 -+ (w - 1) / 2; w = 1 is a threshold.
    half = max(width - 1, 1e-6) / 2
    return full_range(values, low=centre - 0.5 - half, high=centre - 0.5 + half)
