"""Is every file of every source accounted for: a workspace's tables in, one balance a source out.

Law: ``ok`` holds exactly where the files that were pinned are the records, the excluded, the quarantined and the files
that are no images, and each record, excluded file and quarantined file stands once in the cohort or its exclusions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, read_cohort, read_exclusions
from cxr_core.files import read_json
from cxr_core.ingest import record
from cxr_core.ingest.pins import PINS_PATH, read_pins

__all__ = ["Balance", "balances"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Where the files of one source are."""

    source: Source
    files: int
    """On disk when the source was pinned, tables and texts included."""
    cohort: int
    excluded: int
    """Image files that are not in the cohort, each with a reason; those in quarantine are not among them."""
    quarantined: int
    others: int
    """Files that are no images by their names."""
    rows_without_file: int
    """Rows of the source's tables that stand for no file of their own; each has a reason, too."""
    ok: bool


def balances(workspace: Path, sources: Iterable[Source]) -> list[Balance]:
    """Balance each source that was read.

    Args:
        workspace: Ingested and curated.
        sources: The sources that were read.

    Raises:
        SourceError: A table of ingest has another schema, or a lock file that is none.
        CohortError: There is no cohort, or it is damaged.
    """
    pins = read_pins((workspace / PINS_PATH).read_text(encoding="utf-8"))
    kept = [(row.source, row.name) for row in read_cohort(workspace / COHORT_PATH)]
    left_out = [(row.source, row.name) for row in read_exclusions(workspace / EXCLUSIONS_PATH)]
    found: list[Balance] = []
    for source in sources:
        pin = pins[source]
        names = {
            "cohort": Counter(name for place, name in kept if place == source),
            "left_out": Counter(name for place, name in left_out if place == source),
        }
        found.append(_balance(workspace / "data/raw" / source, source, names, files=pin.files if pin else 0))
    return found


def _balance(folder: Path, source: Source, names: dict[str, Counter[str]], *, files: int) -> Balance:
    excluded = record.read_exclusions(folder / "exclusions.jsonl")
    quarantined = [row.name for row in record.read_quarantine(folder / "quarantine.jsonl")]
    of_records = [row.name for row in record.read_records(folder / "records.jsonl")]
    of_files = [row.name for row in excluded if row.sha256 is not None]
    others = int(read_json(folder / "summary.json")["other_files"])
    rows_without_file = len(excluded) - len(of_files)
    everything = Counter([*of_records, *quarantined, *(row.name for row in excluded)])
    left_out = sum(names["left_out"].values()) - len(quarantined) - rows_without_file
    return Balance(
        source=source,
        files=files,
        cohort=sum(names["cohort"].values()),
        excluded=left_out,
        quarantined=len(quarantined),
        others=others,
        rows_without_file=rows_without_file,
        ok=files == len(of_records) + len(of_files) + len(quarantined) + others
        and everything == names["cohort"] + names["left_out"]
        and max(everything.values(), default=1) == 1,
    )
