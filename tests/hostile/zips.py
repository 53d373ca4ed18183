"""Zip archives with one thing wrong each, written field by field, since no library writes them."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cxr_core.ingest.faults import ArchiveFault
from tests.hostile.kinds import Kinds

ZIPS = Kinds()

PLAIN = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A member, and what its two headers say otherwise than the truth."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    attributes: int = PLAIN
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    packed: bytes | None = None
    extra: bytes = b""


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zipped(parts: list[Part], *, comment: bytes = b"", counted: int | None = None, moved: int = 0) -> bytes:
    """A zip of the parts; ``counted`` members by its end record, whose directory lies ``moved`` bytes off."""
    out, directory = bytearray(), bytearray()
    for part in parts:
        packed = part.packed if part.packed is not None else deflated(part.data) if part.method == 8 else part.data
        told = {
            "name": part.name,
            "flags": part.flags,
            "method": part.method,
            "crc": zlib.crc32(part.data),
            "packed": len(packed),
            "size": len(part.data),
        }
        directory += _central({**told, "offset": len(out), **part.central}, part)
        out += _local({**told, **part.local}, part) + packed
    start = len(out) + moved
    count = len(parts) if counted is None else counted
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, len(comment))
    return bytes(out + directory + end + comment)


def _local(told: dict[str, Any], part: Part) -> bytes:
    numbers = (20, told["flags"], told["method"], 0, 33, told["crc"], told["packed"], told["size"])
    return (
        struct.pack("<4s5H3I2H", b"PK\x03\x04", *numbers, len(told["name"]), len(part.extra))
        + told["name"]
        + part.extra
    )


def _central(told: dict[str, Any], part: Part) -> bytes:
    numbers = (0x031E, 20, told["flags"], told["method"], 0, 33, told["crc"], told["packed"], told["size"])
    lengths = (len(told["name"]), len(part.extra), 0, 0, 0, part.attributes, told["offset"])
    return struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *numbers, *lengths) + told["name"] + part.extra


def bystanders(rng: np.random.Generator) -> list[Part]:
    """One to four members with nothing wrong."""
    count = int(rng.integers(1, 5))
    return [Part(name=b"images/%d.bin" % n, data=rng.bytes(int(rng.integers(1, 3000)))) for n in range(count)]


def among(rng: np.random.Generator, *parts: Part, **more: Any) -> bytes:
    """The parts somewhere among bystanders."""
    all_parts = bystanders(rng)
    place = int(rng.integers(0, len(all_parts) + 1))
    return zipped([*all_parts[:place], *parts, *all_parts[place:]], **more)


def word(rng: np.random.Generator) -> str:
    """Six letters."""
    return "".join(chr(97 + letter) for letter in rng.integers(0, 26, 6))


def _named(kind: str, fault: ArchiveFault, template: str, *, flags: int = 0x0800) -> None:
    @ZIPS.add(f"zip-{kind}", fault, suffix=".zip")
    def make(rng: np.random.Generator) -> bytes:
        name = template.replace("WORD", word(rng)).encode("utf-8", "surrogateescape")
        return among(rng, Part(name=name, data=rng.bytes(200), flags=flags))


_named("parent-path", ArchiveFault.PARENT_PATH, "images/../../../WORD.png")
_named("parent-path-alone", ArchiveFault.PARENT_PATH, "../WORD.png")
_named("absolute-path", ArchiveFault.ABSOLUTE_PATH, "/tmp/cxr-hostile-WORD.png")
_named("drive-letter", ArchiveFault.ABSOLUTE_PATH, "C:\\WORD.png")
_named("backslash", ArchiveFault.BACKSLASH, "..\\..\\WORD.png")
_named("nul-in-name", ArchiveFault.UNPRINTABLE_NAME, "WORD.png\0.exe")
_named("control-in-name", ArchiveFault.UNPRINTABLE_NAME, "WORD\x1b[2J.png")
_named("right-to-left-name", ArchiveFault.UNPRINTABLE_NAME, "WORD\u202egnp.exe")
_named("no-unicode-name", ArchiveFault.UNPRINTABLE_NAME, "WORD\udcff\udcfe.png")
_named("hidden-stream", ArchiveFault.BAD_NAME, "WORD.png:hidden")
_named("long-name", ArchiveFault.LONG_NAME, "WORD" * 100 + ".png")
_named("deep-name", ArchiveFault.LONG_NAME, "a/" * 40 + "WORD.png")


@ZIPS.add("zip-symlink", ArchiveFault.LINK, suffix=".zip")
def _symlink(rng: np.random.Generator) -> bytes:
    target = rng.choice(["/etc/passwd", "../../..", "images"])
    link = Part(name=f"{word(rng)}.png".encode(), data=str(target).encode(), attributes=(stat.S_IFLNK | 0o777) << 16)
    return among(rng, link)


@ZIPS.add("zip-reparse-point", ArchiveFault.LINK, suffix=".zip")
def _reparse(rng: np.random.Generator) -> bytes:
    return among(rng, Part(name=f"{word(rng)}.png".encode(), data=rng.bytes(9), attributes=0x420))


@ZIPS.add("zip-device", ArchiveFault.SPECIAL, suffix=".zip")
def _device(rng: np.random.Generator) -> bytes:
    kind = int(rng.choice([stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]))
    return among(rng, Part(name=f"{word(rng)}.png".encode(), attributes=(kind | 0o666) << 16))


def _pair(kind: str, fault: ArchiveFault, one: str, two: str) -> None:
    @ZIPS.add(f"zip-{kind}", fault, suffix=".zip")
    def make(rng: np.random.Generator) -> bytes:
        letters = word(rng)
        names = [template.replace("WORD", letters).encode() for template in (one, two)]
        return among(rng, *(Part(name=name, data=rng.bytes(50), flags=0x0800) for name in names))


_pair("same-name-twice", ArchiveFault.DUPLICATE, "a/WORD.png", "a/WORD.png")
_pair("same-name-otherwise-written", ArchiveFault.DUPLICATE, "a/WORD.png", "./a//WORD.png")
_pair("names-differ-by-case", ArchiveFault.COLLISION, "a/WORD.png", "A/WORD.png")
_pair("names-differ-by-accent-form", ArchiveFault.COLLISION, "WORDé.png", "WORDe\u0301.png")
_pair("names-differ-by-a-dot-at-the-end", ArchiveFault.COLLISION, "WORD.png", "WORD.png.")
_pair("file-where-a-folder-is", ArchiveFault.COLLISION, "WORD", "WORD/a.png")


@ZIPS.add("zip-bomb", ArchiveFault.BOMB, suffix=".zip")
def _bomb(rng: np.random.Generator) -> bytes:
    return among(rng, Part(name=f"{word(rng)}.png".encode(), data=b"\0" * 100_000_000))


@ZIPS.add("zip-bomb-that-lies", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _lying_bomb(rng: np.random.Generator) -> bytes:
    lie = {"size": int(rng.integers(1, 5000))}
    return among(rng, Part(name=b"x.png", data=b"\0" * 90_000_000, local=lie, central=lie))


@ZIPS.add("zip-larger-than-allowed", ArchiveFault.TOO_LARGE, suffix=".zip")
def _announced(rng: np.random.Generator) -> bytes:
    # Honest in what it announces, of which nothing has to be unpacked to refuse it: the corpus allows 2 GB.
    parts = [Part(name=b"%d.bin" % n, data=rng.bytes(30), central={"size": 0xFFFF0000}) for n in range(2)]
    filler = Part(name=b"noise", data=rng.bytes(64_000_000), method=0)
    return zipped([filler, *parts])


@ZIPS.add("zip-many-members", ArchiveFault.TOO_MANY_MEMBERS, suffix=".zip")
def _many(rng: np.random.Generator) -> bytes:
    return zipped([Part(name=b"%d" % n) for n in range(int(rng.integers(5_001, 6_000)))])


@ZIPS.add("zip-overlap", ArchiveFault.OVERLAP, suffix=".zip")
def _overlap(rng: np.random.Generator) -> bytes:
    """Every directory entry points to one kernel, as in the bombs of 2019."""
    kernel = Part(name=b"a.png", data=b"\0" * 1_000_000)
    copies = [replace(kernel, name=kernel.name, central={"offset": 0}) for _ in range(int(rng.integers(2, 50)))]
    first = zipped([kernel])
    directory = b"".join(
        _central(
            {
                "name": b"a.png",
                "flags": 0,
                "method": 8,
                "crc": zlib.crc32(kernel.data),
                "packed": len(deflated(kernel.data)),
                "size": len(kernel.data),
                "offset": 0,
            },
            copy,
        )
        for copy in copies
    )
    data = first[: first.index(b"PK\x01\x02")]
    count = len(copies)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(data), 0)
    return data + directory + end


@ZIPS.add("zip-quoted-overlap", ArchiveFault.OVERLAP, suffix=".zip")
def _quoted_overlap(rng: np.random.Generator) -> bytes:
    """A member whose stored bytes are another member's header and data."""
    inner = Part(name=b"b.png", data=b"\0" * 1_000_000)
    packed = deflated(inner.data)
    told = {"name": b"b.png", "flags": 0, "method": 8, "crc": zlib.crc32(inner.data)}
    quoted = _local({**told, "packed": len(packed), "size": len(inner.data)}, inner) + packed
    outer = Part(name=f"{word(rng)}.png".encode(), data=quoted, method=0)
    place = len(_local({**told, "name": outer.name, "packed": 0, "size": 0}, outer))
    directory = [
        _central({**told, "name": outer.name, "method": 0, "crc": zlib.crc32(quoted), "packed": len(quoted),
                  "size": len(quoted), "offset": 0}, outer),
        _central({**told, "packed": len(packed), "size": len(inner.data), "offset": place}, inner),
    ]  # fmt: skip
    head = _local(
        {
            **told,
            "name": outer.name,
            "method": 0,
            "crc": zlib.crc32(quoted),
            "packed": len(quoted),
            "size": len(quoted),
        },
        outer,
    )
    both, start = b"".join(directory), len(head) + len(quoted)
    return head + quoted + both + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, len(both), start, 0)


