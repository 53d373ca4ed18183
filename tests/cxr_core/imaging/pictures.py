"""Small pictures and files made by code: what the decoders are tested with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from cxr_core.errors import ImageError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.faults import ImageFault

MADE_UP = UID("1.2.826.0.1.3680043.8.498.1")


def ramp(*, height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """uint8 (H, W), 0 to 255 from the upper left to the lower right: no symmetry, so that a turn shows."""
    values = np.arange(height)[:, None] * 3 + np.arange(width)[None, :] * 2
    return np.rint(values / values.max() * 255).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def png(pixels: NDArray[Any]) -> bytes:
    return encoded(Image.fromarray(pixels))


def dicom(stored: NDArray[Any] | bytes, *, syntax: UID = ExplicitVRLittleEndian, **elements: Any) -> bytes:
    """A DICOM file around stored values (H, W), or one encoded frame; ``elements`` by keyword, None leaves one out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, MADE_UP
    meta.TransferSyntaxUID = syntax
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = SecondaryCaptureImageStorage, MADE_UP
    file.PhotometricInterpretation, file.SamplesPerPixel, file.Modality = "MONOCHROME2", 1, "CR"
    file.PixelRepresentation = 0
    if isinstance(stored, bytes):
        file.BitsAllocated = file.BitsStored = 8
        file.PixelData = encapsulate([stored])
    else:
        file.Rows, file.Columns = stored.shape
        file.BitsAllocated = file.BitsStored = stored.dtype.itemsize * 8
        file.PixelData = stored.tobytes()
    file.HighBit = file.BitsStored - 1
    for keyword, value in elements.items():
        if value is None:
            delattr(file, keyword)
        else:
            setattr(file, keyword, value)
    if "BitsStored" in elements:
        file.HighBit = file.BitsStored - 1
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def outcome(data: bytes) -> NDArray[np.uint8] | ImageFault:
    """The pixels, or the named reason why there are none; any other error is a fault of ours."""
    try:
        return decode(data).pixels
    except ImageError as error:
        return ImageFault(error.reason)


def is_whole_or(faults: set[ImageFault], found: NDArray[np.uint8] | ImageFault, whole: NDArray[np.uint8]) -> bool:
    """Whether damaged bytes were refused for one of the reasons, or gave exactly the undamaged picture."""
    return found in faults if isinstance(found, ImageFault) else np.array_equal(found, whole)
