"""Tar archives with one thing wrong each."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from cxr_core.ingest.faults import ArchiveFault
from tests.hostile.kinds import Kinds
from tests.hostile.zips import word

TARS = Kinds()

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": lambda data: data,
    ".tar.gz": lambda data: gzip.compress(data, mtime=0),
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}


def tarred(members: list[tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            if info.isreg() and not info.size:
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def info(name: str, **told: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in told.items():
        setattr(found, key, value)
    return found


def bystanders(rng: np.random.Generator) -> list[tuple[tarfile.TarInfo, bytes]]:
    count = int(rng.integers(1, 5))
    return [(info(f"images/{n}.bin"), rng.bytes(int(rng.integers(1, 3000)))) for n in range(count)]


def packed(rng: np.random.Generator, data: bytes) -> bytes:
    """By any of the four ways."""
    return PACKERS[str(rng.choice(list(PACKERS)))](data)


def _member(kind: str, fault: ArchiveFault, name: str, **told: Any) -> None:
    @TARS.add(f"tar-{kind}", fault, suffix=".tar.gz")
    def make(rng: np.random.Generator) -> bytes:
        member = info(name.replace("WORD", word(rng)), **told)
        data = rng.bytes(300) if member.isreg() else b""
        return packed(rng, tarred([*bystanders(rng), (member, data), (info("last"), b"x")]))


_member("parent-path", ArchiveFault.PARENT_PATH, "../../WORD.png")
_member("absolute-path", ArchiveFault.ABSOLUTE_PATH, "/tmp/cxr-hostile-WORD.png")
_member("nul-in-name", ArchiveFault.UNPRINTABLE_NAME, "é" * 60 + "WORD\0.png")
_member("long-name", ArchiveFault.LONG_NAME, "WORD" * 200)
_member("symlink", ArchiveFault.LINK, "WORD.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
_member("symlink-inside", ArchiveFault.LINK, "WORD.png", type=tarfile.SYMTYPE, linkname="images")
_member("hardlink", ArchiveFault.LINK, "WORD.png", type=tarfile.LNKTYPE, linkname="../../etc/passwd")
_member("device", ArchiveFault.SPECIAL, "WORD.png", type=tarfile.CHRTYPE, devmajor=1, devminor=5)
_member("pipe", ArchiveFault.SPECIAL, "WORD.png", type=tarfile.FIFOTYPE)
_member("sparse", ArchiveFault.SPECIAL, "WORD.png", type=tarfile.GNUTYPE_SPARSE)
_member("sparse-by-pax", ArchiveFault.SPECIAL, "WORD.png", pax_headers={"GNU.sparse.major": "1"})
_member("unknown-kind", ArchiveFault.SPECIAL, "WORD.png", type=b"Z")
_member("same-name-twice", ArchiveFault.DUPLICATE, "images/0.bin")
_member("name-differs-by-case", ArchiveFault.COLLISION, "IMAGES/0.bin")
_member("file-where-a-folder-is", ArchiveFault.COLLISION, "images")


@TARS.add("tar-extended-header-bomb", ArchiveFault.BOMB, suffix=".tar.gz")
def _pax_bomb(rng: np.random.Generator) -> bytes:
    """An extended header of 2 GB, which a reader that takes it into memory dies of."""
    header = bytearray(info("x", type=tarfile.XHDTYPE, size=2_000_000_000).tobuf(tarfile.USTAR_FORMAT))
    return packed(rng, tarred(bystanders(rng))[:-10240] + bytes(header) + b"\0" * 100_000)


@TARS.add("tar-bomb", ArchiveFault.BOMB, suffix=".tar.gz")
def _bomb(rng: np.random.Generator) -> bytes:
    member = info(word(rng), size=300_000_000)
    data = tarred(bystanders(rng)).rstrip(b"\0")
    head = data + b"\0" * (-len(data) % 512) + member.tobuf(tarfile.USTAR_FORMAT)
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    out = [packer.compress(head), *(packer.compress(b"\0" * 1_000_000) for _ in range(300))]
    return b"".join(out) + packer.flush()


@TARS.add("tar-asks-for-memory", ArchiveFault.BOMB, suffix=".tar.xz")
def _memory(rng: np.random.Generator) -> bytes:
    """An xz header that asks for a dictionary of 1.5 GB."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 4096}]
    data = bytearray(lzma.compress(tarred(bystanders(rng)), filters=filters))
    # Block header: size, flags, filter 0x21, one property byte that is the dictionary's size, then a checksum.
    size = (data[12] + 1) * 4
    place = data.index(b"\x21\x01", 12)
    data[place + 2] = 40
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    return bytes(data)


