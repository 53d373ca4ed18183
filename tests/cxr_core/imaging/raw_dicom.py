"""DICOM written byte by byte: what no library would write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMPLICIT, EXPLICIT, DEFLATED, BIG, RLE = (f"1.2.840.10008.1.2{rest}" for rest in ("", ".1", ".1.99", ".2", ".5"))
JPEG, JPEG_12, LOSSLESS, LOSSLESS_1, JPEG_LS, NEAR_LS, J2K_LOSSLESS, J2K = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)
)
LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0" + bytes(4), b"\xfe\xff\xdd\xe0" + bytes(4)
ENDLESS = b"\xff\xff\xff\xff"

Element = tuple[int, str, bytes]


def element(tag: int, vr: str, value: bytes, *, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """One element; ``length`` may lie."""
    order = ">" if syntax == BIG else "<"
    size = len(value) if length is None else length
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", size) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(order + "HI", 0, size) + value
    return head + vr.encode() + struct.pack(order + "H", size) + value


def nested(depth: int, *, vr: str = "SQ", syntax: str = EXPLICIT) -> bytes:
    """Sequences of undefined length in a private element, one in another."""
    opened = b"".join(
        element(0x00091001, vr if level == 0 or vr == "SQ" else "SQ", b"", syntax=syntax, length=0xFFFFFFFF)
        + ITEM
        + ENDLESS
        for level in range(depth)
    )
    return opened + (ITEM_END + SEQUENCE_END) * depth


def fragments(*frames: bytes) -> bytes:
    """Encapsulated pixel data: an empty offset table, fragments, the end."""
    even = [frame + bytes(len(frame) % 2) for frame in frames]
    return b"".join([ITEM, bytes(4), *(ITEM + struct.pack("<I", len(one)) + one for one in even), SEQUENCE_END])


def header(pixels: NDArray[Any], **changes: int | bytes | str | None) -> dict[int, Element]:
    """The elements that describe a picture; ``changes`` by keyword, None leaves one out."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    rows, columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    values: dict[str, int | bytes | str | None] = {
        "SOPClassUID": b"1.2.840.10008.5.1.4.1.1.7\0",
        "Modality": b"CR",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": b"MONOCHROME2 ",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": int(changes.get("BitsStored") or bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    found: dict[int, Element] = {}
    for keyword, value in (values | changes).items():
        if value is None:
            continue
        tag = int(tag_for_keyword(keyword) or 0)
        vr = dictionary_VR(tag)
        if isinstance(value, str):
            value = value.encode() + b" " * (len(value) % 2)
        if isinstance(value, int):
            vr = vr.split(" ")[0]
            value = value.to_bytes(2, "little", signed=value < 0)
        found[tag] = (tag, vr, value)
    return found


def file(
    pixels: NDArray[Any],
    *frames: bytes,
    syntax: str = EXPLICIT,
    preamble: bytes | None = bytes(128),
    meta: bool = True,
    before: bytes = b"",
    after: bytes = b"",
    **changes: int | bytes | str | None,
) -> bytes:
    """A DICOM file of a picture.

    Args:
        pixels: Stored values (H, W); with ``frames`` only their shape and type are used.
        frames: Encapsulated fragments.
        syntax: Transfer syntax.
        preamble: None leaves it out, and the mark behind it.
        meta: Whether there is a meta group.
        before: Put before the picture's elements, which begin at group 0008; ``after`` behind the pixel data.
        changes: As in ``header``.
    """
    order = ">" if syntax == BIG else "<"
    parts = [before]
    for tag, vr, value in sorted(header(pixels, **changes).values()):
        swapped = value[::-1] if syntax == BIG and vr in ("US", "SS") else value
        parts.append(element(tag, vr, swapped, syntax=syntax))
    if frames:
        parts.append(element(0x7FE00010, "OB", fragments(*frames), syntax=syntax, length=0xFFFFFFFF))
    else:
        words = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        vr = "OB" if pixels.dtype.itemsize == 1 else "OW"
        parts.append(element(0x7FE00010, vr, words + bytes(len(words) % 2), syntax=syntax))
    body = b"".join([*parts, after])
    if syntax == DEFLATED:
        body = deflated(body)
    head = b"" if preamble is None else preamble + b"DICM"
    return head + (meta_group({0x00020010: syntax}) if meta else b"") + body


def meta_group(uids: Mapping[int, str]) -> bytes:
    """The meta group with its length."""
    body = element(0x00020001, "OB", b"\0\1")
    for tag, uid in sorted(uids.items()):
        body += element(tag, "UI", uid.encode() + bytes(len(uid) % 2))
    return element(0x00020000, "UL", struct.pack("<I", len(body))) + body


def deflated(body: bytes) -> bytes:
    """A raw deflate stream (PS3.5, A.5)."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(body) + engine.flush()


def picture(bits: int, *, signed: bool = False, height: int = 40, width: int = 56) -> NDArray[Any]:
    """A ramp with some noise over all values of so many bits: neighbours differ, ends are reached."""
    rng = np.random.default_rng(bits)
    values = np.linspace(0, 2**bits - 1, height * width).reshape(height, width)
    values = np.clip(np.rint(values + rng.normal(0, 2 ** max(bits - 6, 0), values.shape)), 0, 2**bits - 1)
    kind = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    return (values - (2 ** (bits - 1) if signed else 0)).astype(kind)
