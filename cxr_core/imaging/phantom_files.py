"""Phantom pictures to bytes: PNG, JPEG, DICOM and CSV, the same on every machine."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

__all__ = ["dicom", "jpeg", "png", "put", "rgba_png", "table"]


def dicom(pixels: NDArray[np.uint8], *, patient: str, view: str, sex: str, age_years: int, inverted: bool) -> bytes:
    """A JPEG-baseline DICOM file as the challenge publishes them; MONOCHROME1 where ``inverted``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[patient])
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Modality, file.ViewPosition, file.BodyPartExamined = "CR", view, "CHEST"
    file.PatientID = file.PatientName = patient
    file.PatientSex, file.PatientAge = sex, f"{age_years:03d}Y"
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    file.Rows, file.Columns = pixels.shape
    file.BitsAllocated, file.BitsStored, file.HighBit = 8, 8, 7
    file.LossyImageCompression = "01"
    file.PixelData = encapsulate([jpeg(255 - pixels if inverted else pixels, quality=90)])
    out = io.BytesIO()
    file.save_as(out, enforce_file_format=True)
    return out.getvalue()


def jpeg(pixels: NDArray[np.uint8], *, quality: int, colour: bool = False) -> bytes:
    """JPEG, grey or the same grey in three channels, as many sources have it."""
    image = Image.fromarray(pixels)
    return _encoded(image.convert("RGB") if colour else image, "JPEG", quality=quality)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Grey PNG."""
    return _encoded(Image.fromarray(pixels), "PNG", compress_level=3)


def rgba_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG with a transparent margin, as screenshots have."""
    alpha = np.full_like(pixels, 255)
    alpha[:, :2] = 0
    return _encoded(Image.fromarray(np.dstack([pixels, pixels, pixels, alpha])), "PNG", compress_level=3)


def table(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV table under its comma-separated header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    put(path, out.getvalue().encode())


def put(path: Path, data: bytes) -> None:
    """Write a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()
