"""What a connector makes of a source: each image file once, as a candidate or an exclusion.

A connector is a pure reader of its published layout: tree in, layout out. It decodes nothing and copies nothing.

Laws: every image file of the tree is in exactly one of ``candidates`` and the exclusions with a digest; a patient
whose file also stands under another id is that other patient too, so that one person never becomes two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from cxr_core.classes import Source
from cxr_core.digests import digest_bytes
from cxr_core.errors import SourceError
from cxr_core.ingest.faults import IngestFault, SourceFault
from cxr_core.ingest.listing import Entry, Listing
from cxr_core.ingest.record import Exclusion, LabelProvenance, image_name
from cxr_core.ingest.tables import MAX_TABLE_BYTES

__all__ = ["Candidate", "Layout", "Row", "Tree", "exclude_file", "lay_out"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One image file and the source's words about it; blank where it has none.

    Attributes as in ``Record``, except ``patient``: the source's raw id, which leaves ingest only as a keyed digest.
    """

    path: str
    finding: str
    modality: str
    view: str
    patient: str
    sex: str = ""
    age_years: float | None = None
    origin_url: str = ""
    licence: str
    label_provenance: LabelProvenance


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A candidate with the table row it came from; rows count from 1, without the header."""

    table: str
    number: int
    candidate: Candidate


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Candidates and exclusions of one source."""

    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...]


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A listed source on this machine."""

    source: Source
    root: Path
    listing: Listing

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every file by its path."""
        return {entry.path: entry for entry in self.listing.entries}

    @cached_property
    def images(self) -> dict[str, Entry]:
        """Every image file by its path."""
        return {entry.path: entry for entry in self.listing.entries if entry.is_image}

    def read(self, path: str) -> bytes:
        """A table's bytes, as they were listed.

        Raises:
            SourceError: There is no such file (``layout_not_found``), it is larger than any table
                (``table_too_large``), or it changed since it was listed (``source_changed``).
        """
        if path not in self.entries:
            raise SourceError(
                f"Expected {path} in the source {self.source}; it is not in {self.root}.",
                reason=SourceFault.LAYOUT_NOT_FOUND.value,
                hint="Check that the folder holds the source in its published layout.",
            )
        entry = self.entries[path]
        if entry.bytes > MAX_TABLE_BYTES:
            raise SourceError(
                f"{path}: expected a table of at most {MAX_TABLE_BYTES} bytes, found {entry.bytes}.",
                reason=SourceFault.TABLE_TOO_LARGE.value,
                hint="Check that the folder holds the source in its published layout.",
            )
        with (self.root / path).open("rb") as file:
            # Not more than was listed, however the file has grown since.
            data = file.read(entry.bytes + 1)
        if digest_bytes(data) != entry.sha256:
            raise SourceError(
                f"{path} changed while it was read.",
                reason=SourceFault.SOURCE_CHANGED.value,
                hint="Run ingest again.",
            )
        return data


def lay_out(tree: Tree, rows: Iterable[Row]) -> Layout:
    """Give every image file its first row, and every other row and file a reason."""
    claims: dict[str, list[Row]] = {}
    exclusions: list[Exclusion] = []
    for row in rows:
        path = _safe(row.candidate.path)
        if path is None:
            exclusions.append(_exclude_row(tree, row, IngestFault.UNSAFE_PATH, "which is outside the source"))
        elif path not in tree.entries:
            exclusions.append(_exclude_row(tree, row, IngestFault.FILE_MISSING, "which is not there"))
        elif path not in tree.images:
            exclusions.append(_exclude_row(tree, row, IngestFault.NOT_AN_IMAGE_FILE, "which is no image file"))
        else:
            claims.setdefault(path, []).append(replace(row, candidate=replace(row.candidate, path=path)))
    one_patient = _merged_patients(claims.values())
    candidates: list[Candidate] = []
    for path, claim in claims.items():
        first, *others = claim
        exclusions += [_exclude_row(tree, row, IngestFault.DUPLICATE_ROW, _difference(first, row)) for row in others]
        findings = {row.candidate.finding for row in claim}
        if len(findings) > 1:
            words = (
                f"rows {', '.join(str(row.number) for row in claim)} say {' and '.join(sorted(map(repr, findings)))}"
            )
            exclusions.append(exclude_file(tree, path, IngestFault.CONFLICTING_ROWS, words))
        else:
            patient = one_patient.get(first.candidate.patient, first.candidate.patient)
            candidates.append(replace(first.candidate, patient=patient))
    unnamed = [path for path in tree.images if path not in claims]
    exclusions += [exclude_file(tree, path, IngestFault.NO_METADATA, "no row names it") for path in unnamed]
    return Layout(candidates=tuple(candidates), exclusions=tuple(exclusions))


def exclude_file(tree: Tree, path: str, fault: IngestFault, detail: str) -> Exclusion:
    """The exclusion of an image file."""
    return Exclusion(
        name=image_name(tree.source, path),
        path=path,
        sha256=tree.entries[path].sha256,
        reason=fault.value,
        detail=detail,
    )


def _exclude_row(tree: Tree, row: Row, fault: IngestFault, detail: str) -> Exclusion:
    path = row.candidate.path
    return Exclusion(
        name=f"{tree.source}:{row.table}#{row.number}",
        path=path,
        sha256=None,
        reason=fault.value,
        detail=f"{row.table}, row {row.number}, names {_shortened(path)!r}, {detail}",
    )


def _safe(path: str) -> str | None:
    """The path in its plain form; None where it is absolute, leaves the folder or could on another system."""
    plain = PurePosixPath(path)
    climbs = not plain.parts or plain.is_absolute() or ".." in plain.parts or any(sign in path for sign in "\\:")
    return None if climbs or not path.isprintable() else str(plain)


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:200]}…"


def _difference(first: Row, other: Row) -> str:
    fields = ("finding", "view", "modality", "patient", "sex", "age_years", "licence")
    differing = [name for name in fields if getattr(first.candidate, name) != getattr(other.candidate, name)]
    told = f"; it differs in {', '.join(differing)}" if differing else ""
    return f"which row {first.number} already names{told}"


def _merged_patients(claims: Iterable[Sequence[Row]]) -> dict[str, str]:
    """Each id that shares a file with another, to the id that stands for both (union-find)."""
    parent: dict[str, str] = {}

    def root(patient: str) -> str:
        while patient != (above := parent.setdefault(patient, patient)):
            patient = above
        return patient

    for claim in claims:
        first, *others = [row.candidate.patient for row in claim if row.candidate.patient] or [""]
        for other in others:
            parent[root(other)] = root(first)
    return {patient: root(patient) for patient in list(parent)}
