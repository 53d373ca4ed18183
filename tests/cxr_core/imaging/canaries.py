"""Pictures whose every text is a canary: a word that must be found nowhere behind ingest."""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary, tag_for_keyword

from cxr_core.imaging.deidentify import KEPT
from cxr_core.imaging.dicom_header import Tag
from tests.cxr_core.imaging.pictures import encoded, ramp
from tests.cxr_core.imaging.raw_dicom import (
    ENDLESS,
    EXPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    element,
    file,
    header,
    meta_group,
)

__all__ = ["CANARY", "canaries", "told", "with_words"]

CANARY = re.compile(rb"c4n4ry[0-9]+", re.IGNORECASE)
TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT", "UN"}
)


def canaries(*without: str) -> bytes:
    """Every text element that DICOM has but those keywords, private ones, overlays: each with a text of its own."""
    drawn = {tag for tag, *_ in header(ramp()).values()} | set(KEPT) | {Tag.NumberOfFrames, Tag.BurnedInAnnotation}
    drawn |= {tag_for_keyword(keyword) for keyword in without}
    parts: dict[int, bytes] = {}
    for number, (tag, (vr, *_)) in enumerate(sorted(DicomDictionary.items())):
        if vr in TEXT and tag >> 16 not in (0, 2, 4, 0xFFFE) and tag < 0x7FE00000 and tag not in drawn:
            parts[tag] = element(tag, vr, f"C4N4RY{number:06d}".encode())
    secret = ITEM + ENDLESS + element(0x00100010, "PN", b"C4N4RY70000001") + ITEM_END + SEQUENCE_END
    for tag in (0x00081140, 0x00091002, 0x00400275):
        parts[tag] = element(tag, "SQ", secret, length=0xFFFFFFFF)
    parts[0x00090010] = element(0x00090010, "LO", b"C4N4RY71000000")
    parts[0x00091001] = element(0x00091001, "UN", b"C4N4RY71000001")
    parts[0x60003000] = element(0x60003000, "OW", b"C4N4RY72000000")
    return b"".join(value for _, value in sorted(parts.items()))


def told(pixels: NDArray[Any], *frames: bytes, syntax: str = EXPLICIT, **more: Any) -> bytes:
    """A file of a picture in which everything that can say something says a canary."""
    meta = meta_group({0x00020003: "C4N4RY80000000", 0x00020010: syntax, 0x00020016: "C4N4RY80000001"})
    data = file(
        pixels,
        *frames,
        syntax=syntax,
        preamble=b"C4N4RY90000000".ljust(128),
        before=canaries(*more),
        after=element(0x7FE10010, "LO", b"C4N4RY91000000") + b"C4N4RY92000000",
        **{
            "SOPClassUID": b"C4N4RY93",
            "ViewPosition": "C4N4RY94",
            "Modality": "C4N4RY95",
            "WindowCenter": "C4N4RY96",
            "RescaleSlope": "C4N4RY97",
            "VOILUTFunction": "C4N4RY98",
        }
        | more,
    )
    return data.replace(meta_group({0x00020010: syntax}), meta)


def with_words(kind: str, pixels: NDArray[Any], orientation: int | None = None) -> bytes:
    """A PNG or JPEG file with text wherever one can stand."""
    exif = Image.Exif()
    exif[0x013B], exif[0x010E], exif[0x0132] = "C4N4RY1", "C4N4RY2", "1950:01:01 C4N4RY3"
    if orientation:
        exif[0x0112] = orientation
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Patient", "C4N4RY4")
        info.add_text("Packed", "C4N4RY5" * 40, zip=True)
        info.add_itxt("XML:com.adobe.xmp", "<x>C4N4RY6</x>")
        info.add(b"tIME", b"\x07\xd0\1\1\0\0\0")
        return encoded(Image.fromarray(pixels), "PNG", exif=exif.tobytes(), pnginfo=info)
    plain = encoded(
        Image.fromarray(pixels), "JPEG", quality=90, exif=exif.tobytes(), comment=b"C4N4RY7", xmp=b"<x>C4N4RY8</x>"
    )
    thumbnail = b"JFXX\0\x10C4N4RY9"
    named = b"\xff\xe0" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    adobe = b"\xff\xee\0\x18Adobe\0\x64\0\0\0\0\0C4N4RY10xx"
    return plain[:2] + named + adobe + plain[2:]
