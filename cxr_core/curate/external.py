"""A labelled folder from elsewhere: its files in, the images that may test a model of this cohort out.

A folder says its labels in one of two ways: by sub-folders named as the classes (``covid/``, ``viral/``, ``normal/``),
or by a table ``labels.csv`` with the columns ``file`` and ``label`` and, where known, ``patient``, ``view``, ``sex``
and ``age_years``. A patient of one of the four sources is written ``github:7``, as the source calls him.

Laws: each image file of the folder, and each row of its table, is kept or left out with one reason; no kept image is a
duplicate of an image of the cohort, or of another kept one, and none shows a patient of the cohort; the order of files
and rows changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, SOURCES, ClassSlug
from cxr_core.curate.duplicates import find_joins, hash_values
from cxr_core.curate.groups import components, group_names
from cxr_core.curate.views import exclusion_by_view
from cxr_core.digests import digest_bytes, keyed_digest
from cxr_core.ingest.examine import Examined
from cxr_core.ingest.listing import Listing
from cxr_core.ingest.record import Record
from cxr_core.ingest.tables import age_years, read_table, sex
from cxr_core.params import CurateParams

__all__ = ["TABLE", "ExternalImage", "ExternalReason", "Known", "Labelled", "LeftOut", "labelled", "set_apart"]

TABLE = "labels.csv"


class ExternalReason(StrEnum):
    """Why an image of an external set is not used."""

    NOT_LABELLED = "not_labelled"
    """No row of the table names it, or it lies in no class's folder."""
    UNKNOWN_CLASS = "unknown_class"
    """Its label is none of the three classes."""
    FILE_MISSING = "file_missing"
    """A row names a file that the folder does not hold."""
    CONFLICTING_LABELS = "conflicting_labels"
    """Rows, or duplicates of it in the set, give it different labels."""
    NOT_FRONTAL = "not_frontal"
    """A view or modality is stated, and it is no frontal X-ray."""
    IN_COHORT = "in_cohort"
    """The same X-ray stands in the cohort."""
    PATIENT_IN_COHORT = "patient_in_cohort"
    """Another X-ray of its patient stands in the cohort."""
    REPEATED = "repeated"
    """The same X-ray stands in the set under another name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """One image file with its label, before its bytes are looked at.

    Attributes:
        path: POSIX, relative to the folder.
        sha256: ``sha256:<hex>`` as listed.
        label: Its class.
        patient: Keyed digest; empty where nobody says.
        view: As written; empty where unknown.
        sex: ``M``, ``F`` or empty.
        age_years: [0, 120], or None.
    """

    path: str
    sha256: str
    label: ClassSlug
    patient: str
    view: str
    sex: str
    age_years: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A file or row that is not used, and why: an ``ExternalReason``, or what decoding met.

    The digest is that of the file as listed; empty where there is no file.
    """

    path: str
    reason: str
    detail: str
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalImage:
    """One image that tests.

    Attributes:
        of: Its file and label.
        sha256: ``sha256:<hex>`` of the file as it was kept.
        pixel_sha256: ``sha256:<hex>`` of the decoded picture.
        group: One patient, or one chain of patients and duplicates.
    """

    of: Labelled
    sha256: str
    pixel_sha256: str
    group: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the workspace's sources hold.

    Attributes:
        records: Every record (N).
        thumbnails: Theirs, (N, 64, 64).
        cohort: Names of the cohort's images.
    """

    records: Sequence[Record]
    thumbnails: NDArray[np.uint8]
    cohort: frozenset[str]


def labelled(
    listing: Listing, table: bytes | None, *, name: str, patient_key: bytes
) -> tuple[list[Labelled], list[LeftOut]]:
    """Read a folder's labels.

    Args:
        listing: Every file of the folder.
        table: ``labels.csv``; None where there is none, and sub-folders are the labels.
        name: Of the set; patients of two sets are two.
        patient_key: Key of the patients' digests.

    Raises:
        SourceError: The table cannot be read, or lacks a column.
    """
    files = {entry.path: entry.sha256 for entry in listing.entries if entry.is_image}
    if table is None:
        rows = [{"file": path, "label": PurePosixPath(path).parts[0] if "/" in path else ""} for path in files]
    else:
        rows = [*read_table(table, name=TABLE, required=("file", "label"))]
    by_file: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        by_file[row["file"]].append(row)
    kept: list[Labelled] = []
    unnamed = f"{TABLE} does not name it."
    left = [
        LeftOut(path=path, reason=ExternalReason.NOT_LABELLED.value, detail=unnamed, sha256=sha256)
        for path, sha256 in files.items()
        if path not in by_file
    ]
    for path, said in sorted(by_file.items()):
        label, reason, detail = _label(path, said, files)
        if label is None:
            left.append(LeftOut(path=path, reason=reason.value, detail=detail, sha256=files.get(path, "")))
            continue
        cells = said[0]
        kept.append(
            Labelled(
                path=path,
                sha256=files[path],
                label=label,
                patient=_patient(cells.get("patient", ""), name=name, key=patient_key),
                view=cells.get("view", ""),
                sex=sex(cells.get("sex", "")),
                age_years=age_years(cells.get("age_years", "")),
            )
        )
    return kept, sorted(left, key=lambda row: row.path)


def set_apart(
    looked_at: Sequence[tuple[Labelled, Examined]], known: Known, params: CurateParams
) -> tuple[list[ExternalImage], list[LeftOut]]:
    """Keep what has nothing to do with the cohort, and of each X-ray one.

    Args:
        looked_at: Images whose bytes could be used.
        known: What the workspace's sources hold: also a picture that the cohort left out names a patient.
        params: How alike duplicates are.
    """
    looked_at = sorted(looked_at, key=lambda pair: pair[0].path)
    n, rows = len(known.records), [image for _, image in looked_at]
    pairs = find_joins(
        [*(record.sha256 for record in known.records), *(row.sha256 for row in rows)],
        [*(record.pixel_sha256 for record in known.records), *(row.pixel_sha256 for row in rows)],
        hash_values([*(record.phash for record in known.records), *(row.phash for row in rows)]),
        _Both(known.thumbnails, np.array([row.thumbnail for row in rows], dtype=np.uint8).reshape(-1, 64, 64)),
        max_hamming=params.max_hamming,
        min_correlation=params.min_correlation,
    )
    edges = [(pair.first, pair.second) for pair in pairs]
    same = components(n + len(rows), edges).tolist()
    patients = [*(record.patient for record in known.records), *(_whose(*pair) for pair in looked_at)]
    groups = group_names(patients, edges)
    cohort = {
        number: record.name for number, record in zip(same, known.records, strict=False) if record.name in known.cohort
    }
    taken = _taken(known, groups)
    labels: dict[int, set[str]] = defaultdict(set)
    for number, (one, _) in zip(same[n:], looked_at, strict=True):
        labels[number].add(one.label)
    kept: list[ExternalImage] = []
    left: list[LeftOut] = []
    first: dict[int, str] = {}
    for number, group, (one, image) in zip(same[n:], groups[n:], looked_at, strict=True):
        dicom = image.dicom
        view = one.view or (dicom.view if dicom else "")
        if view and exclusion_by_view("github", dicom.modality if dicom else "", view):
            reason, detail = ExternalReason.NOT_FRONTAL, f"View {view}."
        elif number in cohort:
            reason, detail = ExternalReason.IN_COHORT, f"Same X-ray as {cohort[number]}."
        elif group in taken:
            reason, detail = ExternalReason.PATIENT_IN_COHORT, f"Same patient as {taken[group]}."
        elif len(labels[number]) > 1:
            reason, detail = (
                ExternalReason.CONFLICTING_LABELS,
                f"Its duplicates say {', '.join(sorted(labels[number]))}.",
            )
        elif number in first:
            reason, detail = ExternalReason.REPEATED, f"Same X-ray as {first[number]}."
        else:
            first[number] = one.path
            kept.append(ExternalImage(of=one, sha256=image.sha256, pixel_sha256=image.pixel_sha256, group=group))
            continue
        left.append(LeftOut(path=one.path, reason=reason.value, detail=detail, sha256=one.sha256))
    return kept, left


class _Both:
    """Thumbnails of the sources, then of the set."""

    def __init__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
        self._first, self._second = first, second

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        out = np.empty((len(rows), 64, 64), dtype=np.uint8)
        of_first = rows < len(self._first)
        out[of_first] = self._first[rows[of_first]]
        out[~of_first] = self._second[rows[~of_first] - len(self._first)]
        return out


def _taken(known: Known, groups: Sequence[str]) -> dict[str, str]:
    """Groups, the set's images joined in, that hold an image of the cohort: by name, with that image."""
    return {
        group: record.name for group, record in zip(groups, known.records, strict=False) if record.name in known.cohort
    }


