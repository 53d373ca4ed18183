"""What ingest leaves of a source: records, exclusions, quarantine.

Laws: every image file of a source is exactly one record, one exclusion with a digest, or one quarantined file; a name
stands once in the three tables together; ``from_dict(as_dict(x)) == x``; tables are sorted by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from cxr_core.classes import Source
from cxr_core.errors import SourceError
from cxr_core.files import read_jsonl, write_jsonl

__all__ = [
    "Exclusion",
    "LabelProvenance",
    "Quarantined",
    "Record",
    "image_name",
    "read_exclusions",
    "read_quarantine",
    "read_records",
    "write_rows",
]

LabelProvenance = Literal["rt_pcr", "radiologist", "case_report", "file_name"]

_SCHEMA = 2


class _Row:
    """A line of a JSONL table: its fields, and the schema's version."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the schema's version."""
        # Fields are plain values: `asdict`, which copies each of them deeply, took most of the time a table takes.
        return {"schema": _SCHEMA, **{name: getattr(self, name) for name in _names(type(self))}}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The row that ``as_dict`` wrote.

        Raises:
            SourceError: Another schema, or other fields.
        """
        names = _names(cls)
        expected = {"schema", *names}
        if row.get("schema") != _SCHEMA or set(row) != expected:
            raise SourceError(
                f"Expected a {cls.__name__} of schema {_SCHEMA}; keys that differ: {sorted(expected ^ set(row))}, "
                f"schema found: {row.get('schema')!r}.",
                reason="bad_record",
                hint="Run the ingest stage again.",
            )
        return cls(**{name: row[name] for name in names})


@cache
def _names(kind: type[_Row]) -> tuple[str, ...]:
    """Asked for each line of a table: dataclasses would look through all fields each time."""
    return tuple(field.name for field in fields(kind))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record(_Row):
    """One usable image, as its source describes it.

    Attributes:
        name: ``source:path``.
        source: Which of the four.
        path: POSIX, relative to the source's folder.
        sha256: ``sha256:<hex>`` of the file kept under ``files/``.
        bytes: Size of that file.
        source_sha256: ``sha256:<hex>`` of the file in the source's listing, which its pin is the digest of; another one
            where something that could name a person was taken out.
        finding: The source's own words, trimmed.
        modality: The source's own word, e.g. ``X-ray`` or ``CT``; a DICOM file's CR, DX and RG are ``X-ray``.
        view: ``PA``, ``AP``, ``AP Supine``, ``L`` ... as the source writes it; empty where unknown.
        patient: Keyed digest of ``source:id``; the raw id is nowhere.
        sex: ``M``, ``F`` or empty.
        age_years: [0, 120], or None.
        origin_url: Where the source says the image is from; empty where it does not.
        licence: As the source states it for this image; empty where it does not.
        label_provenance: What the finding rests on.
        width: Pixels of the upright original.
        height: Pixels of the upright original.
        mode: Pillow's mode, or the DICOM photometric interpretation.
        pixel_sha256: ``sha256:<hex>`` of the decoded grey pixels and their shape.
        phash: 16 hex digits, the perceptual hash.
        synthetic: Whether the image is a phantom.
    """

    name: str
    source: Source
    path: str
    sha256: str
    bytes: int
    source_sha256: str
    finding: str
    modality: str
    view: str
    patient: str
    sex: str
    age_years: float | None
    origin_url: str
    licence: str
    label_provenance: LabelProvenance
    width: int
    height: int
    mode: str
    pixel_sha256: str
    phash: str
    synthetic: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion(_Row):
    """A file or a metadata row that is no usable image by nature.

    Attributes:
        name: ``source:path`` of a file; ``source:table#row`` of a row (rows count from 1, without the header).
        path: The file, or the file that the row names, as the row writes it.
        sha256: ``sha256:<hex>`` of the file; None where a row is meant.
        reason: An ``IngestFault``.
        detail: What was found, in words.
    """

    name: str
    path: str
    sha256: str | None
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined(_Row):
    """An image file whose bytes cannot be used; they lie in this machine's quarantine, ``<source>/<hex of sha256>``.

    Attributes:
        name: ``source:path``.
        path: POSIX, relative to the source's folder.
        sha256: ``sha256:<hex>`` as in the source's listing.
        bytes: Size.
        reason: An ``ImageFault``, or ``decoder_died``.
        detail: What was found, in words.
    """

    name: str
    path: str
    sha256: str
    bytes: int
    reason: str
    detail: str


def image_name(source: Source, path: str) -> str:
    """How an image is called everywhere: ``source:path``."""
    return f"{source}:{path}"


def write_rows(path: Path, rows: Iterable[Record] | Iterable[Exclusion] | Iterable[Quarantined]) -> None:
    """Write a table, sorted by name, one JSON object a line."""
    write_jsonl(path, [row.as_dict() for row in sorted(rows, key=lambda row: row.name)])


def read_records(path: Path) -> list[Record]:
    """Read ``records.jsonl``.

    Raises:
        SourceError: A line has another schema.
    """
    return [Record.from_dict(row) for row in read_jsonl(path)]


def read_exclusions(path: Path) -> list[Exclusion]:
    """Read ``exclusions.jsonl``.

    Raises:
        SourceError: A line has another schema.
    """
    return [Exclusion.from_dict(row) for row in read_jsonl(path)]


def read_quarantine(path: Path) -> list[Quarantined]:
    """Read ``quarantine.jsonl``.

    Raises:
        SourceError: A line has another schema.
    """
    return [Quarantined.from_dict(row) for row in read_jsonl(path)]
