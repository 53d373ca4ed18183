"""``split``: the cohort to folds."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.split.folds import read_split, summary
from tasks.events import stage_done, stage_started
from tasks.reproduce import outcome_words, reproduce
from tasks.run import Run

__all__ = ["split"]


@task(name="split", cache_policy=NO_CACHE)
def split(run: Run) -> dict[str, Any]:
    """Deal the folds and say how many test images leak."""
    stage_started("split")
    outcomes = reproduce(run, "split", ["split"])
    dealt = summary(read_split(run.path))
    leak = dealt["leak"]
    stage_done(
        "split",
        f"{dealt['folds']} folds, protocol {dealt['protocol']}; "
        f"{leak['images_sharing_a_group_with_training']} of {leak['n']} test images share a patient with training"
        f"{outcome_words([*outcomes.values()])}",
    )
    return dealt
