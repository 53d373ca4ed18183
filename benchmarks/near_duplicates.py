"""Recall and precision of near-duplicates between sirm/ and github/ of a folder of mirrors, by each page's address.

    python benchmarks/near_duplicates.py [FOLDER] [--json] [--max-hamming 8] [--min-correlation 0.97]
                                         [--recall 0.98] [--precision 0.99]

FOLDER is ``CXR_SOURCES`` where it is not given. The bounds are those of params.yaml where they are not given.

Truth comes from the tables and from equal pixels, never from what is measured here:

- twin: both tables name the page that a picture is from, and list a page's X-rays in the page's order; where they list
  equally many, the k-th of SIRM is the k-th of GitHub. Other pictures have no known twin and are not counted.
- recall: the share of SIRM's pictures with a known twin that stand in one cluster with it.
- precision: of the pairs (a SIRM picture with a known twin, any GitHub picture) in one cluster, the share that is
  right. Right are twins; two pictures of one page (pages show a film twice, cropped anew); and a film that was
  published as two cases, where within one source the two cases' pictures are equal pixel by pixel.

The strictest reading, which takes only pairs of one address for right, is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import Source
from cxr_core.curate.duplicates import find_joins
from cxr_core.curate.groups import components, same_value_edges
from cxr_core.digests import digest_bytes
from cxr_core.imaging.decode import decode
from cxr_core.imaging.hashing import perceptual_hash, pixel_digest, thumbnail
from cxr_core.ingest import github, sirm
from cxr_core.ingest.layout import Tree
from cxr_core.ingest.listing import list_source
from cxr_core.params import read_params
from cxr_core.stats.intervals import wilson

_PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One X-ray of one of the two sources; ``page`` is the address that its table gives."""

    source: Source
    path: str
    page: str
    sha256: str
    pixel_sha256: str
    phash: int
    thumbnail: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def name(self) -> str:
        """``source:path``."""
        return f"{self.source}:{self.path}"


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and compare with the limits."""
    options = _options(argv)
    pictures = [*read_pictures("sirm", options.folder), *read_pictures("github", options.folder)]
    bounds = read_params(_PARAMS.read_text(encoding="utf-8")).curate
    report = measure(
        pictures,
        max_hamming=bounds.max_hamming if options.max_hamming is None else options.max_hamming,
        min_correlation=bounds.min_correlation if options.min_correlation is None else options.min_correlation,
    )
    report["ok"] = (report["recall"]["value"] or 0) >= options.recall
    report["ok"] &= (report["precision"]["value"] or 0) >= options.precision
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def read_pictures(source: Source, mirrors: Path) -> list[Picture]:
    """The X-rays of a source in the order of its table."""
    root = mirrors / source
    tree = Tree(source=source, root=root, listing=list_source(root))
    layout = (sirm if source == "sirm" else github).read(tree)
    xrays = [candidate for candidate in layout.candidates if candidate.modality.casefold() == "x-ray"]

    def picture(path: str, page: str) -> Picture:
        data = (root / path).read_bytes()
        pixels = decode(data).pixels
        return Picture(
            source=source,
            path=path,
            page=page.strip().rstrip("/"),
            sha256=digest_bytes(data),
            pixel_sha256=pixel_digest(pixels),
            phash=perceptual_hash(pixels),
            thumbnail=thumbnail(pixels),
        )

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        return list(threads.map(picture, [c.path for c in xrays], [c.origin_url for c in xrays]))


def measure(pictures: Sequence[Picture], *, max_hamming: int, min_correlation: float) -> dict[str, Any]:
    """Cluster the pictures as curate does, and hold that against the truth."""
    joins = find_joins(
        [picture.sha256 for picture in pictures],
        [picture.pixel_sha256 for picture in pictures],
        np.array([picture.phash for picture in pictures], dtype=np.uint64),
        np.stack([picture.thumbnail for picture in pictures]),
        max_hamming=max_hamming,
        min_correlation=min_correlation,
    )
    cluster = components(len(pictures), [(join.first, join.second) for join in joins])
    twins = known_twins(pictures)
    one_film = _films(pictures, twins)
    of_github = [row for row, picture in enumerate(pictures) if picture.source == "github"]
    kinds: Counter[str] = Counter()
    wrong: list[list[str]] = []
    for row in twins:
        for other in (other for other in of_github if cluster[other] == cluster[row]):
            kind = _kind(pictures, twins, one_film, row, other)
            kinds[kind] += 1
            if kind == "wrong":
                wrong.append([pictures[row].name, pictures[other].name])
    found = sum(int(cluster[row] == cluster[twin]) for row, twin in twins.items())
    accepted = sum(kinds.values())
    return {
        "schema": 1,
        "benchmark": "near_duplicates",
        "settings": {"max_hamming": max_hamming, "min_correlation": min_correlation},
        "pictures": dict(Counter(picture.source for picture in pictures)),
        "twins_known": len(twins),
        "twins_missed": [pictures[row].name for row, twin in twins.items() if cluster[row] != cluster[twin]],
        "pairs_accepted": accepted,
        "pairs_by_kind": {kind: kinds[kind] for kind in ("twin", "same_page", "equal_pixels", "wrong")},
        "wrong": wrong,
        "recall": _share(found, len(twins)),
        "precision": _share(accepted - kinds["wrong"], accepted),
        "precision_by_address_alone": _share(kinds["twin"] + kinds["same_page"], accepted),
    }


def known_twins(pictures: Sequence[Picture]) -> dict[int, int]:
    """SIRM's rows to GitHub's, where both list as many X-rays of the page."""
    pages: dict[Source, dict[str, list[int]]] = {"sirm": defaultdict(list), "github": defaultdict(list)}
    for row, picture in enumerate(pictures):
        if picture.page:
            pages[picture.source][picture.page].append(row)
    return {
        row: twin
        for page, rows in pages["sirm"].items()
        if len(rows) == len(pages["github"].get(page, []))
        for row, twin in zip(rows, pages["github"][page], strict=True)
    }


def _films(pictures: Sequence[Picture], twins: Mapping[int, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """What the tables and equal pixels say is one film, (N,): nothing here was measured."""
    return components(len(pictures), [*twins.items(), *same_value_edges([one.pixel_sha256 for one in pictures])])


def _kind(
    pictures: Sequence[Picture],
    twins: Mapping[int, int],
    films: np.ndarray[Any, np.dtype[np.int64]],
    row: int,
    other: int,
) -> str:
    if twins[row] == other:
        return "twin"
    if pictures[row].page == pictures[other].page:
        return "same_page"
    return "equal_pixels" if films[row] == films[other] else "wrong"


def _share(k: int, n: int) -> dict[str, Any]:
    """With Wilson's 95 % interval; None where there is nothing to count."""
    held = wilson(k, n, confidence=0.95) if n else None
    return {
        "value": k / n if n else None,
        "k": k,
        "n": n,
        "low": held.low if held else None,
        "high": held.high if held else None,
    }


