"""The stage ``split``: a workspace's cohort in, its folds out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.params import Params
from cxr_core.split.deal import deal
from cxr_core.split.folds import summary, write_split

__all__ = ["run"]


def run(*, workspace: Path, params: Params) -> dict[str, Any]:
    """Deal the cohort of a workspace into folds.

    Args:
        workspace: The workspace's root.
        params: ``split`` is read.

    Returns:
        What ``split.json`` holds.

    Raises:
        CohortError: There is no cohort, or it is too small for the protocol.
    """
    split = deal(read_cohort(workspace / COHORT_PATH), params.split)
    write_split(workspace, split)
    return summary(split)