@ZIPS.add("zip-encrypted", ArchiveFault.ENCRYPTED, suffix=".zip")
def _encrypted(rng: np.random.Generator) -> bytes:
    flags = int(rng.choice([0x1, 0x41, 0x2001]))
    return among(rng, Part(name=b"secret.png", data=rng.bytes(100), flags=flags))


@ZIPS.add("zip-unknown-method", ArchiveFault.UNSUPPORTED_COMPRESSION, suffix=".zip")
def _method(rng: np.random.Generator) -> bytes:
    method = int(rng.choice([1, 6, 9, 12, 14, 93, 98, 12345]))
    return among(rng, Part(name=b"a.png", data=rng.bytes(100), method=method))


@ZIPS.add("zip-name-differs-at-the-member", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _other_name(rng: np.random.Generator) -> bytes:
    return among(rng, Part(name=b"a.png", data=rng.bytes(100), local={"name": b"../a.png"}))


@ZIPS.add("zip-size-differs-at-the-member", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _other_size(rng: np.random.Generator) -> bytes:
    return among(rng, Part(name=b"a.png", data=rng.bytes(100), local={"size": int(rng.integers(101, 5000))}))


@ZIPS.add("zip-longer-than-it-says", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _longer(rng: np.random.Generator) -> bytes:
    lie = {"size": int(rng.integers(1, 1000))}
    return among(rng, Part(name=b"a.png", data=rng.bytes(3000), local=lie, central=lie))


@ZIPS.add("zip-count-differs", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _count(rng: np.random.Generator) -> bytes:
    return zipped(bystanders(rng), counted=int(rng.integers(5, 60)))


@ZIPS.add("zip-directory-elsewhere", ArchiveFault.HEADERS_DIFFER, suffix=".zip")
def _moved(rng: np.random.Generator) -> bytes:
    return zipped(bystanders(rng), moved=int(rng.integers(1, 4000)))


@ZIPS.add("zip-wrong-checksum", ArchiveFault.WRONG_CHECKSUM, suffix=".zip")
def _wrong(rng: np.random.Generator) -> bytes:
    lie = {"crc": int(rng.integers(1, 2**32 - 1))}
    return among(rng, Part(name=b"a.png", data=rng.bytes(500), local=lie, central=lie))


@ZIPS.add("zip-packed-bytes-damaged", ArchiveFault.CORRUPT, suffix=".zip")
def _damaged(rng: np.random.Generator) -> bytes:
    return among(rng, Part(name=b"a.png", data=b"x" * 100, packed=b"\xff" * int(rng.integers(20, 90))))


@ZIPS.add("zip-truncated", ArchiveFault.TRUNCATED, suffix=".zip")
def _truncated(rng: np.random.Generator) -> bytes:
    data = _good(rng)
    return data[: int(rng.integers(100, len(data) - 22))]


@ZIPS.add("zip-trailing-garbage", ArchiveFault.FOREIGN_DATA, suffix=".zip")
def _trailing(rng: np.random.Generator) -> bytes:
    return _good(rng) + b"#!/bin/sh\n" + rng.bytes(int(rng.integers(1, 3000))).replace(b"PK", b"XX")


@ZIPS.add("zip-bytes-before-the-first-member", ArchiveFault.FOREIGN_DATA, suffix=".zip")
def _before(rng: np.random.Generator) -> bytes:
    # A first member that the directory does not list: its bytes hide whatever they like.
    data = zipped([Part(name=b"hidden.exe", data=rng.bytes(300)), *bystanders(rng)])
    start = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", start + 4)
    directory, end = data[second : data.rindex(b"PK\x05\x06")], data.rindex(b"PK\x05\x06")
    count = struct.unpack_from("<H", data, end + 10)[0] - 1
    return (
        data[:start] + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    )


@ZIPS.add("zip-empty", ArchiveFault.EMPTY_ARCHIVE, suffix=".zip")
def _empty(rng: np.random.Generator) -> bytes:
    return zipped([Part(name=b"%d/" % n, method=0) for n in range(int(rng.integers(0, 4)))])


@ZIPS.add("web-page-named-zip", ArchiveFault.NOT_AN_ARCHIVE, suffix=".zip")
def _page(rng: np.random.Generator) -> bytes:
    return f"<!DOCTYPE html><html><title>Sign in</title><p>{word(rng)}</html>".encode()


@ZIPS.add("picture-named-zip", ArchiveFault.NOT_AN_ARCHIVE, suffix=".zip")
def _picture(rng: np.random.Generator) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + rng.bytes(300)


@ZIPS.add("program-that-unpacks-itself", ArchiveFault.NOT_AN_ARCHIVE, suffix=".zip")
def _sfx(rng: np.random.Generator) -> bytes:
    return b"MZ" + rng.bytes(600) + _good(rng)


def _good(rng: np.random.Generator) -> bytes:
    """A zip as a library writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in bystanders(rng):
            # A ZipInfo of its own has a fixed date.
            archive.writestr(zipfile.ZipInfo(part.name.decode()), part.data, zipfile.ZIP_DEFLATED)
    return out.getvalue()