def _words(report: dict[str, Any]) -> str:
    kinds, settings = report["pairs_by_kind"], report["settings"]
    lines = [
        f"{report['pictures'].get('sirm', 0)} X-rays in sirm/, {report['pictures'].get('github', 0)} in github/; "
        f"{report['twins_known']} have a twin that the pages' addresses name",
        f"near: at most {settings['max_hamming']} of 64 bits, r at least {settings['min_correlation']}",
        f"{report['pairs_accepted']} pairs accepted: {kinds['twin']} twins, {kinds['same_page']} others of one page, "
        f"{kinds['equal_pixels']} of one film published as two cases, {kinds['wrong']} wrong",
    ]
    for name in ("recall", "precision", "precision_by_address_alone"):
        share = report[name]
        value = "none" if share["value"] is None else f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
        lines.append(f"{name.replace('_', ' '):27} {value}  {share['k']} of {share['n']}")
    lines += [f"missed: {name}" for name in report["twins_missed"]]
    lines += [f"wrong: {one} and {other}" for one, other in report["wrong"]]
    return "\n".join([*lines, "within the limits" if report["ok"] else "NOT within the limits"])


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("CXR_SOURCES")
    parser.add_argument(
        "folder", type=Path, nargs="?" if shared else None, default=shared and Path(shared), help="holds sirm/, github/"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--max-hamming", type=int, help="bits that may differ")
    parser.add_argument("--min-correlation", type=float, help="smallest Pearson's r")
    parser.add_argument("--recall", type=float, default=0.98, help="exit 1 where recall is less")
    parser.add_argument("--precision", type=float, default=0.99, help="exit 1 where precision is less")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
