"""Whether a run's page still says what would be drawn, known without drawing it.

A page and its forms follow from what a finished run holds, which does not change, from the run's name, the last
decision about its model and the code that draws. The digest of these, and of the files that came of them, is a tag of
the run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
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

__all__ = [
    "PAGE_FILE",
    "PAGE_TAG",
    "last_decision",
    "page_key",
    "page_place",
    "page_tag",
    "standing_page",
]

PAGE_FILE = "report.html"
_FORMS_FOLDER = "forms/"
PAGE_TAG = "cxr.page"

_ENTRIES = ("cxr_core.report.page", "cxr_core.report.forms.published", "cxr_core.report.tracing")
_CODE = ("tasks/evidence.py", "tasks/page.py", "tasks/software.py")
_TEMPLATES = "cxr_core/report/templates"


def standing_page(run: Run, parent: str) -> str | None:
    """Where a finished run's page lies; None where it or a form is not whole, or where others would be drawn now."""
    tracker = tracker_of(run.home)
    record = tracker.read(parent)
    if record.tags.get(PAGE_TAG) != page_tag(page_key(run, parent), record.digests):
        return None
    with tempfile.TemporaryDirectory() as scratch, suppress(TrackingError):
        drawn = [
            tracker.fetch(parent, name, Path(scratch) / str(number))
            for number, name in enumerate(_drawn(record.digests))
        ]
        stage_started("report")
        place = page_place(run.home, parent)
        stage_done("report", f"{drawn[0].stat().st_size / 1e6:.1f} MB, {place}; unchanged")
        return place
    return None


def page_key(run: Run, parent: str) -> str:
    """Digest of what a page would be made of now: ``sha256:<hex>``."""
    record = tracker_of(run.home).read(parent)
    event = last_decision(run.home, parent)
    others = [*(run.path / name for name in _CODE), *sorted((run.path / _TEMPLATES).iterdir())]
    drawn = _drawn(record.digests)
    return digest_value(
        {
            "name": record.name,
            "artifacts": {name: digest for name, digest in record.digests.items() if name not in drawn},
            "decided": None if event is None else [event.sequence, event.kind, event.when, event.who, event.decision],
            "code": import_closure(run.path / "cxr_core", entry=_ENTRIES)
            | {path.relative_to(run.path).as_posix(): digest_file(path) for path in others},
        }
    )


def page_tag(key: str, digests: Mapping[str, str]) -> str:
    """What a run's tag says of the files that were drawn for a key.

    Args:
        key: As ``page_key`` said before they were drawn.
        digests: Of the run's artifacts, with theirs.
    """
    return digest_value([key, {name: digests[name] for name in _drawn(digests)}])


def _drawn(digests: Mapping[str, str]) -> list[str]:
    """Names of the page, first, and the forms among a run's artifacts."""
    forms = sorted(name for name in digests if name.startswith(_FORMS_FOLDER))
    return [PAGE_FILE, *forms] if PAGE_FILE in digests else forms


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
