"""What a source said of each image at one revision: kept on this machine, so that a later version can be compared.

In: a listed source. Out: a row a file, with path, size, digest and the source's finding; no patient, no other metadata.
Laws: a catalogue's rows are its revision's files, and reading one back proves it (the digest of the rows is the
revision); ``read_catalogue(write_catalogue(x)) == x``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxr_core.digests import digest_value
from cxr_core.errors import SourceError
from cxr_core.files import read_jsonl, write_jsonl
from cxr_core.ingest.connectors import CONNECTORS
from cxr_core.ingest.layout import Tree

__all__ = ["Catalogue", "CatalogueRow", "catalogue_of", "read_catalogue", "write_catalogue"]

# Raised when a connector comes to say something else of the same bytes: an old catalogue then compares to nothing.
_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueRow:
    """One file of a source.

    Attributes:
        path: POSIX, relative to the source's folder.
        bytes: Size.
        sha256: ``sha256:<hex>``.
        finding: The source's own words about an image, trimmed; empty for one that is excluded by nature; None for a
            file that is no image by its name (a table, a text).
        excluded: The ``IngestFault`` of an image that is excluded by nature, else empty.
    """

    path: str
    bytes: int
    sha256: str
    finding: str | None
    excluded: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Every file of a source, sorted by path."""

    rows: tuple[CatalogueRow, ...]

    @property
    def revision(self) -> str:
        """The revision of the listing that these are the files of."""
        return digest_value([[row.path, row.bytes, row.sha256] for row in self.rows])


def catalogue_of(tree: Tree) -> Catalogue:
    """What a listed source says of each of its images; no image is decoded.

    Raises:
        SourceError: The source has another layout than its published one.
    """
    layout = CONNECTORS[tree.source](tree)
    findings = {candidate.path: candidate.finding for candidate in layout.candidates}
    faults = {one.path: one.reason for one in layout.exclusions if one.sha256 is not None}
    rows = [
        CatalogueRow(
            path=entry.path,
            bytes=entry.bytes,
            sha256=entry.sha256,
            finding=findings.get(entry.path, "") if entry.is_image else None,
            excluded=faults.get(entry.path, ""),
        )
        for entry in tree.listing.entries
    ]
    return Catalogue(rows=tuple(rows))


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    """Write a catalogue, one JSON object a line, whole or not at all."""
    write_jsonl(path, [{"schema": _SCHEMA, **asdict(row)} for row in catalogue.rows])


def read_catalogue(path: Path, *, revision: str) -> Catalogue:
    """Read a catalogue and prove that it is this revision's.

    Raises:
        SourceError: The file is no catalogue of this schema, or its rows are another revision's (``bad_catalogue``).
    """
    try:
        catalogue = Catalogue(rows=tuple(_row(line) for line in read_jsonl(path)))
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError) as error:
        raise _refusal(path, f"expected rows of schema {_SCHEMA}, found {' '.join(str(error).split())}") from error
    if catalogue.revision != revision:
        raise _refusal(path, f"expected the files of {revision}, found those of {catalogue.revision}")
    return catalogue


def _row(line: Any) -> CatalogueRow:
    if not isinstance(line, Mapping) or line.get("schema") != _SCHEMA:
        raise ValueError(f"{str(line)[:80]!r}")
    return CatalogueRow(**{key: value for key, value in line.items() if key != "schema"})


def _refusal(path: Path, fault: str) -> SourceError:
    return SourceError(f"{path}: {fault}.", reason="bad_catalogue", hint=f"Remove it: rm {path}")
