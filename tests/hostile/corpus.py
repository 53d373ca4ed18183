"""The whole hostile corpus from a seed: files of every kind, good ones among them, and what must come of each.

Pictures lie in one SIRM folder, good and hostile under names that tell nothing; the good ones are brought by archives
of several kinds. Rows of the table are hostile too. Hostile archives, and sources that are hostile as a whole, lie by
themselves.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cxr_core.ingest.faults import IngestFault
from tests.hostile.dicoms import DICOMS
from tests.hostile.folders import FOLDERS, HEADER
from tests.hostile.good import FILMS, GOOD
from tests.hostile.kinds import Kinds
from tests.hostile.pictures import PICTURES
from tests.hostile.tars import PACKERS, TARS, info, tarred
from tests.hostile.zips import ZIPS, Part, zipped

__all__ = ["KINDS", "Corpus", "Expected", "make_corpus", "read_corpus"]

IMAGES = Kinds(PICTURES | DICOMS)
ARCHIVES = Kinds(ZIPS | TARS)
KINDS = len(IMAGES) + len(ARCHIVES) + len(FOLDERS)

_PLAN = "plan.json"
_FINDING = "COVID-19"
_FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1:A9)", "<script>alert(1)</script>", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A hostile file or source: what is wrong with it, where it lies, and the reason it must get."""

    kind: str
    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """What lies where under a root.

    Attributes:
        good: Paths of good pictures in the source.
        images: Hostile pictures in the source, by their paths there.
        rows: Hostile rows of its table, by their numbers.
        archives: Hostile archives, by their paths under the root.
        folders: Hostile sources, likewise.
        deliveries: Good archives, which together hold the good pictures.
    """

    good: tuple[str, ...]
    images: tuple[Expected, ...]
    rows: tuple[Expected, ...]
    archives: tuple[Expected, ...]
    folders: tuple[Expected, ...]
    deliveries: tuple[str, ...]

    @property
    def hostile(self) -> int:
        """How many files and sources must be refused, rows of a table not counted."""
        return len(self.images) + len(self.archives) + len(self.folders)


def make_corpus(root: Path, *, seed: int, hostile: int, good: int, films: bool) -> Corpus:
    """Write a corpus under a folder: at least one file of each kind, then more of pictures and archives in turn.

    ``films`` of 64 million pixels are among the good ones where asked for.
    """
    rng = np.random.default_rng(seed)
    pictures, archives = _counts(hostile)
    source = root / "sources" / "sirm"
    folders = [_folder(root, name, rng) for name in FOLDERS]
    hostile_archives = [_archive(root, number, rng) for number in range(archives)]
    images = [_image(source, number, rng) for number in range(pictures)]
    paths, deliveries = _deliveries(root, rng, good, films=films)
    rows = _table(source, rng, [*paths, *(image.path for image in images)])
    corpus = Corpus(
        good=tuple(paths),
        images=tuple(images),
        rows=tuple(rows),
        archives=tuple(hostile_archives),
        folders=tuple(folders),
        deliveries=tuple(deliveries),
    )
    (root / _PLAN).write_text(json.dumps(asdict(corpus)), encoding="utf-8")
    return corpus


def read_corpus(root: Path) -> Corpus:
    """What ``make_corpus`` wrote."""
    plan = json.loads((root / _PLAN).read_text(encoding="utf-8"))
    expected = {key: tuple(Expected(**row) for row in plan[key]) for key in ("images", "rows", "archives", "folders")}
    return Corpus(**expected, good=tuple(plan["good"]), deliveries=tuple(plan["deliveries"]))


def _counts(hostile: int) -> tuple[int, int]:
    """Pictures and archives: one of each kind, the rest two to one."""
    more = max(0, hostile - KINDS)
    return len(IMAGES) + more - more // 3, len(ARCHIVES) + more // 3


