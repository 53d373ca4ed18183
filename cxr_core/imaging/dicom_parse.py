"""DICOM bytes to the places of their elements: what stands where, with no value looked at but lengths.

In: a file with or without its 128 bytes of preamble. Out: a ``DataSet``, whose values are cut out one by one when they
are asked for, so that what nobody asks for (names, dates, private elements) is never turned into text.

Laws: time and memory are bounded by the file's size, whatever it claims: nested sequences are skipped without recursion
and only so deep, elements are counted, a deflated data set is inflated to the end of its header and then, once the
caller has checked the picture's shape, by as many bytes as that picture has. Messages hold no value of an element.

Written here rather than taken from pydicom, which recurses into sequences, inflates a file whole before it says what
is in it (0.6 MB took 1.2 GB) and quotes values in its errors. The tests hold this against pydicom.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from cxr_core.imaging.dicom_elements import PIXEL_DATA, ElementReader, Place, cut_short
from cxr_core.imaging.dicom_syntax import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Syntax, syntax_of
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["DataSet", "is_dicom", "parse"]

_PREAMBLE_BYTES = 128
_MAGIC = b"DICM"
# What a deflated header may come to; an X-ray's has some kilobytes.
_MAX_HEADER_BYTES = 4 << 20
# What a program, a script or an archive begins with. TIFF's mark is none of them: PS3.10, 7.1 allows it.
_EXECUTABLE = (
    *(b"MZ", b"\x7fELF", b"#!", b"PK\3\4", b"Rar!", b"7z\xbc\xaf", b"\xca\xfe\xba\xbe"),
    *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
)
# How a file without a preamble may begin: with the meta group, always in explicit VR little endian (PS3.10, 7.1), or
# with an identifying element of the data set. Anything else at byte 0 is no DICOM file.
_FIRST_META = {0x00020000: b"UL", 0x00020001: b"OB", 0x00020002: b"UI", 0x00020010: b"UI"}
_FIRST_DATA = {
    0x00080000: b"UL",
    0x00080005: b"CS",
    0x00080008: b"CS",
    0x00080012: b"DA",
    0x00080016: b"UI",
    0x00080018: b"UI",
}
_FIRST_MAX_BYTES = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A parsed file.

    Attributes:
        syntax: How it is written.
        places: Of each element at the top level.
    """

    syntax: Syntax
    places: dict[int, Place]
    _body: memoryview
    _inflate: Callable[[int], bytes] | None = field(default=None, repr=False)

    def __contains__(self, tag: int) -> bool:
        """Whether the data set has an element of a tag, at its top level."""
        return tag in self.places

    def value(self, tag: int) -> bytes:
        """An element's value as it stands; empty where there is none. Not for pixel data."""
        place = self.places.get(tag)
        return b"" if place is None else bytes(self._body[place.start : place.start + place.length])

    def native_pixels(self) -> bytes:
        """Uncompressed pixel data, inflated only now. Call once, after the picture's shape has been checked.

        Raises:
            ImageError: The file ends before them (``truncated``), or the deflate stream is damaged (``corrupt``).
        """
        place = self.places[PIXEL_DATA]
        end = place.start + place.length
        missing = end - len(self._body)
        body = bytes(self._body[place.start : end])
        if missing > 0 and self._inflate is not None:
            body += self._inflate(missing)
        if len(body) < place.length:
            raise cut_short()
        return body

    def frame(self) -> bytes:
        """The one encapsulated frame: its fragments put together (PS3.5, A.4)."""
        fragments = self.places[PIXEL_DATA].fragments or ()
        return b"".join(self._body[start : start + length] for start, length in fragments)


def is_dicom(data: bytes) -> bool:
    """Whether the bytes begin as a DICOM file does (PS3.10, 7.1), or as one whose preamble was cut off."""
    return _has_preamble(data) or _begins_with_meta(data) or _bare_syntax(data) is not None


def parse(data: bytes) -> DataSet:
    """Find the elements of a DICOM file.

    Raises:
        ImageError: The file is cut short (``truncated``), contradicts itself (``corrupt``), is made to exhaust its
            reader (``too_complex``, ``too_large``), is a program as well (``executable_preamble``), or is written in a
            way that is not read here (``unsupported_transfer_syntax``).
    """
    view = memoryview(data)
    if _has_preamble(data):
        _check_preamble(data[:_PREAMBLE_BYTES])
        start = _PREAMBLE_BYTES + len(_MAGIC)
    elif (bare := _bare_syntax(data)) is not None:
        return DataSet(syntax=bare, places=ElementReader(view, bare).scan(), _body=view)
    else:
        start = 0
    meta = ElementReader(view[start:], EXPLICIT_LITTLE)
    uid, length = meta.scan_meta()
    syntax, body = syntax_of(uid), view[start + length :]
    if not syntax.deflated:
        return DataSet(syntax=syntax, places=ElementReader(body, syntax).scan(), _body=body)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    head = _inflated(engine.decompress, body, _MAX_HEADER_BYTES)
    places = ElementReader(memoryview(head), DEFLATED).scan(goes_on=len(head) == _MAX_HEADER_BYTES)
    return DataSet(
        syntax=syntax,
        places=places,
        _body=memoryview(head),
        _inflate=lambda size: _inflated(engine.decompress, engine.unconsumed_tail, size),
    )


def _has_preamble(data: bytes) -> bool:
    return data[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(_MAGIC)] == _MAGIC


def _check_preamble(preamble: bytes) -> None:
    if preamble.startswith(_EXECUTABLE) or b"%PDF" in preamble:
        raise refuse(
            ImageFault.EXECUTABLE_PREAMBLE,
            "The file's first bytes make it a program, a script or an archive as well.",
            hint="Ask where the file comes from; no scanner writes such a one.",
        )


def _begins_with_meta(data: bytes) -> bool:
    return len(data) >= 8 and _FIRST_META.get(_first_tag(data)) == data[4:6]


def _bare_syntax(data: bytes) -> Syntax | None:
    """The syntax of a data set that begins at byte 0: its first element is a known one and a later tag follows it."""
    if len(data) < 16 or _first_tag(data) not in _FIRST_DATA:
        return None
    explicit = data[4:6] == _FIRST_DATA[_first_tag(data)]
    length = int.from_bytes(data[6:8] if explicit else data[4:8], "little")
    following = data[8 + length : 12 + length]
    if length > _FIRST_MAX_BYTES or length % 2 or len(following) < 4 or _first_tag(following) <= _first_tag(data):
        return None
    return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE


def _first_tag(data: bytes) -> int:
    return int.from_bytes(data[0:2], "little") << 16 | int.from_bytes(data[2:4], "little")


def _inflated(decompress: Callable[[memoryview | bytes, int], bytes], data: memoryview | bytes, size: int) -> bytes:
    """At most so many bytes more of a raw deflate stream (PS3.5, A.5)."""
    try:
        return decompress(data, size)
    except zlib.error:
        raise refuse(ImageFault.CORRUPT, "The deflated data set cannot be inflated.") from None