@TARS.add("tar-truncated", ArchiveFault.TRUNCATED, suffix=".tar")
def _truncated(rng: np.random.Generator) -> bytes:
    data = tarred([(info("a"), rng.bytes(5000)), *bystanders(rng)])
    return data[: int(rng.integers(600, 5000))]


@TARS.add("tar-packed-truncated", ArchiveFault.TRUNCATED, suffix=".tar.gz")
def _packed_truncated(rng: np.random.Generator) -> bytes:
    data = PACKERS[str(rng.choice([".tar.gz", ".tar.bz2", ".tar.xz"]))](tarred([(info("a"), rng.bytes(5000))]))
    return data[: int(rng.integers(len(data) // 2, len(data) - 30))]


@TARS.add("tar-wrong-checksum-of-gzip", ArchiveFault.CORRUPT, suffix=".tar.gz")
def _gzip_crc(rng: np.random.Generator) -> bytes:
    data = bytearray(PACKERS[".tar.gz"](tarred(bystanders(rng))))
    data[-8] ^= int(rng.integers(1, 256))
    return bytes(data)


@TARS.add("tar-header-damaged", ArchiveFault.CORRUPT, suffix=".tar")
def _header(rng: np.random.Generator) -> bytes:
    data = bytearray(tarred([(info("first"), b"x"), *bystanders(rng)]))
    data[1024 + int(rng.integers(0, 100))] ^= 1 << int(rng.integers(0, 8))
    return bytes(data)


@TARS.add("tar-trailing-garbage", ArchiveFault.FOREIGN_DATA, suffix=".tar.gz")
def _trailing(rng: np.random.Generator) -> bytes:
    return packed(rng, tarred(bystanders(rng)) + b"#!/bin/sh\n")


@TARS.add("tar-packed-trailing-garbage", ArchiveFault.FOREIGN_DATA, suffix=".tar.gz")
def _packed_trailing(rng: np.random.Generator) -> bytes:
    return gzip.compress(tarred(bystanders(rng)), mtime=0) + b"PK\x03\x04" + rng.bytes(50)


@TARS.add("tar-one-name-for-all", ArchiveFault.HEADERS_DIFFER, suffix=".tar")
def _global(rng: np.random.Generator) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "../x"}) as archive:
        for member, data in bystanders(rng):
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@TARS.add("gzip-of-no-tar", ArchiveFault.NOT_AN_ARCHIVE, suffix=".tar.gz")
def _no_tar(rng: np.random.Generator) -> bytes:
    return gzip.compress(b"patientid,finding\n" * 40 + rng.bytes(50), mtime=0)


@TARS.add("tar-empty", ArchiveFault.EMPTY_ARCHIVE, suffix=".tar")
def _empty(rng: np.random.Generator) -> bytes:
    return tarred([(info(f"{word(rng)}/{n}", type=tarfile.DIRTYPE), b"") for n in range(int(rng.integers(1, 5)))])


@TARS.add("zeros-named-tar", ArchiveFault.NOT_AN_ARCHIVE, suffix=".tar")
def _zeros(rng: np.random.Generator) -> bytes:
    return b"\0" * 512 * int(rng.integers(1, 100))


@TARS.add("no-bytes-named-tar", ArchiveFault.EMPTY_ARCHIVE, suffix=".tar")
def _nothing(_rng: np.random.Generator) -> bytes:
    return b""
