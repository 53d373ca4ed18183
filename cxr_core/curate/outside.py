"""Labelled X-rays that have nothing to do with the cohort: its tables in, the images a backbone may learn from out.

Laws: no image here is in the cohort, shows a patient of it, or is a duplicate of one of its images, by a chain of any
length; the result does not depend on the order of the rows; validation takes whole groups.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import cast

from cxr_core.classes import CLASSES, Source
from cxr_core.curate.cohort import CohortRow, Exclusion
from cxr_core.curate.reasons import ExclusionReason
from cxr_core.digests import digest_value
from cxr_core.errors import CohortError
from cxr_core.files import read_csv
from cxr_core.ingest.record import Record

__all__ = ["PRETEXT", "Outside", "outside_cohort", "outside_csv", "read_outside", "seen_in_cohort", "validates"]

_BY_REASON = (
    ExclusionReason.BACTERIAL,
    ExclusionReason.FUNGAL,
    ExclusionReason.OPACITY_WITHOUT_CAUSE,
    ExclusionReason.ABNORMAL_WITHOUT_OPACITY,
)

PRETEXT: tuple[str, ...] = (*CLASSES, *(reason.value for reason in _BY_REASON))
"""What a backbone may learn to tell apart: the three classes, and frontal X-rays that belong to none of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """One image outside the cohort.

    Attributes:
        name: ``source:path``.
        source: Its source.
        sha256: Digest of the file in data/raw.
        pixel_sha256: Digest of the decoded picture.
        label: One of ``PRETEXT``.
        group: One patient or one X-ray, as in the cohort.
        patient: Keyed digest.
        synthetic: ``true`` or ``false``: whether it is a phantom.
    """

    name: str
    source: Source
    sha256: str
    pixel_sha256: str
    label: str
    group: str
    patient: str
    synthetic: str


def outside_cohort(
    cohort: Sequence[CohortRow], exclusions: Sequence[Exclusion], records: Iterable[Record]
) -> list[Outside]:
    """The labelled frontal X-rays that share nothing with the cohort, by name.

    Args:
        cohort: The rows that are kept.
        exclusions: The rows that are not.
        records: Those of all sources.

    Raises:
        CohortError: There are fewer than two labels (``nothing_outside``).
    """
    known = {record.name: record for record in records}
    taken = {row.group for row in cohort}
    found = [
        _row(known[row.name], label, row.group)
        for row in sorted(exclusions, key=lambda row: row.name)
        if (label := _label(row)) and row.group and row.group not in taken
    ]
    if len(labels := {row.label for row in found}) < 2:
        raise CohortError(
            f"Expected X-rays of two labels or more outside the cohort; found {', '.join(labels) or 'none'}.",
            reason="nothing_outside",
            hint="Add a source, or lower curate.quota: what it leaves over is outside.",
        )
    return found


def validates(row: Outside, *, share: float, seed: int) -> bool:
    """Whether a row's group validates: about ``share`` of the groups do, whatever the other rows are."""
    return int(digest_value([seed, row.group]).removeprefix("sha256:")[:12], 16) < share * 16**12


def seen_in_cohort(rows: Iterable[Outside], cohort: Sequence[CohortRow], exclusions: Sequence[Exclusion]) -> list[str]:
    """Names of images that a backbone has learnt from and that have to do with another cohort than its own.

    By file, picture, patient and group; images that this workspace's sources do not hold have their old group alone.
    """
    now = {row.name: row.group for row in exclusions}
    groups = {row.group for row in cohort}
    values = {
        value for row in cohort for value in (row.name, row.sha256, row.source_sha256, row.pixel_sha256, row.patient)
    }
    return [
        row.name
        for row in rows
        if values & {row.name, row.sha256, row.pixel_sha256, row.patient} or now.get(row.name, row.group) in groups
    ]


def outside_csv(rows: Sequence[Outside]) -> str:
    """The rows as CSV. Round trip: ``read_outside`` gives them back."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns())
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def read_outside(path: Path) -> list[Outside]:
    """Read what ``outside_csv`` wrote.

    Raises:
        ValueError: The table has other columns.
    """
    return [
        Outside(source=cast("Source", row["source"]), **{name: row[name] for name in _columns() if name != "source"})
        for row in read_csv(path, _columns())
    ]


def _label(row: Exclusion) -> str:
    if row.reason == ExclusionReason.OVER_QUOTA:
        return row.label
    return row.reason if row.reason in _BY_REASON else ""


def _row(record: Record, label: str, group: str) -> Outside:
    return Outside(
        name=record.name,
        source=record.source,
        sha256=record.sha256,
        pixel_sha256=record.pixel_sha256,
        label=label,
        group=group,
        patient=record.patient,
        synthetic=str(record.synthetic).lower(),
    )


def _columns() -> list[str]:
    return [field.name for field in fields(Outside)]
