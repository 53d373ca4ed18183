"""Sources that are refused as a whole: folders, and tables in them, with one thing wrong each.

All are SIRM's layout, ``cases.csv`` and pictures beside it, with one good picture.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr_core.ingest.faults import SourceFault
from tests.hostile.pictures import png
from tests.hostile.zips import word

HEADER = "case,file,finding,view,sex,age,url,license\n"
ROW = "1,caso-01/rx-1.png,COVID-19,PA,M,60,,\n"
GIGABYTE = 1_000_000_000

Build = Callable[[Path, np.random.Generator], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderKind:
    """A way in which a whole source is hostile; ``build`` makes it in a folder that is there."""

    name: str
    reason: str
    build: Build


FOLDERS: dict[str, FolderKind] = {}


def _folder(name: str, fault: SourceFault) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        FOLDERS[name] = FolderKind(name=name, reason=fault.value, build=build)
        return build

    return register


def _table(name: str, fault: SourceFault, make: Callable[[np.random.Generator], bytes]) -> None:
    @_folder(name, fault)
    def build(folder: Path, rng: np.random.Generator) -> None:
        _fill(folder, rng, make(rng))


def _fill(folder: Path, rng: np.random.Generator, table: bytes) -> None:
    (folder / "caso-01").mkdir(parents=True)
    (folder / "caso-01" / "rx-1.png").write_bytes(png(rng))
    (folder / "cases.csv").write_bytes(table)


def _good(rng: np.random.Generator) -> bytes:
    return (HEADER + ROW + f"2,caso-02/{word(rng)}.png,COVID-19,AP,F,50,,\n").encode()


_table(
    "table-with-other-columns",
    SourceFault.MISSING_COLUMNS,
    lambda rng: f"name,{word(rng)},diagnosis\na.png,1,flu\n".encode(),
)
_table("table-without-a-row", SourceFault.MISSING_COLUMNS, lambda _rng: b"")
_table(
    "web-page-named-csv",
    SourceFault.MISSING_COLUMNS,
    lambda rng: f"<!doctype html>\n<html><p>{word(rng)}, sign in\n</html>\n".encode(),
)
_table(
    "table-with-a-column-twice",
    SourceFault.DUPLICATE_COLUMNS,
    lambda rng: (HEADER.strip() + "," + str(rng.choice(["finding", " FILE", "Case "])) + "\n" + ROW).encode(),
)
_table("table-with-nul-bytes", SourceFault.BAD_TABLE, lambda rng: _good(rng) + b"3,caso-03/a\0.png,x,PA,M,1,,\n")
_table("table-in-utf-16", SourceFault.BAD_TABLE, lambda rng: _good(rng).decode().encode("utf-16"))
_table("picture-named-csv", SourceFault.BAD_TABLE, png)
_table(
    "table-with-an-unclosed-quote",
    SourceFault.BAD_TABLE,
    lambda rng: (HEADER + '9,"caso-09/x.png,COVID-19,PA,M,60,,\n' + ROW * int(rng.integers(1, 40))).encode(),
)
_table(
    "table-with-a-huge-cell",
    SourceFault.BAD_TABLE,
    lambda rng: (HEADER + ROW + f'2,"{word(rng) * 30_000}",COVID-19,PA,M,1,,\n').encode(),
)
_table(
    "table-that-unfolds",
    SourceFault.TABLE_TOO_LARGE,
    # Few bytes; as rows with every column they would be a hundred million cells.
    lambda rng: (HEADER.strip() + "".join(f",{word(rng)}{n}" for n in range(2_000)) + "\n" + "1\n" * 50_000).encode(),
)


@_folder("table-with-a-cell-of-one-gigabyte", SourceFault.TABLE_TOO_LARGE)
def _gigabyte(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, HEADER.encode() + b'1,"')
    # A hole: as long as any file of that size, and quick to make.
    os.truncate(folder / "cases.csv", GIGABYTE)


@_folder("no-table", SourceFault.LAYOUT_NOT_FOUND)
def _no_table(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, b"")
    (folder / "cases.csv").unlink()


@_folder("symlink-to-a-file", SourceFault.NOT_A_PLAIN_FILE)
def _link(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    (folder / "caso-01" / f"{word(rng)}.png").symlink_to("/etc/passwd")


@_folder("symlink-to-a-folder", SourceFault.NOT_A_PLAIN_FILE)
def _link_to_folder(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    (folder / word(rng)).symlink_to("/")


@_folder("pipe", SourceFault.NOT_A_PLAIN_FILE)
def _pipe(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    os.mkfifo(folder / "caso-01" / f"{word(rng)}.png")


@_folder("name-that-is-no-unicode", SourceFault.UNREADABLE_NAME)
def _name(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    (folder / os.fsdecode(b"\xff\xfe" + word(rng).encode())).write_bytes(b"x")


@_folder("name-with-a-line-break", SourceFault.UNREADABLE_NAME)
def _break(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    (folder / f"{word(rng)}\n.png").write_bytes(b"x")


@_folder("folders-too-deep", SourceFault.TOO_DEEP)
def _deep(folder: Path, rng: np.random.Generator) -> None:
    _fill(folder, rng, _good(rng))
    deep = folder.joinpath(*["d"] * int(rng.integers(40, 300)))
    deep.mkdir(parents=True)
    (deep / "rx-1.png").write_bytes(png(rng))


@_folder("empty", SourceFault.SOURCE_EMPTY)
def _empty(_folder: Path, _rng: np.random.Generator) -> None:
    pass
