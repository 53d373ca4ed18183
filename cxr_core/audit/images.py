"""The tables of a data version joined to one row an X-ray, each statement compared with the one before it.

Comes in: the bytes of records, cohort, split and store index. Goes out: ``TracedImage`` rows in the cohort's order, and
checks. The tables are parsed here and not by the stages' own readers: an audit does not lean on the code it audits.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

from cxr_core.audit.checks import Check, check_of
from cxr_core.digests import digest_bytes, digest_value

__all__ = [
    "Row",
    "TracedImage",
    "check_sources",
    "check_store",
    "link_images",
    "read_csv_rows",
    "read_json_rows",
    "read_listing",
]

Row = Mapping[str, Any]
Listing = list[tuple[str, int, str]]

_CARRIED = ("source", "sha256", "source_sha256", "label_provenance", "pixel_sha256")


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedImage:
    """One X-ray that a model was trained and judged on.

    Args:
        name: ``source:path`` in the source's own layout.
        source: One of the four.
        sha256: ``sha256:…`` of the file in the data version.
        source_sha256: ``sha256:…`` of the file at its source; another one where something that could name a person was
            taken out. Empty in data versions from before the two were told apart.
        label: Class slug.
        label_provenance: What the label rests on, e.g. ``rt_pcr``.
        group: Keyed digest shared by images of one patient or one picture.
        fold: The fold that tests it, from 0; ``holdout`` where the registered model alone is tested on it; None where
            nothing is.
    """

    name: str
    source: str
    sha256: str
    source_sha256: str
    label: str
    label_provenance: str
    group: str
    fold: int | Literal["holdout"] | None

    def as_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return asdict(self)


def read_csv_rows(data: bytes) -> list[Row]:
    """Rows of a CSV file with a header.

    Raises:
        ValueError: It is not UTF-8, or a row has another number of cells than the header.
    """
    rows: list[Row] = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("rows of different length")
    return rows


def read_json_rows(data: bytes) -> list[Row]:
    """Rows of a file with one JSON object a line.

    Raises:
        ValueError: A line is not a JSON object in UTF-8.
    """
    rows = [json.loads(line) for line in data.decode("utf-8").splitlines()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line is not an object")
    return rows


def read_listing(data: bytes) -> Listing:
    """Rows of a source's listing: path, bytes and digest of each file that its pin is the digest of.

    Raises:
        ValueError: A line is no such row in UTF-8.
    """
    rows = [json.loads(line) for line in data.decode("utf-8").splitlines()]
    if not all(isinstance(row, list) and [type(cell) for cell in row] == [str, int, str] for row in rows):
        raise ValueError("a line is not path, bytes and digest")
    return [(row[0], row[1], row[2]) for row in rows]


def check_sources(records: Sequence[Row], *, listings: Mapping[str, Listing], pins: Mapping[str, str]) -> Check:
    """Compare what each record says of its file at the source with the listing, and each listing with its pin.

    Data versions from before listings were kept hold none, and their records no digest of the source's file.
    """
    faults = [
        f"{source}: the listing's digest is {found}, the pin says {pins.get(source, 'nothing')}"
        for source, rows in listings.items()
        if (found := digest_value(rows)) != pins.get(source)
    ]
    listed = {source: {path: sha256 for path, _, sha256 in rows} for source, rows in listings.items()}
    told = [row for row in records if "source_sha256" in row]
    faults += [
        f"{row.get('name')}: its file at the source is {row.get('source_sha256')}, the listing has {found or 'none'}"
        for row in told
        if (found := listed.get(str(row.get("source")), {}).get(str(row.get("path")))) != row.get("source_sha256")
    ]
    return check_of(
        "sources", faults, otherwise=f"{len(told)} records name files of {len(listings)} listings, which are the pins'"
    )


def link_images(
    cohort: Sequence[Row], *, records: Sequence[Row], split: Sequence[Row]
) -> tuple[tuple[TracedImage, ...], list[Check]]:
    """Join cohort rows with their records and folds.

    Returns:
        Images in cohort order (an image without a fold is left out and named by a check), and two checks.
    """
    of_record, of_split = _by_name(records), _by_name(split)
    record_faults = _twice(records, "record") + _twice(cohort, "cohort row")
    split_faults = _twice(split, "split row")
    images: list[TracedImage] = []
    for row in cohort:
        name = str(row.get("name"))
        record_faults += _differences(name, row, of_record.get(name), _CARRIED, "record")
        found = of_split.get(name)
        differing = _differences(name, row, found, ("sha256", "label", "group"), "split row")
        split_faults += differing
        if found is None:
            continue
        try:
            fold = _fold_of(found)
        except ValueError as error:
            split_faults.append(f"{name}: {error}")
            continue
        keys = ("source", "sha256", "source_sha256", "label", "label_provenance", "group")
        words = {key: str(row.get(key, "")) for key in keys}
        images.append(TracedImage(name=name, fold=fold, **words))
    known = {str(row.get("name")) for row in cohort}
    split_faults += [f"{name}: in the split, not in the cohort" for name in of_split if name not in known]
    checks = [
        check_of("records", record_faults, otherwise=f"{len(cohort)} cohort rows say what their records say"),
        check_of("folds", split_faults, otherwise=_fates(images)),
    ]
    return tuple(images), checks


def _fold_of(row: Row) -> int | Literal["holdout"] | None:
    """The fold that tests a row of the split, and the same by its role in each fold.

    Raises:
        ValueError: It says neither, or the two differ.
    """
    said = str(row.get("fold", ""))
    roles = {key.removeprefix("fold_"): str(role) for key, role in row.items() if key.startswith("fold_")}
    tests = [fold for fold, role in roles.items() if role == "test"]
    if "holdout" in roles.values():
        if said == "holdout" and set(roles.values()) == {"holdout"}:
            return "holdout"
    # Splits of schema 1 have no roles: there each row is tested by one fold.
    elif tests == [said] or (not roles and said.isdecimal()):
        return int(said)
    elif said == "none" and roles and not tests:
        return None
    raise ValueError(f"no fold, or another than its roles say: fold {said!r}, roles {roles}")


def _fates(images: Sequence[TracedImage]) -> str:
    held, untested = sum(image.fold == "holdout" for image in images), sum(image.fold is None for image in images)
    words = [f"{len(images) - held - untested} images are tested by one fold each"]
    words += [f"{held} are held out of all"] if held else []
    words += [f"{untested} are tested by none"] if untested else []
    return ", ".join(words)


def check_store(cohort: Sequence[Row], *, index: Sequence[Row], images: BinaryIO) -> Check:
    """Compare the packed store with the cohort: row i is cohort row i, and its bytes have the digest the index states.

    Args:
        cohort: Cohort rows.
        index: Rows of the store's index.
        images: The npy file, uint8 (N, S, S); read row by row.
    """
    faults: list[str] = []
    for number, row in enumerate(cohort):
        found = index[number] if number < len(index) else {}
        faults += [
            f"{row.get('name')}: store row {number} has {key} {found.get(key)!r}"
            for key in ("name", "sha256")
            if found.get(key) != row.get(key)
        ]
    shape = _npy_shape(images)
    if shape is None or len(shape) != 3 or shape[0] != len(index) or len(index) != len(cohort):
        faults.append(f"the store holds an array of shape {shape}, {len(index)} index rows, {len(cohort)} cohort rows")
    else:
        faults += [
            f"{row.get('name')}: its pixels in the store differ from the index"
            for row in index
            if digest_bytes(images.read(shape[1] * shape[2])) != row.get("tensor_sha256")
        ]
        if images.read(1):
            faults.append("the store's file goes on after its last row")
    return check_of("store", faults, otherwise=f"{len(cohort)} rows in the cohort's order, each with its digest")


def _npy_shape(images: BinaryIO) -> tuple[int, ...] | None:
    """Shape of a uint8 array in C order, the stream then standing at its first byte; None for anything else."""
    try:
        if np.lib.format.read_magic(images) != (1, 0):
            return None
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(images)
    except ValueError:
        return None
    return shape if dtype == np.uint8 and not fortran else None


def _by_name(rows: Sequence[Row]) -> dict[str, Row]:
    return {str(row.get("name")): row for row in rows}


def _twice(rows: Sequence[Row], kind: str) -> list[str]:
    seen: set[str] = set()
    faults: list[str] = []
    for row in rows:
        name = str(row.get("name"))
        if name in seen:
            faults.append(f"{name}: more than one {kind}")
        seen.add(name)
    return faults


def _differences(name: str, row: Row, other: Row | None, keys: Sequence[str], kind: str) -> list[str]:
    if other is None:
        return [f"{name}: no {kind}"]
    return [
        f"{name}: {key} is {row.get(key)!r} in the cohort, {other.get(key)!r} in its {kind}"
        for key in keys
        if row.get(key) != other.get(key)
    ]
