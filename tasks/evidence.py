"""What was measured, read back from a run: its evidence and its predictions, and which run is meant.

Apart from the task that measures, for whoever reads needs none of what measuring and drawing import.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cxr_core.errors import TrackingError
from cxr_core.evaluate.predictions import Prediction, parse_predictions
from cxr_core.evaluate.schema import Evidence, parse_evidence
from cxr_core.files import read_json
from tasks.adapters.registry import parse_reference
from tasks.adapters.tracking import Tracker
from tasks.settings import home
from tasks.stores import in_service, registry_of, tracker_of
from tasks.trained import PREDICTIONS_FILE

__all__ = ["EVIDENCE_FILE", "HOLDOUT_FILE", "read_evidence", "read_predictions", "run_of"]

EVIDENCE_FILE = "evidence.json"
HOLDOUT_FILE = "holdout.csv"
"""What the refit says of the images held out of every fold; absent where none is."""


def read_predictions(tracker: Tracker, run_id: str) -> list[Prediction]:
    """A run's predictions, whole as they were logged.

    Raises:
        TrackingError: The run has none, or their bytes have changed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = tracker.fetch(run_id, PREDICTIONS_FILE, Path(scratch) / PREDICTIONS_FILE)
        return parse_predictions(path.read_text(encoding="utf-8"))


def read_evidence(tracker: Tracker, run_id: str) -> Evidence:
    """A run's evidence.

    Raises:
        TrackingError: The run has none, or its bytes have changed.
        EvidenceError: It does not hold in itself.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return parse_evidence(read_json(tracker.fetch(run_id, EVIDENCE_FILE, Path(scratch) / EVIDENCE_FILE)))


def run_of(name: str | None) -> str:
    """The run behind a name: a run id, the first digits of one, a model (``models:/NAME@ALIAS``); None is what serves.

    Raises:
        TrackingError: There is none, or several begin so.
    """
    if name is None:
        return in_service(registry_of(home())).run_id
    if name.startswith("models:/"):
        return registry_of(home()).get(parse_reference(name)).run_id
    tracker = tracker_of(home())
    known = [record.run_id for record in tracker.search({}) if record.run_id.startswith(name)]
    if len(known) != 1:
        raise TrackingError(
            f"Expected a run or a model; {name!r} is the beginning of {len(known) or 'no'} runs.",
            reason="no_run" if not known else "ambiguous_run",
            hint="`cxr ui` lists the runs.",
        )
    return known[0]
