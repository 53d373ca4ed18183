"""Why a run was or was not reused: the parts of its keys, and what differs from another run's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from cxr_core.files import read_json
from cxr_core.train.key import explain_difference
from tasks.adapters.tracking import Tracker
from tasks.evidence import run_of
from tasks.settings import home
from tasks.stores import tracker_of
from tasks.trained import KEY_FILE

__all__ = ["explain_keys"]


def explain_keys(name: str | None, *, against: str | None = None) -> dict[str, Any]:
    """The key of a run, part by part; with ``against``, one sentence for each part that differs.

    Args:
        name: A run, the beginning of its id, or a model; None is the retrain of the model that serves.
        against: Another one of the same kind.

    Returns:
        ``runs`` (name, run, key, parts) and ``differences`` (None without ``against``).

    Raises:
        TrackingError: There is no such run, or it has no key.
    """
    tracker = tracker_of(home())
    runs = [_run(tracker, name), *([] if against is None else [_run(tracker, against)])]
    differences = explain_difference(runs[0]["parts"], runs[1]["parts"]) if against is not None else None
    return {"runs": runs, "differences": differences}


def _run(tracker: Tracker, name: str | None) -> dict[str, Any]:
    run_id = run_of(name)
    record = tracker.read(run_id)
    with tempfile.TemporaryDirectory() as scratch:
        parts = read_json(tracker.fetch(run_id, KEY_FILE, Path(scratch) / KEY_FILE))
    return {"name": record.name, "run": run_id, "key": record.tags.get("cxr.key", ""), "parts": parts}
