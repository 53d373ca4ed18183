"""What a PNG or JPEG file comes apart into before any of it is decompressed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Container", "beyond_padding"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A picture file, taken apart.

    Attributes:
        picture: A file of the same format with nothing but what draws the picture: no text, profile, thumbnail or
            camera data, so that the decoder's readers of such things are never reached.
        height: Rows, in pixels, as stored.
        width: Columns, in pixels, as stored.
        exif: The EXIF block, empty where there is none.
        rest: What follows the picture's end, empty where that is padding.
    """

    picture: bytes
    height: int
    width: int
    exif: bytes
    rest: bytes


def beyond_padding(data: bytes, end: int) -> bytes:
    """The bytes from ``end`` on; empty where they are zeros or blanks, which some programs fill up with."""
    return data[end:].strip(b"\0\t\n\r ")
