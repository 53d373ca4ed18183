"""JPEG bytes to a :class:`Container` (ITU-T T.81, annex B): every marker is walked to the end of the picture.

JPEG has no checksum: bits flipped within the packed samples, or samples missing before an end marker that somebody put
there, change the picture and cannot be told. Law: a file that ends before its end marker is refused as truncated.
"""

from __future__ import annotations

import re

from cxr_core.imaging.container import Container, beyond_padding
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["JPEG_MAGIC", "read_jpeg"]

JPEG_MAGIC = b"\xff\xd8\xff"

_START, _END, _SCAN, _ALONE = 0xD8, 0xD9, 0xDA, 0x01
# The next marker: neither a stuffed zero nor a restart, both of which belong to the packed samples.
# Begun by one byte that is fixed, for which the search is fourteen times faster than for one or more of it.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READ_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive, Huffman coded
# Application data (but JFIF and Adobe, which say how colours are stored) and comments draw nothing.
_DROPPED = frozenset(range(0xE1, 0xF0)) - {0xEE} | {0xFE}
_EXIF, _EXIF_NAME = 0xE1, b"Exif\0\0"
# Progressive files have about ten. Each pass may go over the whole picture: thousands make a bomb of time.
_MAX_SCANS = 100


def read_jpeg(data: bytes) -> Container:
    """Take a JPEG file apart.

    Raises:
        ImageError: It is cut short, of a kind that is not read, contradicts itself, or has passes enough for a bomb.
    """
    place, kept_to, scans, exif = 2, 0, 0, b""
    kept: list[bytes] = []
    frame: bytes | None = None
    while True:
        found = _MARKER.search(data, place)
        if found is None:
            raise _cut_short()
        marker, place = found[1][0], found.end()
        if marker == _END:
            break
        if marker == _START:
            raise refuse(ImageFault.CORRUPT, "A second JPEG begins within the first.")
        if marker == _ALONE:
            continue
        body = _body(data, place)
        place += 2 + len(body)
        if marker in _FRAMES:
            if frame is not None:
                raise refuse(ImageFault.CORRUPT, "The JPEG gives its size twice.")
            frame = _checked_frame(marker, body)
        elif marker == _SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise refuse(ImageFault.TOO_LARGE, f"Expected at most {_MAX_SCANS} passes over a JPEG, found more.")
        elif marker in _DROPPED:
            kept.append(data[kept_to : found.start()])
            kept_to = place
            if marker == _EXIF and not exif and body.startswith(_EXIF_NAME):
                exif = body.removeprefix(_EXIF_NAME)
    if frame is None or not scans:
        raise refuse(ImageFault.CORRUPT, "The JPEG ends without a picture.")
    kept.append(data[kept_to:place])
    return Container(
        picture=data if sum(map(len, kept)) == len(data) else b"".join(kept),
        height=int.from_bytes(frame[1:3], "big"),
        width=int.from_bytes(frame[3:5], "big"),
        exif=exif,
        rest=beyond_padding(data, place),
    )


def _body(data: bytes, place: int) -> bytes:
    """A segment's body, past the two bytes of its length."""
    length = int.from_bytes(data[place : place + 2], "big")
    if place + max(length, 2) > len(data):
        raise _cut_short()
    if length < 2:
        raise refuse(ImageFault.CORRUPT, "A part of the JPEG says that it is shorter than its own length.")
    return data[place + 2 : place + length]


def _checked_frame(marker: int, body: bytes) -> bytes:
    """Sample depth, height, width and components (T.81, B.2.2)."""
    if len(body) < 6:
        raise refuse(ImageFault.CORRUPT, "The JPEG's frame header is cut short.")
    if marker not in _READ_FRAMES or body[0] != 8:
        raise refuse(
            ImageFault.UNSUPPORTED_JPEG,
            f"Expected 8-bit Huffman-coded JPEG, found process {marker - 0xC0} with {body[0]} bits.",
            hint="Save the picture as PNG, which keeps every bit.",
        )
    return body


def _cut_short() -> Exception:
    return refuse(ImageFault.TRUNCATED, "The JPEG ends before its end marker.", hint="Fetch the file again.")
