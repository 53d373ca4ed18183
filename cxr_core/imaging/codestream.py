"""JPEG, JPEG-LS and JPEG 2000 codestreams: what their own headers say, where they end, and where text may hide in them.

In: bytes that should begin with a codestream. Out: a ``Codestream``. Nothing is decompressed: a header that does not
fit the file around it is found before any memory is taken for its picture. Laws: a stream that is cut short is refused;
``bare`` changes no byte that a decoder draws from and no length, and ``bare(bare(x)) == bare(x)``.

Sources: ISO/IEC 10918-1 (T.81), annex B; ISO/IEC 14495-1 (T.87), annex C; ISO/IEC 15444-1 (T.800), annex A.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

from cxr_core.errors import ImageError
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["Codestream", "Segment", "bare", "read_jpeg", "read_jpeg_2000"]

Kind = Literal["sequential", "progressive", "lossless", "jpeg_ls", "jpeg_2000", "other"]

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP = range(0xE0, 0xF0)
_JFIF, _JFIF_BYTES = b"JFIF\0", 14
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# T.81, table B.1: start-of-frame markers; 0xF7 is JPEG-LS's (T.87, C.1). DHT, JPG and DAC lie between them.
_FRAMES: dict[int, Kind] = {
    0xC0: "sequential",
    0xC1: "sequential",
    0xC2: "progressive",
    0xC3: "lossless",
    0xF7: "jpeg_ls",
    **dict.fromkeys((*range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)), "other"),
}
# Coded data hold 0xFF only before 0x00 or a restart (T.81, B.1.1.5), in JPEG-LS before a byte under 0x80 (T.87, A.1).
_NEXT_MARKER = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_J2K_SIZ, _J2K_COM, _J2K_SOT, _J2K_SOD, _J2K_EOC = 0xFF51, 0xFF64, 0xFF90, 0xFF93, b"\xff\xd9"
# A progressive picture has some ten scans; each more costs a pass over all its pixels.
_MAX_SCANS = 100
_MAX_SEGMENTS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A marker segment that draws nothing: comment or application data; ``start``..``end`` is its content."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Codestream:
    """What a codestream says of itself.

    Attributes:
        kind: How it is coded.
        height: Rows.
        width: Columns.
        precision: Bits a sample.
        signed: Whether its samples are (JPEG 2000 alone can say so).
        components: Samples a pixel.
        end: The byte after its last one.
        texts: Segments in which a writer may put anything.
    """

    kind: Kind
    height: int
    width: int
    precision: int
    signed: bool = False
    components: int
    end: int
    texts: tuple[Segment, ...]


def read_jpeg(data: bytes) -> Codestream:
    """Walk a JPEG or JPEG-LS codestream from its first marker to its last.

    Raises:
        ImageError: There is none (``corrupt``), it is cut short (``truncated``), or it has more scans than any picture
            needs (``too_complex``).
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise _corrupt("it does not begin as JPEG does")
    frame: tuple[Kind, int, int, int, int] | None = None
    texts: list[Segment] = []
    position, scans = 2, 0
    for _ in range(_MAX_SEGMENTS):
        marker, position = _marker(data, position)
        if marker == _EOI:
            if frame is None or not scans:
                raise _corrupt("it holds no picture")
            kind, precision, height, width, components = frame
            return Codestream(
                kind=kind,
                height=height,
                width=width,
                precision=precision,
                components=components,
                end=position,
                texts=tuple(texts),
            )
        if marker in _STANDALONE:
            continue
        end = _segment_end(data, position)
        if marker in _FRAMES:
            if frame is not None or end - position < 8:
                raise _corrupt("it does not have one frame header")
            frame = (_FRAMES[marker], *struct.unpack_from(">BHHB", data, position + 2))
        elif marker == _COM or (marker in _APP and not _is_plain_jfif(data[position + 2 : end])):
            texts.append(Segment(marker=marker, start=position + 2, end=end))
        position = end
        if marker == _SOS:
            scans += 1
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise _cut()
            position = found.start()
        if scans > _MAX_SCANS:
            break
    raise refuse(ImageFault.TOO_COMPLEX, f"Expected at most {_MAX_SCANS} scans in a picture, found more.")


