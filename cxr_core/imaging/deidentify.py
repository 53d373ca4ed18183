"""A picture's file to one that says nothing of a person: what is kept of every file that ingest takes in.

In: a file's bytes. Out: bytes that decode to the same pixels. Of DICOM only what drawing the picture needs is kept, as
a new file made of numbers, words from closed lists and the coded picture: no text of the old one, no identifier, no
private element, no preamble. PNG and JPEG lose what describes them in words (EXIF but the orientation, XMP, comments,
thumbnails, whatever stands behind the end), and are byte for byte the published file where there is none of it.

Laws: the same bytes give the same bytes everywhere; ``deidentify(deidentify(x)) == deidentify(x)``; the pixels of the
result are the pixels of the original. Text that is drawn into the picture stays: no header says reliably where it is.

PS3.15, annex E, is the cross-check: the tests hold the list below against its table of confidential attributes.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, replace
from typing import NamedTuple

from cxr_core.digests import digest_bytes
from cxr_core.imaging.codecs import Stored, bare_frame, stored_values
from cxr_core.imaging.dicom_header import Dicom, DicomFacts, Tag, open_dicom
from cxr_core.imaging.dicom_parse import is_dicom
from cxr_core.imaging.dicom_syntax import EXPLICIT_LITTLE
from cxr_core.imaging.raster import is_raster
from cxr_core.imaging.raster_text import without_text

__all__ = ["KEPT", "Deidentified", "deidentify"]

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_IDENTITY_REMOVED, _METHOD = 0x00120062, 0x00120063

KEPT: dict[int, str] = {
    _SOP_CLASS: "always Secondary Capture: what the picture now is",
    _SOP_INSTANCE: "made anew from what is kept, so that it leads to no other file",
    Tag.Modality: "a word of a closed list: whether it is a radiograph",
    _IDENTITY_REMOVED: "always YES (PS3.15, E.1.1)",
    _METHOD: "always the same words",
    Tag.ViewPosition: "a word of a closed list: whether it is a frontal view",
    Tag.SamplesPerPixel: "drawing",
    Tag.PhotometricInterpretation: "drawing",
    Tag.Rows: "drawing",
    Tag.Columns: "drawing",
    Tag.BitsAllocated: "drawing",
    Tag.BitsStored: "drawing",
    Tag.HighBit: "drawing",
    Tag.PixelRepresentation: "drawing",
    Tag.PixelPaddingValue: "drawing",
    Tag.PixelPaddingRangeLimit: "drawing",
    Tag.WindowCenter: "drawing; the first one",
    Tag.WindowWidth: "drawing; the first one",
    Tag.RescaleIntercept: "drawing",
    Tag.RescaleSlope: "drawing",
    Tag.VOILUTFunction: "drawing; a word of a closed list",
    Tag.PixelData: "the picture: stored values without what lay in unused bits, or the codestream without comments",
}
"""Every element of a kept DICOM file, and why it may stay. No other is ever written."""

# PS3.6, annex A. The picture has lost what its own class would demand (patient, study, device).
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Identifies this writer (PS3.10, 7.1): a UUID made once, as PS3.5, B.2 has it.
_WRITER = "2.25.201839216538846171573027148803268719853"
_METHOD_WORDS = "allow-list; PS3.15 E.1"
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_LONG = frozenset({"OB", "OW"})
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class Deidentified:
    """A file to keep, and what its original said.

    Attributes:
        data: The bytes to keep.
        facts: Of a DICOM file; None for PNG and JPEG.
    """

    data: bytes
    facts: DicomFacts | None


def deidentify(data: bytes) -> Deidentified:
    """The file to keep; bytes that are no picture come back as they are, for the decoder to refuse.

    Raises:
        ImageError: The file cannot be used, for one of the reasons that ``decode`` gives.
    """
    if is_raster(data):
        return Deidentified(data=without_text(data), facts=None)
    if not is_dicom(data):
        return Deidentified(data=data, facts=None)
    opened = open_dicom(data)
    return Deidentified(data=_rebuilt(opened), facts=opened.facts)


class _Element(NamedTuple):
    """A value as it is written, of even length; ``wrapped`` where it ends with a mark instead of at a length."""

    vr: str
    value: bytes
    wrapped: bool = False


def _rebuilt(opened: Dicom) -> bytes:
    picture, syntax = opened.picture, opened.data.syntax
    layout = replace(picture.layout, high=picture.layout.stored - 1)
    if syntax.codec in ("native", "rle"):
        # Native from here on: values, so that nothing between or beside them comes along.
        pixels, uid = _native(stored_values(opened.data, picture.layout)), EXPLICIT_LITTLE.uid
    else:
        pixels, uid = _encapsulated(bare_frame(opened.data, picture.layout)), syntax.uid
    elements = {
        _SOP_CLASS: _text("UI", _SECONDARY_CAPTURE),
        Tag.Modality: _text("CS", opened.facts.modality),
        _IDENTITY_REMOVED: _text("CS", "YES"),
        _METHOD: _text("LO", _METHOD_WORDS),
        Tag.ViewPosition: _text("CS", opened.facts.view),
        Tag.SamplesPerPixel: _number(1),
        Tag.PhotometricInterpretation: _text("CS", picture.photometric),
        Tag.Rows: _number(layout.rows),
        Tag.Columns: _number(layout.columns),
        Tag.BitsAllocated: _number(layout.allocated),
        Tag.BitsStored: _number(layout.stored),
        Tag.HighBit: _number(layout.high),
        Tag.PixelRepresentation: _number(int(layout.signed)),
        **_padding(opened),
        Tag.WindowCenter: _text("DS", picture.centre),
        Tag.WindowWidth: _text("DS", picture.width),
        Tag.RescaleIntercept: _text("DS", picture.intercept),
        Tag.RescaleSlope: _text("DS", picture.slope),
        Tag.VOILUTFunction: _text("CS", picture.function),
        Tag.PixelData: pixels,
    }
    return _file(elements, transfer_syntax=uid)


def _file(elements: dict[int, _Element], *, transfer_syntax: str) -> bytes:
    """A file of PS3.10: blank preamble, meta group, data set in explicit VR little endian."""
    content = _data_set(elements)
    named = digest_bytes(transfer_syntax.encode() + b"\n" + content).removeprefix("sha256:")
    # PS3.5, B.2: a UID made from a UUID, here one that its content names.
    instance = _text("UI", f"2.25.{uuid.UUID(hex=named[:32], version=5).int}")
    meta = _data_set(
        {
            0x00020001: _Element("OB", b"\0\1"),
            0x00020002: _text("UI", _SECONDARY_CAPTURE),
            0x00020003: instance,
            0x00020010: _text("UI", transfer_syntax),
            0x00020012: _text("UI", _WRITER),
        }
    )
    length = _element(0x00020000, _Element("UL", struct.pack("<I", len(meta))))
    return bytes(128) + b"DICM" + length + meta + _data_set({**elements, _SOP_INSTANCE: instance})


def _data_set(elements: dict[int, _Element]) -> bytes:
    """Elements by ascending tag; those without a value are left out."""
    return b"".join(_element(tag, element) for tag, element in sorted(elements.items()) if element.value)


def _element(tag: int, element: _Element) -> bytes:
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, element.vr.encode())
    if element.vr not in _LONG:
        return head + struct.pack("<H", len(element.value)) + element.value
    return head + struct.pack("<HI", 0, _UNDEFINED if element.wrapped else len(element.value)) + element.value


def _text(vr: str, words: str) -> _Element:
    value = words.encode("ascii")
    # PS3.5, 6.2: values have an even length; UIDs are filled with a zero byte, other text with a blank.
    return _Element(vr, value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2))


def _number(value: int) -> _Element:
    return _Element("US", struct.pack("<H", value))


def _padding(opened: Dicom) -> dict[int, _Element]:
    if opened.picture.padding is None:
        return {}
    vr, form = ("SS", "<h") if opened.picture.layout.signed else ("US", "<H")
    low, high = (_Element(vr, struct.pack(form, end)) for end in opened.picture.padding)
    return {Tag.PixelPaddingValue: low} | ({Tag.PixelPaddingRangeLimit: high} if high != low else {})


def _native(values: Stored) -> _Element:
    pixels = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return _Element("OB" if values.itemsize == 1 else "OW", pixels + bytes(len(pixels) % 2))


def _encapsulated(frame: bytes) -> _Element:
    """PS3.5, A.4: an empty offset table, the frame as one fragment, the end."""
    frame += bytes(len(frame) % 2)
    fragment = _ITEM + struct.pack("<I", len(frame)) + frame
    return _Element("OB", _ITEM + bytes(4) + fragment + _SEQUENCE_END + bytes(4), wrapped=True)
