"""``cxr data report``: what the cohort is made of, brought up to date as a retrain would, with nothing trained.

Law: ``ok`` holds where every file of every source is accounted for and, where commercial use is asked about, every
picture of the cohort has a licence that allows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr_core.curate.account import balances
from cxr_core.curate.cohort import COHORT_PATH, CohortRow, read_cohort
from cxr_core.curate.licences import CommercialUse, commercial_use
from tasks.curate import curate
from tasks.ingest import ingest
from tasks.run import check_request, open_run

__all__ = ["data_report"]


def data_report(overrides: Sequence[str], *, commercial: bool, workspace: Path | None) -> dict[str, Any]:
    """Ingest and curate in a workspace, and describe what came of it.

    Args:
        overrides: ``key=value`` for params.yaml.
        commercial: Whether to list the rows that cannot be used commercially, by licence.
        workspace: A folder to run in; None takes one under the home.

    Raises:
        CxrError: As ``check_request``, ``open_run`` and the two stages.
    """
    check_request(overrides)
    with open_run(overrides, program="cxr data report", folder=workspace, unpinned=False) as run:
        # The tasks' own functions: a report needs no server that keeps record of them.
        ingest.fn(run)
        described = curate.fn(run)
        balanced = balances(run.path, run.params.ingest.sources)
        rows = read_cohort(run.path / COHORT_PATH)
        place = str(run.path)
    report = {
        **described,
        "workspace": place,
        "duplicates": _duplicates(described["clusters"]),
        "accounted": {row.source: asdict(row) for row in balanced},
        "ok": all(row.ok for row in balanced),
    }
    if commercial:
        listed = _not_for_commercial(rows)
        report |= {"not_for_commercial": listed, "ok": report["ok"] and not listed}
    return report


def _duplicates(clusters: Sequence[Sequence[str]]) -> dict[str, int]:
    """How many clusters there are, what they hold, and how many reach from one source into another."""
    sources = [{name.partition(":")[0] for name in cluster} for cluster in clusters]
    return {
        "clusters": len(clusters),
        "pictures": sum(map(len, clusters)),
        "largest": max(map(len, clusters), default=0),
        "across_sources": sum(len(of) > 1 for of in sources),
    }


def _not_for_commercial(rows: Sequence[CohortRow]) -> list[dict[str, Any]]:
    """One entry a licence that forbids commercial use or does not state it: its words, the rule, the rows."""
    held: dict[str, list[str]] = {}
    for row in rows:
        if commercial_use(row.licence).use != "allowed":
            held.setdefault(row.licence, []).append(row.name)
    verdicts: dict[str, CommercialUse] = {licence: commercial_use(licence) for licence in held}
    listed = [
        {
            "licence": licence or "not stated",
            "use": verdicts[licence].use,
            "rule": verdicts[licence].rule,
            "images": len(names),
            "rows": sorted(names),
        }
        for licence, names in held.items()
    ]
    return sorted(listed, key=lambda entry: (entry["use"], -entry["images"], entry["licence"]))
