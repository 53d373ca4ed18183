"""What changed in service: one event out of its text, and the aliases that a sequence of events leaves.

Comes in: events in ledger order. Goes out: the aliases each model must have now. Laws: an event has one text, and
``read_event(event_text(e)) == e``; sequence numbers run from 1 without gaps; an event's ``before`` is what the events
before it leave; a refusal or a wait for approval leaves champion and previous alone; a version is approved only where
it waits for approval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cxr_core.digests import canonical_json
from cxr_core.errors import LedgerError

__all__ = ["ALIASES", "Alias", "Aliases", "Event", "EventKind", "event_path", "event_text", "read_event", "replay"]

Alias = Literal["challenger", "champion", "previous"]
EventKind = Literal["promoted", "refused", "pending", "approved", "rolled_back"]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Word = Annotated[str, Field(min_length=1)]
Aliases = Mapping[str, str]
"""Version by alias; an alias that is not there is absent."""

ALIASES: tuple[Alias, ...] = ("challenger", "champion", "previous")

_MOVING: tuple[EventKind, ...] = ("promoted", "approved", "rolled_back")


class Event(BaseModel):
    """One entry of the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    sequence: int = Field(default=1, ge=1, le=999_999, description="Place in the ledger, from 1; set on appending.")
    kind: EventKind
    who: Word = Field(description="The person or service that acted.")
    when: Word = Field(description="UTC, ISO 8601.")
    model: Word = Field(description="Registered model.")
    version: Word = Field(description="The version decided on; after a rollback the one now in service.")
    run: Word = Field(description="Run that trained the version.")
    commit: str = Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$", description="Commit that names the run's data.")
    decision: Digest | None = Field(description="Digest of the decision; null where a person rolled back.")
    evidence: Digest | None = Field(description="Digest of the evidence; null where a person rolled back.")
    before: dict[Alias, Word] = Field(description="The model's aliases before.")
    after: dict[Alias, Word] = Field(description="The model's aliases after.")
    reason: str = Field(description="Why, in words; required for a refusal, an approval and a rollback.")

    @field_validator("when")
    @classmethod
    def _is_utc(cls, when: str) -> str:
        if datetime.fromisoformat(when).utcoffset() != timedelta(0):
            raise ValueError("not a UTC time with its offset, e.g. 2025-01-31T08:00:00+00:00")
        return when


def event_path(event: Event) -> str:
    """The event's file in the ledger, e.g. ``events/000001-promoted.json``."""
    return f"events/{event.sequence:06d}-{event.kind}.json"


def event_text(event: Event) -> str:
    """The event's one text: canonical JSON and a line end."""
    return canonical_json(event.model_dump(by_alias=True)) + "\n"


def read_event(text: str) -> Event:
    """Parse an event's text.

    Raises:
        LedgerError: It is no event, does not hold in itself, or is not in canonical form; all faults are listed.
    """
    try:
        event = Event.model_validate_json(text)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise _refusal(faults) from error
    faults = _own_faults(event)
    if event_text(event) != text:
        faults.append("not in canonical form")
    if faults:
        raise _refusal([f"event {event.sequence}: {fault}" for fault in faults])
    return event


def replay(events: Sequence[Event]) -> dict[str, dict[str, str]]:
    """The aliases of every model after the last event.

    Returns:
        Version by alias, by model.

    Raises:
        LedgerError: An event does not follow from those before it; all faults are listed.
    """
    state: dict[str, dict[str, str]] = {}
    waiting: set[tuple[str, str]] = set()
    faults: list[str] = []
    for number, event in enumerate(events, start=1):
        found = _own_faults(event)
        if event.sequence != number:
            found.append(f"expected number {number}")
        held = state.get(event.model, {})
        if dict(event.before) != held:
            found.append(f"says {event.model} had {_words(event.before)}, the events before it leave {_words(held)}")
        candidate = (event.model, event.version)
        if event.kind == "approved" and candidate not in waiting:
            found.append(f"approves version {event.version} of {event.model}, which does not wait for approval")
        waiting = waiting | {candidate} if event.kind == "pending" else waiting - {candidate}
        state[event.model] = {str(alias): version for alias, version in event.after.items()}
        faults += [f"event {event.sequence} ({event.kind}): {fault}" for fault in found]
    if faults:
        raise _refusal(faults)
    return state


def _own_faults(event: Event) -> list[str]:
    faults: list[str] = []
    champion = event.after.get("champion")
    if event.kind in _MOVING:
        if champion != event.version:
            faults.append(f"version {event.version} should be champion after it, found {champion}")
    else:
        faults += [
            f"moves {alias}, which a {event.kind} event may not"
            for alias in ("champion", "previous")
            if event.before.get(alias) != event.after.get(alias)
        ]
    if event.kind != "rolled_back" and (event.decision is None or event.evidence is None):
        faults.append("has no decision or evidence digest")
    if event.kind in ("refused", "approved", "rolled_back") and not event.reason.strip():
        faults.append("gives no reason")
    return faults


def _words(aliases: Mapping[Alias, str] | Aliases) -> str:
    return ", ".join(f"{alias} {version}" for alias, version in sorted(aliases.items())) or "no alias"


def _refusal(faults: Sequence[str]) -> LedgerError:
    return LedgerError(f"The ledger does not hold: {'; '.join(faults)}.", reason="bad_event", hint="cxr verify")
