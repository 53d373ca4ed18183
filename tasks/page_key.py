"""Whether a run's page still says what would be drawn, known without drawing it.

A page follows from the run's artifacts, the last decision about its model and the code that draws; their digest is a
tag of the run, written with the page.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from cxr_core.audit.ledger_state import Event
from cxr_core.digests import digest_file, digest_value
from cxr_core.errors import TrackingError
from cxr_core.train.key import import_closure
from tasks.adapters.artifacts import artifact_place
from tasks.adapters.git import resolve
from tasks.adapters.ledger import read_events
from tasks.events import stage_done, stage_started
from tasks.run import Run
from tasks.settings import Home, checkout
from tasks.stores import ledger_ref, registry_of, tracker_of

__all__ = ["FORMS_FOLDER", "PAGE_FILE", "PAGE_TAG", "last_decision", "page_key", "page_place", "standing_page"]

PAGE_FILE = "report.html"
FORMS_FOLDER = "forms/"
PAGE_TAG = "cxr.page"

_ENTRIES = ("cxr_core.report.page", "cxr_core.report.forms.published", "cxr_core.report.tracing")
_CODE = "tasks/page.py"


def standing_page(run: Run, parent: str) -> str | None:
    """Where a finished run's page lies; None where none is whole, or where another one would be drawn now."""
    tracker = tracker_of(run.home)
    if tracker.read(parent).tags.get(PAGE_TAG) != page_key(run, parent):
        return None
    with tempfile.TemporaryDirectory() as scratch, suppress(TrackingError):
        size = tracker.fetch(parent, PAGE_FILE, Path(scratch) / "page").stat().st_size
        stage_started("report")
        place = page_place(run.home, parent)
        stage_done("report", f"{size / 1e6:.1f} MB, {place}; unchanged")
        return place
    return None


def page_key(run: Run, parent: str) -> str:
    """Digest of all that a page is made of: ``sha256:<hex>``."""
    digests = tracker_of(run.home).read(parent).digests
    event = last_decision(run.home, parent)
    closures = [import_closure(run.path / "cxr_core", entry=entry) for entry in _ENTRIES]
    return digest_value(
        {
            "artifacts": {
                name: digest
                for name, digest in digests.items()
                if name != PAGE_FILE and not name.startswith(FORMS_FOLDER)
            },
            "decided": None if event is None else [event.sequence, event.kind, event.when, event.who, event.decision],
            "code": {_CODE: digest_file(run.path / _CODE), **{path: one[path] for one in closures for path in one}},
        }
    )


def last_decision(where: Home, run_id: str) -> Event | None:
    """The ledger's last decision about the version that a run registered; None where it cannot be had here."""
    with suppress(TrackingError):
        root, ref = checkout(), ledger_ref(registry_of(where))
        events = read_events(root, ref=ref) if ref and resolve(root, ref) else []
        return next((one for one in reversed(events) if one.run == run_id and one.decision), None)
    return None


def page_place(where: Home, run_id: str) -> str:
    """Where a person finds a run's page: its file where artifacts lie on this machine, else the command for it."""
    path = artifact_place(tracker_of(where).read(run_id), PAGE_FILE)
    return str(path) if path else f"cxr report {run_id[:8]} --out {PAGE_FILE}"
