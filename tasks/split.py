"""``split``: the cohort to folds."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.split.folds import read_split, summary
from tasks.events import note, stage_done, stage_started
from tasks.reproduce import outcome_words, reproduce
from tasks.run import Run

__all__ = ["split"]


@task(name="split", cache_policy=NO_CACHE)
def split(run: Run) -> dict[str, Any]:
    """Deal the folds and say how many test images leak."""
    stage_started("split")
    outcomes = reproduce(run, "split", ["split"])
    dealt = summary(read_split(run.path))
    for verdict in dealt["verdicts"]:
        if verdict["fold"] is None:
            note("split", f"{verdict['source']} is not identifiable and not tested. {verdict['why']}")
    stage_done("split", f"{_words(dealt)}{outcome_words([*outcomes.values()])}")
    return dealt


def _words(dealt: dict[str, Any]) -> str:
    leak, tested, held = dealt["leak"], dealt["tested"], dealt["holdout"]["n"]
    parts = [
        f"{dealt['folds']} fold{'' if dealt['folds'] == 1 else 's'}, protocol {dealt['protocol']}",
        *([f"{tested['n']} of {tested['of']} images tested"] if tested["n"] < tested["of"] else []),
        *([f"{held} held out for the registered model"] if held else []),
        f"{leak['images_sharing_a_group_with_training']} of {leak['n']} test images share a patient with training",
    ]
    return "; ".join(parts)