def _image(source: Path, number: int, rng: np.random.Generator) -> Expected:
    kind = list(IMAGES.values())[number % len(IMAGES)]
    path = f"caso-{number + 1:04d}/rx-9{kind.suffix}"
    (source / path).parent.mkdir(parents=True, exist_ok=True)
    (source / path).write_bytes(kind.make(rng))
    return Expected(kind=kind.name, path=path, reason=kind.reason)


def _archive(root: Path, number: int, rng: np.random.Generator) -> Expected:
    kind = list(ARCHIVES.values())[number % len(ARCHIVES)]
    path = f"archives/{number:04d}{kind.suffix}"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(kind.make(rng))
    return Expected(kind=kind.name, path=path, reason=kind.reason)


def _folder(root: Path, name: str, rng: np.random.Generator) -> Expected:
    kind = FOLDERS[name]
    # A folder of folders by source, as `CXR_SOURCES` is.
    path = f"folders/{name}/sirm"
    (root / path).mkdir(parents=True)
    kind.build(root / path, rng)
    return Expected(kind=name, path=path, reason=kind.reason)


def _deliveries(root: Path, rng: np.random.Generator, good: int, *, films: bool) -> tuple[list[str], list[str]]:
    """The good pictures, in as many archives as there are ways to pack."""
    large = list(FILMS.values()) if films else []
    makers = [*large, *itertools.islice(itertools.cycle(GOOD.values()), good - len(large))]
    files: dict[str, bytes] = {}
    for number, (suffix, make) in enumerate(makers):
        files[f"caso-{5000 + number:04d}/rx-1{suffix}"] = make(rng)
    packers = {".zip": _zip, **{suffix: (lambda part, pack=pack: pack(_tar(part))) for suffix, pack in PACKERS.items()}}
    deliveries: list[str] = []
    for place, (suffix, pack) in enumerate(packers.items()):
        part = dict(list(files.items())[place :: len(packers)])
        path = f"deliveries/{place}{suffix}"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(pack(part))
        deliveries.append(path)
    return list(files), deliveries


def _zip(files: dict[str, bytes]) -> bytes:
    return zipped([Part(name=name.encode(), data=data) for name, data in files.items()])


def _tar(files: dict[str, bytes]) -> bytes:
    return tarred([(info(name), data) for name, data in files.items()])


def _table(source: Path, rng: np.random.Generator, paths: list[str]) -> list[Expected]:
    """``cases.csv``: every picture's row, formulas and scripts in their cells, and rows that no picture has."""
    cells = [
        [f"c{number}", path, _FINDING, "PA", "M", "50", str(rng.choice(_FORMULAS)), str(rng.choice(_FORMULAS))]
        for number, path in enumerate(paths)
    ]
    bad = {
        "../../etc/passwd": IngestFault.UNSAFE_PATH,
        "/etc/passwd": IngestFault.UNSAFE_PATH,
        "C:\\rx.png": IngestFault.UNSAFE_PATH,
        "caso-0001\\..\\x.png": IngestFault.UNSAFE_PATH,
        "caso-0001/x\x1b[2J.png": IngestFault.UNSAFE_PATH,
        "": IngestFault.UNSAFE_PATH,
        "x" * 100_000: IngestFault.FILE_MISSING,
        "caso-0001/nowhere.png": IngestFault.FILE_MISSING,
        "cases.csv": IngestFault.NOT_AN_IMAGE_FILE,
        paths[0]: IngestFault.DUPLICATE_ROW,
        f"./{paths[1]}": IngestFault.DUPLICATE_ROW,
    }
    rows: list[Expected] = []
    for path, fault in bad.items():
        cells.append(["c0", path, _FINDING, "PA", "M", "50", "", ""])
        rows.append(Expected(kind="row", path=f"sirm:cases.csv#{len(cells)}", reason=fault.value))
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([HEADER.strip().split(","), *cells])
    (source / "cases.csv").write_text(out.getvalue(), encoding="utf-8")
    return rows
