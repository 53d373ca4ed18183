"""``ingest``: sources to raw files, under their pins; and what ``cxr sources`` says of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import SOURCES, Source
from cxr_core.errors import CxrError, SettingError
from cxr_core.files import read_json, write_text
from cxr_core.ingest.address import source_address
from cxr_core.ingest.connectors import LICENCES
from cxr_core.ingest.listing import Listing, list_source
from cxr_core.ingest.pins import PINS_PATH, Pin, check_pin, pin_of, read_pins, with_pin
from tasks.events import note, stage_done, stage_started
from tasks.reproduce import outcome_words, reproduce
from tasks.run import Run
from tasks.settings import checkout

__all__ = ["ingest", "source_status", "update_pins"]


@task(name="ingest", cache_policy=NO_CACHE)
def ingest(run: Run) -> dict[Source, dict[str, Any]]:
    """Check or make each source's pin, then read what has changed; returns each source's summary."""
    stage_started("ingest", "pins")
    _pin(run)
    outcomes = reproduce(run, "ingest", [f"ingest@{source}" for source in SOURCES])
    summaries: dict[Source, dict[str, Any]] = {
        source: read_json(run.path / f"data/raw/{source}/summary.json") for source in SOURCES
    }
    quarantined = sum(summary["quarantined"] for summary in summaries.values())
    stage_done(
        "ingest",
        " · ".join(f"{source} {summary['records']}" for source, summary in summaries.items())
        + f" images; {quarantined} in quarantine{outcome_words([*outcomes.values()])}",
    )
    return summaries


def source_status() -> dict[str, Any]:
    """Each source's place, pin and state, for ``cxr sources status``; ``ok`` where no reachable source differs."""
    pins = read_pins((checkout() / PINS_PATH).read_text(encoding="utf-8"))
    rows = [_status(source, pins[source]) for source in SOURCES]
    return {"ok": all(row["state"] in ("as pinned", "not pinned", "not set") for row in rows), "sources": rows}


def update_pins(names: Sequence[str] = ()) -> dict[str, Any]:
    """Pin the named sources, or all that are there, to what is there now, in the checkout's lock file.

    Raises:
        SettingError: A name is no source, or a named source (or every one) is not there.
    """
    if unknown := [name for name in names if name not in SOURCES]:
        raise SettingError(
            f"{', '.join(unknown)}: no such source; there are {', '.join(SOURCES)}.",
            reason="unknown_source",
            hint="cxr sources status",
        )
    path = checkout() / PINS_PATH
    text = path.read_text(encoding="utf-8")
    chosen: list[Source] = [source for source in SOURCES if (names.count(source) if names else _is_there(source))]
    for source in chosen or SOURCES:
        text = with_pin(text, source, _pin_for(source, list_source(source_address(source, os.environ))))
    write_text(path, text)
    return source_status()


def _pin(run: Run) -> None:
    path = run.path / PINS_PATH
    text = path.read_text(encoding="utf-8")
    pins = read_pins(text)
    first: list[str] = []
    for source in run.params.ingest.sources:
        listing = list_source(source_address(source, os.environ))
        if pins[source] is None:
            text = with_pin(text, source, _pin_for(source, listing))
            first.append(source)
        else:
            check_pin(source, pins[source], listing)
    if first:
        write_text(path, text)
        note(
            "ingest", f"{', '.join(first)} not pinned: this run pins what is there now (`cxr sources update` keeps it)"
        )


def _pin_for(source: Source, listing: Listing) -> Pin:
    return pin_of(listing, licence=LICENCES[source])


def _is_there(source: Source) -> bool:
    try:
        source_address(source, os.environ)
    except SettingError:
        return False
    return True


def _status(source: Source, pin: Pin | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": source,
        "at": "",
        "files": pin.files if pin else 0,
        "pinned": pin.revision[:19] if pin else "",
        "found": "",
        "state": "not set",
    }
    try:
        address = source_address(source, os.environ)
        row["at"] = str(address)
        listing = list_source(address)
    except CxrError as error:
        return row | {"state": "not set" if error.reason == "source_not_set" else f"{error.reason}: {error.message}"}
    row |= {"files": listing.files, "found": listing.revision[:19]}
    if pin is None:
        return row | {"state": "not pinned"}
    return row | {"state": "as pinned" if pin.revision == listing.revision else "differs from its pin"}
