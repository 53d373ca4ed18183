"""``curate``: records to the cohort."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import REPORT_PATH
from cxr_core.curate.report import NOT_IDENTIFIABLE
from cxr_core.files import read_json
from tasks.events import note, stage_done, stage_started
from tasks.reproduce import outcome_words, reproduce
from tasks.run import Run

__all__ = ["curate"]


@task(name="curate", cache_policy=NO_CACHE)
def curate(run: Run) -> dict[str, Any]:
    """Make the cohort and say what it holds, before anything is trained on it."""
    stage_started("curate")
    outcomes = reproduce(run, "curate", ["curate"])
    report: dict[str, Any] = read_json(run.path / REPORT_PATH)
    sizes = {slug: sum(report["counts"].get(slug, {}).values()) for slug in CLASSES}
    excluded = sum(report["exclusions"].values()) + sum(report["quarantine"].values())
    stage_done(
        "curate",
        f"{sum(sizes.values())} images: "
        + " · ".join(f"{slug} {n}" for slug, n in sizes.items())
        + f"; {excluded} left out, each with its reason{outcome_words([*outcomes.values()])}",
    )
    if report["verdict"] == NOT_IDENTIFIABLE:
        association = "" if report["cramers_v"] is None else f" (Cramér's V {report['cramers_v']:.2f})"
        words = "not identifiable: class and source go together"
        note("curate", f"{words}{association}; accuracy may be recognition of the source")
    return report
