"""A DICOM file's header: how its picture is drawn, and the few facts that may leave the file.

In: bytes. Out: a ``Dicom`` whose pixels are still coded. Only the elements named here are ever cut out of the file
(``cxr_core.imaging.dicom_parse`` finds the places of all), numbers are checked to be numbers, and words are taken from
closed lists, so that no name, address or date can travel further. What the header claims is checked before anything is
decompressed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cxr_core.imaging.codecs import Layout
from cxr_core.imaging.dicom_elements import PIXEL_DATA
from cxr_core.imaging.dicom_parse import DataSet, parse
from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.raster import check_shape

__all__ = ["Dicom", "DicomFacts", "Picture", "Tag", "open_dicom"]


class Tag:
    """The elements that are looked at, by their keywords (PS3.6)."""

    Modality: Final = 0x00080060
    PatientID: Final = 0x00100020
    PatientSex: Final = 0x00100040
    PatientAge: Final = 0x00101010
    ViewPosition: Final = 0x00185101
    SamplesPerPixel: Final = 0x00280002
    PhotometricInterpretation: Final = 0x00280004
    NumberOfFrames: Final = 0x00280008
    Rows: Final = 0x00280010
    Columns: Final = 0x00280011
    BitsAllocated: Final = 0x00280100
    BitsStored: Final = 0x00280101
    HighBit: Final = 0x00280102
    PixelRepresentation: Final = 0x00280103
    PixelPaddingValue: Final = 0x00280120
    PixelPaddingRangeLimit: Final = 0x00280121
    BurnedInAnnotation: Final = 0x00280301
    WindowCenter: Final = 0x00281050
    WindowWidth: Final = 0x00281051
    RescaleIntercept: Final = 0x00281052
    RescaleSlope: Final = 0x00281053
    VOILUTFunction: Final = 0x00281056
    PixelData: Final = PIXEL_DATA


_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOURS = frozenset({"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"})
_FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
# PS3.3, C.7.3.1.1.1: what a picture of one frame and one grey value a pixel may be.
_MODALITIES = frozenset(
    {"CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OT", "PT", "PX", "RF", "RG", "RTIMAGE", "SM", "US", "XA", "XC"}
)
# PS3.3, C.8.1.1.1 and C.8.11.5.1.1, and what the published mirrors write beside it.
_VIEWS = frozenset(
    {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "L", "R", "LAT", "LATERAL", "AP SUPINE", "AP ERECT"}
)
_OTHER = "OTHER"
_AGE = re.compile(r"(\d{1,3})([DWMY]?)")
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0, "": 1.0}
# The challenge's files hold ages up to 155, which are typing errors.
_OLDEST_YEARS = 120
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Far outside what any detector's numbers are; beyond them arithmetic overflows.
_LARGEST, _SMALLEST = 1e12, 1e-12
# PS3.5, 6.2: an integer string has twelve characters at most; decimal strings are written longer than allowed.
_MAX_IS_CHARACTERS, _MAX_DS_CHARACTERS = 12, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class DicomFacts:
    """What may be known of a DICOM file outside it.

    Attributes:
        modality: (0008,0060), a defined term, e.g. ``CR``; ``OTHER`` for any other word; empty where absent.
        view: (0018,5101) View Position, e.g. ``PA``, likewise.
        patient_id: (0010,0020); only ever to be passed to a keyed digest.
        sex: ``M``, ``F`` or empty.
        age_years: (0010,1010) in years, [0, 120]; None where absent or impossible.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``.
    """

    modality: str
    view: str
    patient_id: str
    sex: str
    age_years: float | None
    photometric: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """All that the header says of how stored values become grey.

    Attributes:
        layout: How values are stored.
        photometric: ``MONOCHROME1`` or ``MONOCHROME2``.
        padding: Lowest and highest value that stands for no measurement; None where there is none.
        slope: Of the rescale, as written; empty where absent.
        intercept: Likewise.
        centre: Of the first window, as written; empty unless centre and width are numbers that the standard allows.
        width: Likewise.
        function: ``LINEAR``, ``LINEAR_EXACT``, ``SIGMOID`` or empty.
    """

    layout: Layout
    photometric: str
    padding: tuple[int, int] | None
    slope: str
    intercept: str
    centre: str
    width: str
    function: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Dicom:
    """A checked file whose pixels are still coded."""

    data: DataSet
    facts: DicomFacts
    picture: Picture


def open_dicom(data: bytes) -> Dicom:
    """Parse a file and check all that can be checked before its pixels are decoded.

    Raises:
        ImageError: The file is damaged, cut short, coloured, a series of frames, coded in a way that is not read here,
            or says that text is burned into its picture.
    """
    parsed = parse(data)
    # PS3.3, C.7.6.1: NO, or absent, says nothing; any other word is taken for a warning.
    if _text(parsed, Tag.BurnedInAnnotation).upper() not in ("", "NO"):
        raise refuse(ImageFault.BURNED_IN_ANNOTATION, "The file says that text is burned into its picture.")
    picture = _picture(parsed)
    return Dicom(data=parsed, facts=_facts(parsed, picture.photometric), picture=picture)


def _picture(data: DataSet) -> Picture:
    if Tag.Rows not in data or Tag.Columns not in data:
        raise refuse(ImageFault.NO_PIXELS, "The DICOM object holds no picture.")
    if Tag.PixelData not in data:
        raise refuse(ImageFault.TRUNCATED, "The file ends before its pixel data.")
    frames = _text(data, Tag.NumberOfFrames) or "1"
    if not frames.isdecimal() or len(frames) > _MAX_IS_CHARACTERS or int(frames) == 0:
        raise refuse(ImageFault.CORRUPT, "The number of frames is no number of frames.")
    if int(frames) > 1:
        raise refuse(ImageFault.SEVERAL_FRAMES, "Expected one picture, found several frames.")
    photometric = _text(data, Tag.PhotometricInterpretation)
    if photometric not in _GREY or _integer(data, Tag.SamplesPerPixel) != 1:
        found = photometric if photometric in _COLOURS | _GREY else "another one"
        raise refuse(ImageFault.UNSUPPORTED_PHOTOMETRIC, f"Expected a grey picture, found {found}.")
    layout = _layout(data)
    centre, width = _number(data, Tag.WindowCenter), _number(data, Tag.WindowWidth)
    windowed = bool(centre and width) and float(width) > 0
    function = _text(data, Tag.VOILUTFunction).upper()
    return Picture(
        layout=layout,
        photometric=photometric,
        padding=_padding(data, layout),
        slope=_number(data, Tag.RescaleSlope),
        intercept=_number(data, Tag.RescaleIntercept),
        centre=centre if windowed else "",
        width=width if windowed else "",
        function=function if function in _FUNCTIONS else "",
    )


def _layout(data: DataSet) -> Layout:
    rows, columns = _integer(data, Tag.Rows), _integer(data, Tag.Columns)
    check_shape(height=rows, width=columns)
    allocated, stored = _integer(data, Tag.BitsAllocated), _integer(data, Tag.BitsStored)
    if allocated not in (8, 16):
        raise refuse(ImageFault.UNSUPPORTED_DEPTH, f"Expected values in 8 or 16 bits, found {allocated}.")
    high = _integer(data, Tag.HighBit) if Tag.HighBit in data else stored - 1
    sign = _integer(data, Tag.PixelRepresentation)
    if not 1 <= stored <= high + 1 <= allocated or sign > 1:
        raise refuse(
            ImageFault.CORRUPT,
            f"The header describes values that cannot be: {stored} bits up to bit {high} of {allocated}, sign {sign}.",
        )
    return Layout(rows=rows, columns=columns, allocated=allocated, stored=stored, high=high, signed=sign == 1)


def _padding(data: DataSet, layout: Layout) -> tuple[int, int] | None:
    """PS3.3, C.7.5.1.1.2: one value, or with the range limit all between the two."""
    ends = [
        _integer(data, tag, signed=layout.signed)
        for tag in (Tag.PixelPaddingValue, Tag.PixelPaddingRangeLimit)
        if len(data.value(tag)) == 2
    ]
    return (min(ends), max(ends)) if ends and len(data.value(Tag.PixelPaddingValue)) == 2 else None


def _facts(data: DataSet, photometric: str) -> DicomFacts:
    sex = _text(data, Tag.PatientSex).upper()
    return DicomFacts(
        modality=_word(data, Tag.Modality, _MODALITIES),
        view=_word(data, Tag.ViewPosition, _VIEWS),
        patient_id=_identity(data),
        sex=sex if sex in {"M", "F"} else "",
        age_years=_age_years(_text(data, Tag.PatientAge)),
        photometric=photometric,
    )


def _age_years(text: str) -> float | None:
    # The challenge writes bare years ("58"), against the standard's "058Y".
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    years = int(match[1]) * _YEARS[match[2]]
    return round(years, 3) if years <= _OLDEST_YEARS else None


def _text(data: DataSet, tag: int) -> str:
    """The first value of a text element."""
    return data.value(tag).decode("latin-1").split("\\")[0].strip("\0 ")


def _word(data: DataSet, tag: int, known: frozenset[str]) -> str:
    word = _text(data, tag).upper()
    return word if word in known or not word else _OTHER


def _number(data: DataSet, tag: int) -> str:
    """The first value of a decimal string, as written; empty where absent, no number, or none that can be meant."""
    text = _text(data, tag)
    if len(text) > _MAX_DS_CHARACTERS or not _NUMBER.fullmatch(text):
        return ""
    size = abs(float(text))
    return text if size == 0 or _SMALLEST <= size <= _LARGEST else ""


def _identity(data: DataSet) -> str:
    """The patient's id, whole: two ids that differ must stay two, in whatever alphabet they are written."""
    value = data.value(Tag.PatientID)
    try:
        return value.decode("utf-8").strip("\0 ")
    except UnicodeDecodeError:
        return value.decode("latin-1").strip("\0 ")


def _integer(data: DataSet, tag: int, *, signed: bool = False) -> int:
    value = data.value(tag)
    if len(value) != 2:
        raise refuse(ImageFault.CORRUPT, f"The element ({tag >> 16:04x},{tag & 0xFFFF:04x}) is no one small number.")
    return int.from_bytes(value, "big" if data.syntax.big_endian else "little", signed=signed)
