"""Which runs a process left behind, and which of them another one may go on with: from their tags, metrics and status.

Laws: a run at work in a living process of this machine, or in any of another, is left alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from tasks.adapters.records import RunRecord
from tasks.adapters.runlog import SYSTEM_METRICS, flattened

__all__ = ["at_work_here", "died", "goes_on", "same_machine"]


def same_machine() -> dict[str, str]:
    """Tags of a run that a process of this machine has begun."""
    return {"cxr.host": socket.gethostname()}


def at_work_here() -> dict[str, str]:
    """Tags of a run that this process works at."""
    return {**same_machine(), "cxr.pid": str(os.getpid())}


def died(running: Sequence[RunRecord]) -> list[RunRecord]:
    """Of the runs of this machine that are said to be running, those whose process is gone."""
    return [record for record in running if not psutil.pid_exists(int(record.tags.get("cxr.pid", "0")))]


def goes_on(records: Sequence[RunRecord], *, params: Mapping[str, Any], known: str | None, told: bool) -> str | None:
    """As ``Tracker.unfinished`` says, of runs with the same tags."""
    ours, asked = at_work_here(), flattened(params)

    def free(record: RunRecord) -> bool:
        mine = record.run_id == known or ours.items() <= record.tags.items()
        return record.status in ("KILLED", "FAILED") or (record.status == "RUNNING" and mine)

    def takes(record: RunRecord) -> bool:
        same = all(asked.get(name) == value for name, value in record.params.items())
        return same and (told or record.run_id == known or not _has_metrics(record))

    found = [record for record in records if free(record) and takes(record)]
    return max(found, key=lambda record: (record.run_id == known, record.started_ms)).run_id if found else None


def _has_metrics(record: RunRecord) -> bool:
    return any(not name.startswith(SYSTEM_METRICS) for name in record.metrics)
