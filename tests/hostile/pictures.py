"""PNG and JPEG files, and files named like them, with one thing wrong each."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_core.imaging.faults import ImageFault
from tests.hostile.kinds import Kinds
from tests.hostile.zips import word

PICTURES = Kinds()

PNG_HEAD = 33  # the signature and the header


def picture(rng: np.random.Generator, *, least: int = 40, most: int = 120) -> NDArray[np.uint8]:
    """uint8 (H, W), cloudy, never of one value."""
    height, width = (int(side) for side in rng.integers(least, most, 2))
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
    cloud = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(cloud + rng.integers(-6, 7, cloud.shape), 0, 255).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def png(rng: np.random.Generator, **options: Any) -> bytes:
    return saved(Image.fromarray(picture(rng)), "PNG", **options)


def jpeg(rng: np.random.Generator, **options: Any) -> bytes:
    return saved(Image.fromarray(picture(rng)), "JPEG", quality=int(rng.integers(60, 96)), **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def built(width: int, height: int, *parts: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of the parts, whatever its header claims."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(parts) + chunk(b"IEND", b"")


def _named(kind: str, make_head: bytes, *, suffix: str = ".png") -> None:
    @PICTURES.add(kind, ImageFault.NOT_AN_IMAGE, suffix=suffix)
    def make(rng: np.random.Generator) -> bytes:
        return make_head + rng.bytes(int(rng.integers(40, 400)))


_named("web-page-named-png", b"<!doctype html><title>404</title>")
_named("svg-named-png", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">')
_named("eps-named-png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file\n")
_named("psd-named-png", b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 64, 64, 8, 3))
_named("pdf-named-jpg", b"%PDF-1.7\n", suffix=".jpg")
_named("program-named-png", b"\x7fELF\2\1\1\0")
_named("script-named-dcm", b"#!/bin/sh\nrm -rf /\n", suffix=".dcm")
_named("jpeg-2000-named-jpg", b"\0\0\0\x0cjP  \r\n\x87\n", suffix=".jpg")
_named("pickle-named-png", b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.")


def _other(kind: str, form: str, *, suffix: str = ".png") -> None:
    @PICTURES.add(kind, ImageFault.NOT_AN_IMAGE, suffix=suffix)
    def make(rng: np.random.Generator) -> bytes:
        return saved(Image.fromarray(picture(rng)), form)


_other("gif", "GIF", suffix=".gif")
_other("tiff-named-png", "TIFF")
_other("bmp-named-jpg", "BMP", suffix=".jpg")
_other("webp-named-png", "WEBP")
_other("ppm-named-png", "PPM")


@PICTURES.add("animated-gif-named-png", ImageFault.NOT_AN_IMAGE, suffix=".png")
def _gif(rng: np.random.Generator) -> bytes:
    frames = [Image.fromarray(picture(rng, least=60, most=61)) for _ in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


@PICTURES.add("archive-named-png", ImageFault.NOT_AN_IMAGE, suffix=".png")
def _archive(rng: np.random.Generator) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(f"{word(rng)}.png"), png(rng))
    return out.getvalue()


@PICTURES.add("no-bytes", ImageFault.EMPTY, suffix=".png")
def _nothing(_rng: np.random.Generator) -> bytes:
    return b""


@PICTURES.add("png-truncated", ImageFault.TRUNCATED, suffix=".png")
def _png_cut(rng: np.random.Generator) -> bytes:
    data = png(rng)
    return data[: int(rng.integers(9, len(data) - 1))]


@PICTURES.add("png-bit-flipped", ImageFault.CORRUPT, suffix=".png")
def _png_flipped(rng: np.random.Generator) -> bytes:
    # Within the packed pixels, past their length: where a length is hit, the file may rather seem cut short.
    data = bytearray(png(rng))
    data[int(rng.integers(PNG_HEAD + 8, len(data) - 16))] ^= 1 << int(rng.integers(0, 8))
    return bytes(data)


@PICTURES.add("png-wrong-checksum", ImageFault.CORRUPT, suffix=".png")
def _png_checksum(rng: np.random.Generator) -> bytes:
    data = bytearray(png(rng))
    data[29 + int(rng.integers(0, 4))] ^= int(rng.integers(1, 256))
    return bytes(data)


@PICTURES.add("png-fewer-rows-than-it-says", ImageFault.TRUNCATED, suffix=".png")
def _png_short(rng: np.random.Generator) -> bytes:
    rows = zlib.compress(b"".join(b"\0" + rng.bytes(80) for _ in range(int(rng.integers(5, 60)))))
    return built(80, 90, chunk(b"IDAT", rows))


@PICTURES.add("png-pixels-not-deflated", ImageFault.CORRUPT, suffix=".png")
def _png_noise(rng: np.random.Generator) -> bytes:
    return built(80, 90, chunk(b"IDAT", b"\xff" + rng.bytes(500)))


@PICTURES.add("png-without-pixels", ImageFault.CORRUPT, suffix=".png")
def _png_bare(rng: np.random.Generator) -> bytes:
    return built(80, int(rng.integers(20, 200)))


@PICTURES.add("png-animated", ImageFault.SEVERAL_FRAMES, suffix=".png")
def _apng(rng: np.random.Generator) -> bytes:
    frames = [Image.fromarray(picture(rng, least=60, most=61)) for _ in range(int(rng.integers(2, 5)))]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


@PICTURES.add("png-of-144-megapixels", ImageFault.TOO_LARGE, suffix=".png")
def _png_144(rng: np.random.Generator) -> bytes:
    width, height = 12_000, 12_000
    packer = zlib.compressobj(9)
    row = b"\0" + rng.bytes(100) * (width // 100)
    rows = b"".join(packer.compress(row * 100) for _ in range(height // 100))
    return built(width, height, chunk(b"IDAT", rows + packer.flush()))


@PICTURES.add("png-that-claims-a-bomb", ImageFault.TOO_LARGE, suffix=".png")
def _png_claim(rng: np.random.Generator) -> bytes:
    side = int(rng.integers(60_000, 2**31))
    return built(side, side, chunk(b"IDAT", zlib.compress(rng.bytes(500))))


def _text_bomb(kind: str, name: bytes, head: bytes) -> None:
    @PICTURES.add(kind, ImageFault.TOO_LARGE, suffix=".png")
    def make(rng: np.random.Generator) -> bytes:
        data = png(rng)
        bomb = chunk(name, head + zlib.compress(b"\0" * int(rng.integers(17_000_000, 25_000_000)), 9))
        return data[:PNG_HEAD] + bomb + data[PNG_HEAD:]


_text_bomb("png-text-bomb", b"zTXt", b"Comment\0\0")
_text_bomb("png-international-text-bomb", b"iTXt", b"Comment\0\1\0en\0Comment\0")
_text_bomb("png-profile-bomb", b"iCCP", b"profile\0\0")


@PICTURES.add("png-with-an-unknown-part", ImageFault.CORRUPT, suffix=".png")
def _png_unknown(rng: np.random.Generator) -> bytes:
    data = png(rng)
    return data[:PNG_HEAD] + chunk(b"EViL", rng.bytes(30)) + data[PNG_HEAD:]


def _polyglot(kind: str, form: str) -> None:
    @PICTURES.add(kind, ImageFault.TRAILING_DATA, suffix=f".{form}")
    def make(rng: np.random.Generator) -> bytes:
        whole = png(rng) if form == "png" else jpeg(rng)
        behind = [_archive(rng), b"<script>alert(1)</script>", b"\0" * 40 + b"MZ" + rng.bytes(90)]
        return whole + behind[int(rng.integers(0, 3))]


_polyglot("png-and-another-file", "png")
_polyglot("jpeg-and-another-file", "jpg")


@PICTURES.add("blank", ImageFault.BLANK, suffix=".png")
def _blank(rng: np.random.Generator) -> bytes:
    return saved(Image.fromarray(np.full((int(rng.integers(40, 90)), 50), int(rng.integers(0, 256)), np.uint8)), "PNG")


@PICTURES.add("sliver", ImageFault.TOO_SMALL, suffix=".png")
def _sliver(rng: np.random.Generator) -> bytes:
    sides = (int(rng.integers(1, 16)), int(rng.integers(1, 400)))
    return saved(Image.fromarray(rng.integers(0, 256, sides, dtype=np.uint8)), "PNG")


@PICTURES.add("jpeg-truncated", ImageFault.TRUNCATED, suffix=".jpg")
def _jpeg_cut(rng: np.random.Generator) -> bytes:
    data = jpeg(rng, progressive=bool(rng.integers(0, 2)))
    return data[: int(rng.integers(3, len(data) - 2))]


@PICTURES.add("jpeg-without-a-picture", ImageFault.CORRUPT, suffix=".jpg")
def _jpeg_bare(rng: np.random.Generator) -> bytes:
    return b"\xff\xd8\xff\xfe" + struct.pack(">H", 42) + rng.bytes(40).replace(b"\xff", b"\0") + b"\xff\xd9"


@PICTURES.add("jpeg-that-claims-a-bomb", ImageFault.TOO_LARGE, suffix=".jpg")
def _jpeg_claim(rng: np.random.Generator) -> bytes:
    data = jpeg(rng)
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", int(rng.integers(9_000, 65_536)), 65_535) + data[place + 4 :]


@PICTURES.add("jpeg-of-an-unread-kind", ImageFault.UNSUPPORTED_JPEG, suffix=".jpg")
def _jpeg_kind(rng: np.random.Generator) -> bytes:
    data = jpeg(rng)
    place = data.index(b"\xff\xc0") + 1
    return data[:place] + bytes([int(rng.choice([0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF]))]) + data[place + 1 :]


@PICTURES.add("jpeg-of-twelve-bits", ImageFault.UNSUPPORTED_JPEG, suffix=".jpg")
def _jpeg_deep(rng: np.random.Generator) -> bytes:
    data = jpeg(rng)
    place = data.index(b"\xff\xc0") + 4
    return data[:place] + b"\x0c" + data[place + 1 :]


@PICTURES.add("jpeg-of-thousands-of-passes", ImageFault.TOO_LARGE, suffix=".jpg")
def _jpeg_passes(rng: np.random.Generator) -> bytes:
    data = jpeg(rng, progressive=True)
    place = data.rindex(b"\xff\xda")
    return data[:place] + data[place:-2] * int(rng.integers(100, 2000)) + b"\xff\xd9"


@PICTURES.add("jpeg-with-a-second-picture", ImageFault.SEVERAL_FRAMES, suffix=".jpg")
def _jpeg_second(rng: np.random.Generator) -> bytes:
    return jpeg(rng) + jpeg(rng)


@PICTURES.add("jpeg-tables-damaged", ImageFault.CORRUPT, suffix=".jpg")
def _jpeg_tables(rng: np.random.Generator) -> bytes:
    data = bytearray(jpeg(rng))
    place = data.index(b"\xff\xc4") + 5
    data[place : place + 16] = bytes([255] * 16)
    return bytes(data)
