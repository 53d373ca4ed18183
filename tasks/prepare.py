"""``prepare``: the cohort to one packed store."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.prepare.store import open_store
from tasks.events import stage_done, stage_started
from tasks.reproduce import outcome_words, reproduce
from tasks.run import Run

__all__ = ["prepare"]


@task(name="prepare", cache_policy=NO_CACHE)
def prepare(run: Run) -> int:
    """Pack the cohort's images; returns how many."""
    stage_started("prepare")
    outcomes = reproduce(run, "prepare", ["prepare"])
    n, height, width = open_store(run.path).images.shape
    stage_done("prepare", f"{n} images, {height} × {width} pixels, uint8{outcome_words([*outcomes.values()])}")
    return n
