"""``ingest``: sources to raw files, under their pins.

Laws: no byte that a pin does not name is read; a source without a pin is pinned in the run's own commit and said to be;
what each version said of its images is kept, so that the next one can be compared with it.
"""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import SOURCES, Source
from cxr_core.files import read_json, write_text
from cxr_core.ingest.address import source_variable
from cxr_core.ingest.catalogue import catalogue_of
from cxr_core.ingest.pins import PINS_PATH, read_pins, with_pin
from tasks.events import note, stage_done, stage_started
from tasks.reproduce import note_settled, outcome_words, reproduce
from tasks.run import Run
from tasks.source_versions import Found, has_catalogue, keep_catalogue, obtain, obtain_pinned

__all__ = ["ingest"]


@task(name="ingest", cache_policy=NO_CACHE)
def ingest(run: Run) -> dict[Source, dict[str, Any]]:
    """Bring each source here, check or make its pin, then read what has changed; returns each source's summary."""
    stage_started("ingest", "pins")
    found = _find(run)
    folders = {source_variable(source): str(one.tree.root) for source, one in found.items()}
    outcomes = reproduce(run, "ingest", [f"ingest@{source}" for source in SOURCES], variables=folders)
    summaries: dict[Source, dict[str, Any]] = {
        source: read_json(run.path / f"data/raw/{source}/summary.json") for source in SOURCES
    }
    if set(outcomes.values()) == {"unchanged"}:
        note_settled(run)
    quarantined = sum(summary["quarantined"] for summary in summaries.values())
    stage_done(
        "ingest",
        " · ".join(f"{source} {summary['records']}" for source, summary in summaries.items())
        + f" images; {quarantined} in quarantine{outcome_words([*outcomes.values()])}",
    )
    return summaries


def _find(run: Run) -> dict[Source, Found]:
    """Every source of the run on this machine, as pinned; what is not pinned is, to what is there now."""
    path = run.path / PINS_PATH
    text = path.read_text(encoding="utf-8")
    pins = read_pins(text)
    found: dict[Source, Found] = {}
    for source in run.params.ingest.sources:
        pin = pins[source]
        one = obtain(source, run.home) if pin is None else obtain_pinned(source, run.home, pin)
        if pin is None:
            text = with_pin(text, source, one.pin)
        if not has_catalogue(source, run.home, one.tree.listing.revision):
            keep_catalogue(source, run.home, catalogue_of(one.tree))
        found[source] = one
    first = [source for source in found if pins[source] is None]
    if first:
        write_text(path, text)
        note(
            "ingest", f"{', '.join(first)} not pinned: this run pins what is there now (`cxr sources update` keeps it)"
        )
    return found
