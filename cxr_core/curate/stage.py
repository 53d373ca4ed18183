"""The stage ``curate``: the tables that ingest left in, the cohort, its exclusions and its report out."""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import SOURCES, Source
from cxr_core.curate.cohort import (
    COHORT_PATH,
    EXCLUSIONS_PATH,
    REPORT_PATH,
    Exclusion,
    write_cohort,
    write_exclusions,
)
from cxr_core.curate.duplicates import find_joins, hash_values
from cxr_core.curate.report import build_report
from cxr_core.curate.selection import select
from cxr_core.errors import CohortError
from cxr_core.files import write_json
from cxr_core.ingest.record import Record, read_exclusions, read_quarantine, read_records
from cxr_core.params import Params

__all__ = ["run"]


@contextmanager
def _collector_at_rest() -> Generator[None]:
    """No search for cycles in the block: records hold none, and looking again and again takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_collector_at_rest()
def run(*, workspace: Path, params: Params) -> dict[str, Any]:
    """Make the cohort of a workspace.

    Args:
        workspace: The workspace's root.
        params: ``curate`` is read.

    Returns:
        The report's ``digest``, ``images``, ``counts``, ``cramers_v``, ``exclusions``, ``quarantine``, ``synthetic``.

    Raises:
        CohortError: A source was not ingested, its tables disagree, or a quota cannot be filled.
        SourceError: A table of ingest has another schema.
    """
    records, thumbnails, left_out, quarantined = _read(workspace)
    pairs = find_joins(
        [record.sha256 for record in records],
        [record.pixel_sha256 for record in records],
        hash_values([record.phash for record in records]),
        thumbnails,
        max_hamming=params.curate.max_hamming,
        min_correlation=params.curate.min_correlation,
    )
    selection = select(records, pairs, params.curate)
    everything_out = sorted([*selection.exclusions, *left_out], key=lambda row: row.name)
    selection = replace(selection, exclusions=tuple(everything_out))
    report = build_report(selection, quarantined=quarantined, quota=params.curate.quota)
    write_cohort(workspace / COHORT_PATH, selection.rows)
    write_exclusions(workspace / EXCLUSIONS_PATH, selection.exclusions)
    write_json(workspace / REPORT_PATH, report)
    told = ("digest", "images", "counts", "cramers_v", "exclusions", "quarantine", "synthetic")
    return {key: report[key] for key in told}


class _Stack:
    """The sources' thumbnails one after another, left on disk: rows are read when they are asked for."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.uint8]:
        out = np.empty((len(rows), 64, 64), dtype=np.uint8)
        for part, start in zip(self._parts, self._starts.tolist(), strict=False):
            here = np.flatnonzero((rows >= start) & (rows < start + len(part)))
            out[here] = part[rows[here] - start]
        return out


def _read(workspace: Path) -> tuple[list[Record], _Stack, list[Exclusion], list[str]]:
    """All records with their thumbnails, ingest's own exclusions, and the quarantine's reasons."""
    records: list[Record] = []
    thumbnails: list[NDArray[np.uint8]] = []
    left_out: list[Exclusion] = []
    quarantined: list[str] = []
    for source in SOURCES:
        folder = workspace / "data/raw" / source
        try:
            of_source = read_records(folder / "records.jsonl")
            pictures = np.load(folder / "thumbnails.npy", mmap_mode="r")
            excluded, put_aside = (
                read_exclusions(folder / "exclusions.jsonl"),
                read_quarantine(folder / "quarantine.jsonl"),
            )
        except FileNotFoundError as error:
            raise CohortError(
                f"Expected what ingest leaves of {source}, found no {Path(error.filename).name} in data/raw/{source}.",
                reason="not_ingested",
                hint=f"Run `dvc repro ingest@{source}`.",
            ) from error
        _check(source, of_source, pictures)
        records += of_source
        thumbnails.append(pictures)
        left_out += [
            Exclusion(name=row.name, source=source, reason=row.reason, detail=row.detail, label="")
            for row in (*excluded, *put_aside)
        ]
        quarantined += [row.reason for row in put_aside]
    return records, _Stack(thumbnails), left_out, quarantined


def _check(source: Source, records: Sequence[Record], thumbnails: NDArray[np.uint8]) -> None:
    if thumbnails.shape != (len(records), 64, 64) or thumbnails.dtype != np.uint8:
        raise CohortError(
            f"Expected uint8 thumbnails ({len(records)}, 64, 64) of {source}, "
            f"found {thumbnails.dtype} {thumbnails.shape}.",
            reason="damaged_records",
            hint=f"Run `dvc repro -f ingest@{source}`.",
        )
