"""What is in service: one writer, the ledger first, then the registry's aliases.

Laws: aliases move only after their event stands in the ledger; one process writes at a time; a registry that is not the
ledger's last word is not written to before somebody has mended it; an event that says nothing new is not entered.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from cxr_core.audit.ledger_state import Alias, Event, EventKind
from cxr_core.errors import LedgerError
from tasks.adapters.git import resolve
from tasks.adapters.ledger import append_event, read_events
from tasks.adapters.registry import ModelVersion, Registry
from tasks.run import actor
from tasks.settings import Home, checkout
from tasks.stores import MODEL, fact, ledger_ref, registry_of, start_ledger

__all__ = ["Service", "check_present", "mend_aliases", "registered_aliases", "writing"]

_LOCK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """What is in service, held for writing.

    Attributes:
        checkout: Whose repository holds the ledger.
        ref: The ledger's ref.
        registry: Where the aliases are.
        events: The ledger so far.
        aliases: What they leave: version by alias.
    """

    checkout: Path
    ref: str
    registry: Registry
    events: tuple[Event, ...]
    aliases: dict[Alias, str]

    def enter(
        self,
        kind: EventKind,
        version: ModelVersion,
        after: Mapping[Alias, str],
        *,
        reason: str,
        decision: str | None = None,
        evidence: str | None = None,
    ) -> Event:
        """Write an event, then move the aliases; where the ledger already ends so for this version, neither.

        Raises:
            LedgerError: The event does not follow from the ledger.
            TrackingError: The registry refused; `cxr verify --mend` then finishes what the ledger says.
        """
        standing = next((event for event in reversed(self.events) if event.version == str(version.version)), None)
        if standing and (standing.kind, standing.decision) == (kind, decision) and dict(after) == self.aliases:
            return standing
        key = os.environ.get("CXR_SIGNING_KEY")
        event = append_event(
            self.checkout,
            Event(
                sequence=len(self.events) + 1,
                kind=kind,
                who=actor(),
                when=datetime.now(UTC).isoformat(timespec="seconds"),
                model=MODEL,
                version=str(version.version),
                run=version.run_id,
                commit=fact(version, "cxr.commit"),
                decision=decision,
                evidence=evidence,
                before=self.aliases,
                after=dict(after),
                reason=reason,
            ),
            ref=self.ref,
            signing_key=Path(key).expanduser() if key else None,
        )
        _set_aliases(self.registry, event.after)
        return event


@contextmanager
def writing(where: Home) -> Generator[Service]:
    """Hold what is in service for writing.

    Raises:
        LedgerError: Another process holds it, the ledger is broken or not here, or the registry differs from it.
    """
    with _locked(where):
        service = _read(where)
        found = registered_aliases(service.registry)
        if found != service.aliases:
            raise LedgerError(
                f"The ledger says {_words(service.aliases)}; the registry says {_words(found)}.",
                reason="registry_differs",
                hint="`cxr verify` shows it; `cxr verify --mend` sets the registry to the ledger's last word.",
            )
        yield service


def mend_aliases(where: Home) -> None:
    """Set the registry's aliases to the ledger's last word.

    Raises:
        LedgerError: The ledger itself is broken, or not in this repository; nothing is set then.
    """
    with _locked(where):
        service = _read(where)
        _set_aliases(service.registry, service.aliases)


def check_present(root: Path, ref: str) -> None:
    """Refuse to take a ledger that is elsewhere for an empty one.

    Raises:
        LedgerError: This repository has no such ref.
    """
    if resolve(root, ref) is None:
        raise LedgerError(
            f"The registry's ledger is {ref}; {root} does not have it.",
            reason="ledger_absent",
            hint="git fetch origin 'refs/cxr/*:refs/cxr/*', or work in the checkout that decided before.",
        )


@contextmanager
def _locked(where: Home) -> Generator[None]:
    where.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(where.root / "service.lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise LedgerError(
            f"Another process has been deciding for {_LOCK_SECONDS:.0f} seconds.",
            reason="service_busy",
            hint="Run the same command again when it is done.",
        ) from error


def _read(where: Home) -> Service:
    root, registry = checkout(), registry_of(where)
    ref = ledger_ref(registry)
    if ref is None:
        return Service(checkout=root, ref=start_ledger(registry), registry=registry, events=(), aliases={})
    # A ledger that was named but never written to has nothing that could be lost.
    if resolve(root, ref) is None and registered_aliases(registry):
        check_present(root, ref)
    events = tuple(read_events(root, ref=ref))
    aliases = events[-1].after.copy() if events else {}
    return Service(checkout=root, ref=ref, registry=registry, events=events, aliases=aliases)


def registered_aliases(registry: Registry) -> dict[str, str]:
    """Version by alias, as the registry has them."""
    return {alias: str(number) for alias, number in registry.aliases(MODEL).items()}


def _set_aliases(registry: Registry, wanted: Mapping[Alias, str]) -> None:
    found = registered_aliases(registry)
    for alias, version in wanted.items():
        if found.get(alias) != version:
            registry.set_alias(MODEL, alias, int(version))
    for alias in found:
        if alias not in wanted:
            registry.delete_alias(MODEL, alias)


def _words(aliases: Mapping[Alias, str] | Mapping[str, str]) -> str:
    return ", ".join(f"{alias} is version {version}" for alias, version in sorted(aliases.items())) or "no alias"