def read_jpeg_2000(data: bytes) -> Codestream:
    """Walk a JPEG 2000 codestream: main header, then tile-part by tile-part.

    Raises:
        ImageError: There is none (``corrupt``), or it is cut short (``truncated``).
    """
    if data[:4] != b"\xff\x4f\xff\x51":
        raise _corrupt("it does not begin as JPEG 2000 does")
    height, width, components, depth = _siz(data)
    texts: list[Segment] = []
    position = 2
    for _ in range(_MAX_SEGMENTS):
        position = _j2k_header(data, position, texts)
        if data[position : position + 2] == _J2K_EOC:
            return Codestream(
                kind="jpeg_2000",
                height=height,
                width=width,
                precision=(depth & 0x7F) + 1,
                signed=bool(depth & 0x80),
                components=components,
                end=position + 2,
                texts=tuple(texts),
            )
        position = _tile_part(data, position, texts)
    raise refuse(ImageFault.TOO_COMPLEX, "The picture lies in more pieces than any X-ray's.")


def bare(data: bytes, found: Codestream) -> bytes:
    """The codestream alone, with nothing but zeros where text may stand, and nothing behind its end."""
    if not any(any(data[text.start : text.end]) for text in found.texts):
        return data[: found.end]
    out = bytearray(data[: found.end])
    for text in found.texts:
        out[text.start : text.end] = bytes(text.end - text.start)
    return bytes(out)


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker's second byte and the place behind it; fill bytes of 0xFF may stand before it."""
    if position < len(data) and data[position] != 0xFF:
        raise _corrupt("something else stands where a marker should")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _cut()
    return data[position], position + 1


def _is_plain_jfif(content: bytes) -> bool:
    """Whether a segment holds JFIF's fixed numbers and no thumbnail."""
    return len(content) == _JFIF_BYTES and content.startswith(_JFIF)


def _segment_end(data: bytes, position: int) -> int:
    """The byte after a segment whose length stands at ``position``."""
    if position + 2 > len(data):
        raise _cut()
    length = int.from_bytes(data[position : position + 2], "big")
    if length < 2:
        raise _corrupt("a segment has no length")
    if position + length > len(data):
        raise _cut()
    return position + length


def _siz(data: bytes) -> tuple[int, int, int, int]:
    """Height, width, components, and the first component's depth byte (T.800, A.5.1)."""
    if _segment_end(data, 4) - 4 < 41:
        raise _corrupt("its size segment is too short")
    right, bottom, left, top, *_, components, depth, dx, dy = struct.unpack_from(">8IH3B", data, 8)
    if (dx, dy) != (1, 1):
        raise _corrupt("its samples are fewer than its pixels")
    return bottom - top, right - left, components, depth


def _j2k_header(data: bytes, position: int, texts: list[Segment]) -> int:
    """Collect the comments up to a tile-part, its data or the end; gives where that marker stands."""
    for _ in range(_MAX_SEGMENTS):
        if position + 2 > len(data):
            raise _cut()
        marker = int.from_bytes(data[position : position + 2], "big")
        if marker in (_J2K_SOT, _J2K_SOD) or data[position : position + 2] == _J2K_EOC:
            return position
        if marker < 0xFF00:
            raise _corrupt("something else stands where a marker should")
        end = _segment_end(data, position + 2)
        if marker == _J2K_COM:
            texts.append(Segment(marker=marker & 0xFF, start=position + 4, end=end))
        position = end
    raise refuse(ImageFault.TOO_COMPLEX, "The picture's header lies in more pieces than any X-ray's.")


def _tile_part(data: bytes, position: int, texts: list[Segment]) -> int:
    """The byte after a tile-part (T.800, A.4.2); one that states no length goes on to the end of the codestream."""
    if data[position : position + 2] != b"\xff\x90":
        raise _corrupt("a part of the picture has no header")
    inner = _segment_end(data, position + 2)
    length = int.from_bytes(data[position + 6 : position + 10], "big")
    body = _j2k_header(data, inner, texts)
    if not length:
        end = data.rfind(_J2K_EOC)
        if end < body:
            raise _cut()
        return end
    if position + length > len(data):
        raise _cut()
    if position + length < body + 2:
        raise _corrupt("a part of the picture ends inside its header")
    return position + length


def _corrupt(what: str) -> ImageError:
    return refuse(ImageFault.CORRUPT, f"The codestream contradicts itself: {what}.")


def _cut() -> ImageError:
    return refuse(ImageFault.TRUNCATED, "The codestream ends before its picture does.", hint="Fetch the file again.")
