"""Good files of every format, damaged at random: a seed and a number give the same bytes on every machine."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable

import numpy as np

from tests.hostile.folders import HEADER
from tests.hostile.good import GOOD
from tests.hostile.tars import PACKERS, info, tarred
from tests.hostile.zips import Part, zipped

__all__ = ["FORMATS", "mutant"]

FORMATS = ("png", "jpeg", "dicom", "archive", "table")

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32_767, 32_768, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)
_WIDTHS = ("<H", ">H", "<I", ">I")


def mutant(seed: int, number: int) -> tuple[str, str, bytes]:
    """Format, the suffix of its files, and the bytes of one damaged file.

    Formats take turns. One thing, or a few, are done to a good file: bits flipped, bytes cut off, taken out, doubled or
    overwritten, a piece of another file put in, a length or number set to an edge. Every second PNG then gets right
    checksums again, so that damage reaches what lies behind them.
    """
    rng = np.random.default_rng([seed, number])
    form = FORMATS[number % len(FORMATS)]
    suffix, data = _pick(form, rng)
    for _ in range(min(6, int(rng.geometric(0.6)))):
        data = _CHANGES[int(rng.integers(len(_CHANGES)))](data, rng)
    if form == "png" and rng.integers(2):
        data = _mended(data)
    return form, suffix, data


@functools.cache
def _stock() -> dict[str, list[tuple[str, bytes]]]:
    """Files to damage, of each format."""
    rng = np.random.default_rng(0)
    stock: dict[str, list[tuple[str, bytes]]] = {form: [] for form in FORMATS}
    for name, (suffix, make) in GOOD.items():
        stock[name.split(" ", 1)[0]].append((suffix, make(rng)))
    pictures = [data for files in list(stock.values()) for _, data in files][:6]
    parts = [Part(name=b"caso-%d/rx-1.png" % number, data=data) for number, data in enumerate(pictures)]
    members = [(info(f"caso-{number}/rx-1.png"), data) for number, data in enumerate(pictures)]
    stock["archive"].append((".zip", zipped(parts, comment=b"a comment")))
    stock["archive"] += [(suffix, pack(tarred(members))) for suffix, pack in PACKERS.items()]
    rows = "".join(f'{n},caso-{n}/rx-1.png,"COVID-19, ARDS",PA,M,{n},https://x,"say ""yes"""\n' for n in range(30))
    stock["table"] += [(".csv", (HEADER + rows).encode()), (".csv", (HEADER + rows).replace("\n", "\r\n").encode())]
    return stock


def _pick(form: str, rng: np.random.Generator) -> tuple[str, bytes]:
    files = _stock()[form]
    return files[int(rng.integers(len(files)))]


def _place(data: bytes, rng: np.random.Generator) -> int:
    """Anywhere, one time in two within the first bytes, where headers are."""
    end = len(data) if rng.integers(2) else min(len(data), 400)
    return int(rng.integers(0, end + 1))


def _flip(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(min(20, int(rng.geometric(0.4))) if changed else 0):
        changed[min(_place(data, rng), len(data) - 1)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, len(data) + 1))] if rng.integers(3) == 0 else data


def _take_out(data: bytes, rng: np.random.Generator) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + int(rng.integers(1, 200)) :]


def _double(data: bytes, rng: np.random.Generator) -> bytes:
    place = _place(data, rng)
    piece = data[place : place + int(rng.integers(1, 400))]
    return data[:place] + piece * int(rng.integers(2, 20)) + data[place:]


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    place, noise = _place(data, rng), rng.bytes(int(rng.integers(1, 60)))
    return data[:place] + noise + data[place + len(noise) :]


def _splice(data: bytes, rng: np.random.Generator) -> bytes:
    _, other = _pick(FORMATS[int(rng.integers(len(FORMATS)))], rng)
    start, place = _place(other, rng), _place(data, rng)
    piece = other[start : start + int(rng.integers(1, 2000))]
    return data[:place] + piece + data[place + (len(piece) if rng.integers(2) else 0) :]


def _set_number(data: bytes, rng: np.random.Generator) -> bytes:
    width = _WIDTHS[int(rng.integers(len(_WIDTHS)))]
    size = struct.calcsize(width)
    place = _place(data, rng)
    value = (_EDGES[int(rng.integers(len(_EDGES)))] + int(rng.integers(-1, 2))) % 2 ** (8 * size)
    return data[:place] + struct.pack(width, value) + data[place + size :]


_CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    _flip,
    _cut,
    _take_out,
    _double,
    _overwrite,
    _splice,
    _set_number,
)


def _mended(data: bytes) -> bytes:
    """A PNG whose parts, as far as they can be walked, have the checksums they should."""
    mended, place = bytearray(data), len(_PNG_MAGIC)
    while data.startswith(_PNG_MAGIC) and place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            break
        mended[end - 4 : end] = struct.pack(">I", zlib.crc32(data[place + 4 : end - 4]))
        place = end
    return bytes(mended)
