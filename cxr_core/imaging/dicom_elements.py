"""The elements of a DICOM data set, one after another: what stands where, with no value looked at but lengths.

In: a body of bytes and the syntax it is written in (PS3.5, clause 7). Out: the place of each element at the top level.
Laws: no recursion, so nesting cannot overflow the stack; sequences are skipped, and only so deep; elements are counted;
time grows with the bytes and never with what they claim. Messages hold no value of an element.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cxr_core.errors import ImageError
from cxr_core.imaging.dicom_syntax import Syntax
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["PIXEL_DATA", "ElementReader", "Place", "cut_short"]

PIXEL_DATA = 0x7FE00010

_TRANSFER_SYNTAX = 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5, 7.1.2: VRs whose length has four bytes, after two reserved ones; the others have two bytes.
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
# An X-ray's header has some hundred elements, nested three deep.
_MAX_ELEMENTS = 100_000
_MAX_DEPTH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a value lies.

    Attributes:
        start: First byte, in the data set's own count.
        length: Bytes; of encapsulated pixel data, up to its end mark.
        vr: As the file states it; empty in implicit VR.
        fragments: Encapsulated pixel data: (start, length) of each fragment after the offset table; else None.
    """

    start: int
    length: int
    vr: bytes
    fragments: tuple[tuple[int, int], ...] | None = None


class ElementReader:
    """Walks elements from byte 0 of a body; counts what it meets."""

    def __init__(self, body: memoryview, syntax: Syntax) -> None:
        self._body, self._explicit = body, syntax.explicit
        order = ">" if syntax.big_endian else "<"
        self._tag, self._u16, self._u32 = (struct.Struct(order + letters) for letters in ("HH", "H", "I"))
        self._left = _MAX_ELEMENTS

    def scan_meta(self) -> tuple[str, int]:
        """The transfer syntax of the meta group, empty where it states none, and the group's length in bytes.

        Told by the tags: the group's own statement of its length is often wrong.
        """
        position, uid = 0, ""
        while position + 8 <= len(self._body) and self._tag.unpack_from(self._body, position)[0] == 0x0002:
            tag, _, start, length = self._header(position, explicit=True)
            position = self._end(start, length)
            if tag == _TRANSFER_SYNTAX:
                uid = bytes(self._body[start:position]).decode("latin-1").rstrip("\0 ")
        return uid, position

    def scan(self, *, goes_on: bool = False) -> dict[int, Place]:
        """The places of all elements of the top level.

        Args:
            goes_on: The body is the beginning of a longer one.
        """
        places: dict[int, Place] = {}
        position = 0
        while position < len(self._body):
            try:
                tag, place, position = self._element(position, goes_on=goes_on)
            except ImageError as error:
                # What stands behind the picture (padding, a signature) is not needed, whatever it is.
                if PIXEL_DATA in places:
                    break
                if goes_on and error.reason == ImageFault.TRUNCATED:
                    raise refuse(
                        ImageFault.TOO_LARGE, f"The header inflates to more than {len(self._body)} bytes."
                    ) from None
                raise
            if tag in places:
                raise refuse(ImageFault.CORRUPT, f"The element {_name(tag)} stands there twice.")
            places[tag] = place
        return places

    def _element(self, position: int, *, goes_on: bool) -> tuple[int, Place, int]:
        """An element of the top level: its tag, its value's place, and where the next begins."""
        tag, vr, start, length = self._header(position, explicit=self._explicit)
        if tag >> 16 == 0xFFFE:
            raise refuse(ImageFault.CORRUPT, f"An item's mark stands outside any sequence, at byte {position}.")
        if length != _UNDEFINED:
            end = start + length if tag == PIXEL_DATA and goes_on else self._end(start, length)
            return tag, Place(start=start, length=length, vr=vr), end
        if tag == PIXEL_DATA:
            fragments, end = self._fragments(start)
            return tag, Place(start=start, length=end - start, vr=vr, fragments=fragments), end
        end = self._skip_sequence(start, explicit=self._explicit and vr != b"UN")
        return tag, Place(start=start, length=end - start, vr=vr), end

    def _header(self, position: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, VR, the value's first byte, and its length, which may be ``_UNDEFINED``."""
        self._left -= 1
        if self._left < 0:
            raise refuse(ImageFault.TOO_COMPLEX, f"Expected at most {_MAX_ELEMENTS} elements, found more.")
        if position + 8 > len(self._body):
            raise cut_short()
        group, element = self._tag.unpack_from(self._body, position)
        tag = group << 16 | element
        # Items and their ends state no VR in any syntax (PS3.5, 7.5).
        if not explicit or group == 0xFFFE:
            return tag, b"", position + 8, self._u32.unpack_from(self._body, position + 4)[0]
        vr = bytes(self._body[position + 4 : position + 6])
        if vr in _SHORT:
            return tag, vr, position + 8, self._u16.unpack_from(self._body, position + 6)[0]
        if vr not in _LONG:
            raise refuse(ImageFault.CORRUPT, f"The element {_name(tag)} has no value representation that there is.")
        if position + 12 > len(self._body):
            raise cut_short()
        return tag, vr, position + 12, self._u32.unpack_from(self._body, position + 8)[0]

    def _end(self, start: int, length: int) -> int:
        if length == _UNDEFINED:
            raise refuse(ImageFault.CORRUPT, f"An element without a length stands where none may, at byte {start}.")
        if start + length > len(self._body):
            raise cut_short()
        return start + length

    def _fragments(self, position: int) -> tuple[tuple[tuple[int, int], ...], int]:
        """The fragments from the first item on, the offset table left out, and where the next element begins."""
        found: list[tuple[int, int]] = []
        while True:
            tag, _, start, length = self._header(position, explicit=False)
            if tag == _SEQUENCE_END:
                return tuple(found[1:]), start
            if tag != _ITEM:
                raise refuse(ImageFault.CORRUPT, f"Expected a fragment of the picture at byte {position}.")
            position = self._end(start, length)
            found.append((start, length))

    def _skip_sequence(self, position: int, *, explicit: bool) -> int:
        """Where the element after a sequence of undefined length begins.

        What is open lies on two stacks, innermost last: a sequence's VR style (the content of UN is implicit, PS3.5,
        6.2.2), and False for a sequence, True for an item of undefined length in it.
        """
        styles, in_item = [explicit], [False]
        while in_item:
            tag, vr, start, length = self._header(position, explicit=styles[-1] and in_item[-1])
            if in_item[-1]:
                if tag == _ITEM_END:
                    in_item.pop()
                    position = start
                elif length == _UNDEFINED:
                    styles.append(styles[-1] and vr != b"UN")
                    in_item.append(False)
                    position = start
                else:
                    position = self._end(start, length)
            elif tag == _SEQUENCE_END:
                in_item.pop()
                styles.pop()
                position = start
            elif tag != _ITEM:
                raise refuse(ImageFault.CORRUPT, f"Expected an item of a sequence at byte {position}.")
            elif length == _UNDEFINED:
                in_item.append(True)
                position = start
            else:
                position = self._end(start, length)
            if len(styles) > _MAX_DEPTH:
                raise refuse(ImageFault.TOO_COMPLEX, f"Expected sequences nested at most {_MAX_DEPTH} deep.")
        return position


def cut_short() -> ImageError:
    """The error of a file that ends too early."""
    return refuse(ImageFault.TRUNCATED, "The file ends before its last element does.", hint="Fetch the file again.")


def _name(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
