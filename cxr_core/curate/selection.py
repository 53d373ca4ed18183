"""The decision of curate: records and their duplicate pairs in, the cohort and every exclusion out.

The checks run in the order of :class:`~cxr_core.curate.reasons.ExclusionReason`: view, label, conflict between
duplicates, duplicate, quota. Laws: each record is a cohort row or has one exclusion, never both; no cluster of
duplicates gives two rows; the result does not depend on the order of the records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cxr_core.classes import CLASSES, ClassSlug, Source
from cxr_core.curate.cohort import CohortRow, Exclusion
from cxr_core.curate.duplicates import Pair
from cxr_core.curate.groups import components, group_names
from cxr_core.curate.labels import Label, label_of
from cxr_core.curate.quota import draw
from cxr_core.curate.reasons import SILENT, ExclusionReason
from cxr_core.curate.views import exclusion_by_view
from cxr_core.errors import CohortError
from cxr_core.ingest.record import Record
from cxr_core.params import CurateParams

__all__ = ["Selection", "select"]

_TOLD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What curate decided."""

    rows: tuple[CohortRow, ...]
    """Sorted by the image's digest."""
    exclusions: tuple[Exclusion, ...]
    """Sorted by name."""
    clusters: tuple[tuple[str, ...], ...]
    """Names that show one X-ray, two or more each, over all records."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Verdict:
    label: Label
    reason: ExclusionReason | None = None
    detail: str = ""


def select(records: Sequence[Record], pairs: Sequence[Pair], params: CurateParams) -> Selection:
    """Decide which records are the cohort.

    Args:
        records: All records of all sources.
        pairs: Duplicates among them, by row.
        params: Quotas, preference and seed.

    Raises:
        CohortError: A class has fewer usable images than its quota, or none.
    """
    edges = [(pair.first, pair.second) for pair in pairs]
    clusters = _clusters(len(records), edges)
    verdicts = [_first_look(record) for record in records]
    for cluster in clusters:
        _settle(cluster, records, verdicts, params.preference)
    _apply_quota(records, verdicts, params)
    groups = group_names([record.patient for record in records], edges)
    kept = [row for row, verdict in enumerate(verdicts) if verdict.reason is None]
    return Selection(
        rows=tuple(sorted((_row(records[i], verdicts[i].label, groups[i]) for i in kept), key=lambda row: row.sha256)),
        exclusions=tuple(sorted(_exclusions(records, verdicts, groups), key=lambda row: row.name)),
        clusters=tuple(sorted(tuple(sorted(records[i].name for i in cluster)) for cluster in clusters)),
    )


def _clusters(n: int, edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(components(n, edges).tolist()):
        members[number].append(row)
    return [cluster for cluster in members.values() if len(cluster) > 1]


def _first_look(record: Record) -> _Verdict:
    label = label_of(record.source, record.finding)
    by_view = exclusion_by_view(record.source, record.modality, record.view)
    if by_view is not None:
        detail = f"modality {record.modality or 'not stated'}, view {record.view or 'not stated'}"
        return _Verdict(label=label, reason=by_view, detail=detail)
    if isinstance(label, ExclusionReason):
        return _Verdict(label=label, reason=label, detail=record.finding)
    return _Verdict(label=label)


def _settle(
    cluster: Sequence[int], records: Sequence[Record], verdicts: list[_Verdict], preference: Sequence[Source]
) -> None:
    """Leave at most one usable row in a cluster."""
    usable = [row for row in cluster if verdicts[row].reason is None]
    claims = {verdicts[row].label for row in cluster} - SILENT
    if len(claims) > 1:
        said = _said([records[row] for row in cluster])
        for row in usable:
            verdicts[row] = _Verdict(label=verdicts[row].label, reason=ExclusionReason.LABEL_CONFLICT, detail=said)
        return
    first, *others = sorted(usable, key=lambda row: _rank(records[row], preference)) or [-1]
    for row in others:
        detail = f"same X-ray as {records[first].name}"
        verdicts[row] = _Verdict(label=verdicts[row].label, reason=ExclusionReason.DUPLICATE, detail=detail)


def _said(cluster: Sequence[Record]) -> str:
    """What the first few of a cluster say: each of its rows carries this text."""
    first = sorted(cluster, key=lambda record: record.name)[:_TOLD]
    more = f"; and {len(cluster) - _TOLD} more" if len(cluster) > _TOLD else ""
    return "; ".join(f"{record.name}: {record.finding or 'nothing'}" for record in first) + more


def _rank(record: Record, preference: Sequence[Source]) -> tuple[int, int, str]:
    return preference.index(record.source), -record.width * record.height, record.name


def _apply_quota(records: Sequence[Record], verdicts: list[_Verdict], params: CurateParams) -> None:
    usable: dict[ClassSlug, dict[Source, list[str]]] = {slug: defaultdict(list) for slug in CLASSES}
    candidates: list[tuple[int, ClassSlug]] = [
        (row, verdict.label)
        for row, verdict in enumerate(verdicts)
        if verdict.reason is None and not isinstance(verdict.label, ExclusionReason)
    ]
    for row, label in candidates:
        usable[label][records[row].source].append(records[row].sha256)
    _refuse_shortfall({slug: sum(map(len, usable[slug].values())) for slug in CLASSES}, params.quota)
    drawn = {slug: draw(usable[slug], wanted=params.quota[slug], seed=params.seed) for slug in CLASSES}
    for row, label in candidates:
        if records[row].sha256 not in drawn[label]:
            verdicts[row] = _Verdict(label=label, reason=ExclusionReason.OVER_QUOTA)


def _refuse_shortfall(found: Mapping[ClassSlug, int], quota: Mapping[ClassSlug, int | None]) -> None:
    short: dict[ClassSlug, int] = {slug: found[slug] for slug in CLASSES if found[slug] < (quota[slug] or 1)}
    if not short:
        return
    wanted = ", ".join(f"{slug}: wanted {quota[slug] or 'at least 1'}, found {n}" for slug, n in short.items())
    lower = " ".join(f"--set curate.quota.{slug}={n}" for slug, n in short.items() if n)
    raise CohortError(
        f"Too few usable images after exclusions and duplicates ({wanted}).",
        reason="quota_too_large",
        hint=f"Lower the quota with `{lower}`, or add a source." if lower else "Add a source that holds this class.",
    )


def _row(record: Record, label: Label, group: str) -> CohortRow:
    if isinstance(label, ExclusionReason):
        raise TypeError(f"{record.name} has no class")
    return CohortRow(
        name=record.name,
        source=record.source,
        sha256=record.sha256,
        source_sha256=record.source_sha256,
        label=label,
        label_provenance=record.label_provenance,
        group=group,
        patient=record.patient,
        view=record.view,
        sex=record.sex,
        age_years=record.age_years,
        origin_url=record.origin_url,
        licence=record.licence,
        synthetic=record.synthetic,
        pixel_sha256=record.pixel_sha256,
    )


def _exclusions(records: Sequence[Record], verdicts: Sequence[_Verdict], groups: Sequence[str]) -> Iterable[Exclusion]:
    for record, verdict, group in zip(records, verdicts, groups, strict=True):
        if verdict.reason is not None:
            label = "" if isinstance(verdict.label, ExclusionReason) else verdict.label
            yield Exclusion(
                name=record.name,
                source=record.source,
                reason=verdict.reason.value,
                detail=verdict.detail,
                label=label,
                group=group,
            )
