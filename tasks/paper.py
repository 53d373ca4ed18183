"""``cxr paper check``: the paper's figures put to arithmetic, and a run's own put to the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr_core.errors import TrackingError
from cxr_core.paper.check import check_paper
from cxr_core.paper.counted import evidence_faults
from cxr_core.paper.fault import Fault
from cxr_core.paper.page import page_faults
from cxr_core.paper.texts import figures_faults, table2_faults
from tasks.adapters.tracking import Tracker
from tasks.evidence import read_evidence, run_of
from tasks.settings import home
from tasks.stores import tracker_of

__all__ = ["check_figures"]

_TEXTS: dict[str, Callable[[str], list[Fault]]] = {
    "table2.md": table2_faults,
    "figures.md": figures_faults,
    "report.html": page_faults,
}


def check_figures(name: str | None) -> dict[str, Any]:
    """Put the paper's figures, and a run's, to the same arithmetic.

    Args:
        name: A run, the first digits of one, or a model; None is what serves, or nothing where no model is registered.

    Returns:
        ``paper`` (remarks), ``ours`` (run, what was read, faults; None without a run), ``ok``: no fault of ours.

    Raises:
        TrackingError: There is no such run, it has no evidence, or an artifact's bytes have changed.
        EvidenceError: Its evidence does not hold in itself.
    """
    run_id = _run(name)
    ours = None if run_id is None else _ours(tracker_of(home()), run_id)
    return {
        "paper": [asdict(remark) for remark in check_paper()],
        "ours": ours,
        "ok": ours is None or not ours["faults"],
    }


def _run(name: str | None) -> str | None:
    try:
        return run_of(name)
    except TrackingError as error:
        if name is None and error.reason == "model_missing":
            return None
        raise


def _ours(tracker: Tracker, run_id: str) -> dict[str, Any]:
    faults = evidence_faults(read_evidence(tracker, run_id))
    there = tracker.read(run_id).digests
    read = [text for text in _TEXTS if text in there]
    with tempfile.TemporaryDirectory() as scratch:
        for text in read:
            path = tracker.fetch(run_id, text, Path(scratch) / text)
            faults += _TEXTS[text](path.read_text(encoding="utf-8"))
    return {"run": run_id, "read": ["evidence.json", *read], "faults": [asdict(fault) for fault in faults]}