def _whose(one: Labelled, image: Examined) -> str:
    """The patient as the folder names him, or as the DICOM file does; else one of the image's own."""
    return one.patient or (image.dicom.patient if image.dicom else "") or digest_bytes(one.path.encode())[7:23]


def _label(
    path: str, said: Sequence[Mapping[str, str]], files: Mapping[str, str]
) -> tuple[ClassSlug | None, ExternalReason, str]:
    """The class that all rows of a file agree on; None with the reason where there is none."""
    found = sorted({row["label"].lower() for row in said})
    if path not in files:
        return None, ExternalReason.FILE_MISSING, f"{TABLE} names it; the folder does not hold it as an image file."
    if len(found) > 1:
        return None, ExternalReason.CONFLICTING_LABELS, f"Rows say {', '.join(found)}."
    label: ClassSlug | None = next((slug for slug in CLASSES if slug == found[0]), None)
    if label is None:
        if not found[0]:
            return None, ExternalReason.NOT_LABELLED, "It lies in no class's folder, or its row gives no label."
        return None, ExternalReason.UNKNOWN_CLASS, f"Expected one of {', '.join(CLASSES)}; found {found[0][:80]}."
    return label, ExternalReason.NOT_LABELLED, ""


def _patient(text: str, *, name: str, key: bytes) -> str:
    """A patient of a source by his digest there, another one by the set's name; empty where nobody says."""
    if not text:
        return ""
    return keyed_digest(key, text if text.partition(":")[0] in SOURCES else f"{name}:{text}")
