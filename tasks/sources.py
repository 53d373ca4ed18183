"""``cxr sources``: what is pinned, what upstream has now, and moving a pin once the difference has been seen.

Laws: ``status`` asks no network, ``check`` downloads nothing, neither changes anything; ``update`` compares image by
image before a pin moves, moves each source's pin in one step or not at all, and never touches the others.

``ok``, and with it the exit code: ``status`` where nothing here contradicts a pin; ``check`` where nothing needs doing;
``update`` where the pin of every source asked for holds (dry run: would hold) what upstream has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from cxr_core.classes import SOURCES, Source
from cxr_core.errors import CxrError, SettingError, SourceError
from cxr_core.files import write_text
from cxr_core.ingest.address import Address, FolderAddress, source_address
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, Pin, read_pins, with_pin
from cxr_core.params import read_params
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.workspace import make_home
from tasks.settings import Home, checkout, home
from tasks.source_changes import compare_with_pin
from tasks.source_versions import keep_catalogue, obtain, seen_revision, store_of, version_here

__all__ = ["check_sources", "source_status", "update_pins"]

_ABSENT = {"source_not_set": "not set", "source_not_found": "not there"}
# What upstream may answer that has a state of its own; all else that fails is 'unreachable'.
_ANSWERS = {ReachFault.CONSENT_NEEDED.value: "consent needed", ReachFault.VERSION_UNKNOWN.value: "not compared"}
_STATUS_HOLDS = frozenset({"as pinned", "not pinned", "not fetched", "not set"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What an update was asked for."""

    root: Path
    where: Home
    limit: float
    named: bool
    accept: bool
    dry_run: bool


def source_status() -> dict[str, Any]:
    """Each source's place, pin and state, for ``cxr sources status``; asks no network."""
    root = checkout()
    pins = _read_pins(root)
    rows = [_status(source, home(root), pins[source]) for source in SOURCES]
    return {"ok": all(row["state"] in _STATUS_HOLDS for row in rows), "sources": rows}


def check_sources(names: Sequence[str] = ()) -> dict[str, Any]:
    """What upstream has now against the pins, for ``cxr sources check``; nothing is downloaded.

    Raises:
        SettingError: A name is no source.
    """
    root = checkout()
    pins, asked = _read_pins(root), _asked(names)
    rows = [_check(source, home(root), pins[source]) for source in asked or SOURCES]
    # A source that nobody has set needs nothing, unless it was asked for by name.
    holds = {"as pinned"} if asked else {"as pinned", "not set"}
    return {"ok": all(row["state"] in holds for row in rows), "sources": rows}


def update_pins(names: Sequence[str] = (), *, accept_relabelled: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Show what changed in the named sources, or in all that are there, and pin them to what upstream has now.

    Args:
        names: Sources; empty means every one that is set and there.
        accept_relabelled: A person has looked: relabelling beyond the limit, or what cannot be compared, is taken.
        dry_run: Move no pin.

    Returns:
        ``ok``, ``dry_run``, ``sources`` (a row each) and, where a source was refused, the first ``error``.

    Raises:
        SettingError: A name is no source, or no source is set at all.
    """
    root = checkout()
    limit = read_params((root / "params.yaml").read_text(encoding="utf-8")).ingest.max_relabelled
    _read_pins(root)
    where, asked = home(root), _asked(names)
    make_home(where.root)
    if not asked:
        _demand_one()
    order = _Order(root=root, where=where, limit=limit, named=bool(asked), accept=accept_relabelled, dry_run=dry_run)
    rows = [_update(source, order) for source in asked or SOURCES]
    errors = [row["error"] for row in rows if row["error"]]
    report = {"ok": not errors, "dry_run": dry_run, "sources": rows}
    return report | ({"error": errors[0]} if errors else {})


def _status(source: Source, where: Home, pin: Pin | None) -> dict[str, Any]:
    row = _row(source, pin, found="", version="", detail="")
    row |= {"files": pin.files if pin else 0, "bytes": pin.bytes if pin else 0}
    try:
        address = source_address(source, os.environ)
        row |= {"at": str(address), "kind": address.kind}
        folder, version = _folder(source, where, pin, address)
        if folder is None:
            return row | {"state": "not fetched" if pin else "not pinned"}
        listing = list_source(folder)
    except CxrError as error:
        # That nothing is set is no news beside the state's own words.
        return row | _failed(error) | {"detail": "" if error.reason == "source_not_set" else error.message}
    row |= {"files": listing.files, "bytes": listing.bytes, "found": listing.revision, "version": version}
    if pin is None:
        return row | {"state": "not pinned", "hint": f"cxr sources update {source}"}
    if pin.revision == listing.revision:
        return row | {"state": "as pinned"}
    fetch_again = f"rm -r {folder}; the next retrain fetches it again"
    return row | {
        "state": "differs from its pin",
        "hint": fetch_again if version else f"cxr sources update {source} --dry-run",
    }


def _folder(source: Source, where: Home, pin: Pin | None, address: Address) -> tuple[Path | None, str]:
    """Where a source lies on this machine, and which version that is."""
    if isinstance(address, FolderAddress):
        return address.path, ""
    version = version_here(source, where, pin.revision if pin else "")
    return (version.path(source, where), version.upstream) if version else (None, "")


def _check(source: Source, where: Home, pin: Pin | None) -> dict[str, Any]:
    row = _row(source, pin, newest="", detail="")
    try:
        address = source_address(source, os.environ)
        row |= {"at": str(address), "kind": address.kind}
        newest = _newest(source, where, address)
    except CxrError as error:
        return row | _failed(error, upstream=True) | {"detail": error.message}
    row |= {"newest": newest, "hint": f"cxr sources update {source}"}
    if pin is None:
        return row | {"state": "not pinned"}
    if newest in (pin.upstream, pin.revision):
        return row | {"state": "as pinned", "hint": ""}
    if seen_revision(source, where, newest) == pin.revision:
        return row | {"state": "as pinned", "hint": "", "detail": f"{newest} brought the pinned bytes again"}
    if isinstance(address, FolderAddress):
        return row | {"state": "differs from its pin", "hint": f"cxr sources update {source} --dry-run"}
    if words := _incomparable(source, where, pin, address, newest):
        return row | {"state": "not compared", "detail": words}
    return row | {"state": "newer upstream"}


def _incomparable(source: Source, where: Home, pin: Pin, address: Address, newest: str) -> str:
    """Why two versions that are named otherwise may yet be the same bytes; empty where they are known to differ."""
    if pin.kind != address.kind:
        return f"pinned from {pin.kind}, reached by {address.kind}: only an update can compare the bytes"
    # A server's word for a version says something only where a version under that word was fetched before.
    if newest.startswith("https:etag:") and version_here(source, where, pin.revision) is None:
        return "the server names its version in words of its own: only an update can compare the bytes"
    return ""


def _newest(source: Source, where: Home, address: Address) -> str:
    """What is at an address now: a folder's revision, or the version that upstream names."""
    if isinstance(address, FolderAddress):
        return list_source(address.path).revision
    # Network clients are imported by those who have something to ask.
    from tasks.adapters.reach import reach

    return reach.newest(source, address, store=store_of(source, where))


def _update(source: Source, order: _Order) -> dict[str, Any]:
    """One source's row; its pin moves only where nothing was refused."""
    standing = _read_pins(order.root)[source]
    row = _row(source, standing, before=_summary(standing), after=None, detail="", error=None)
    row |= {"basis": "", "labels": {}, "changes": None}
    try:
        address = source_address(source, os.environ)
        row |= {"at": str(address), "kind": address.kind}
        comparison = compare_with_pin(source, order.where, standing, obtain(source, order.where))
        row |= comparison.as_dict() | {"after": _summary(comparison.pin)}
        refusal = comparison.refusal(source, limit=order.limit)
        if refusal is not None and not order.accept:
            raise refusal
        if not order.dry_run:
            # First: no pin ever moves to what a later version could not be compared with.
            keep_catalogue(source, order.where, comparison.catalogue)
            _move(source, order, standing, comparison.pin)
    except CxrError as error:
        # Of all sources those that are there are meant; of named ones, each.
        refused = order.named or error.reason not in _ABSENT
        return row | _failed(error) | {"error": error.as_dict() if refused else None}
    return row | {"state": _outcome(standing, comparison.pin, dry_run=order.dry_run), "detail": comparison.detail}


def _move(source: Source, order: _Order, standing: Pin | None, pin: Pin) -> None:
    """Write one pin into the lock file as it is now, unless somebody has moved that pin meanwhile."""
    if pin == standing:
        return
    path = order.root / PINS_PATH
    with FileLock(order.where.root / "pins.lock"):
        text = path.read_text(encoding="utf-8")
        if read_pins(text)[source] != standing:
            raise SourceError(
                f"The pin of {source} in {path} was moved by another hand while this update compared with it.",
                reason="pin_moved",
                hint=f"Compare anew: cxr sources update {source}",
            )
        write_text(path, with_pin(text, source, pin))


def _outcome(standing: Pin | None, pin: Pin, *, dry_run: bool) -> str:
    if pin == standing:
        return "unchanged"
    if standing is None:
        return "would pin" if dry_run else "pinned"
    return "would move" if dry_run else "moved"


def _row(source: Source, pin: Pin | None, **more: Any) -> dict[str, Any]:
    """What every row begins with."""
    pinned = {"pinned": pin.revision if pin else "", "upstream": pin.upstream if pin else ""}
    return {"source": source, "at": "", "kind": "", "state": "", "hint": "", **pinned, **more}


def _failed(error: CxrError, *, upstream: bool = False) -> dict[str, str]:
    """The state and the next step of a source that could not be looked at."""
    words = f"unreachable: {error.message}" if upstream else error.reason
    state = _ABSENT.get(error.reason) or (upstream and _ANSWERS.get(error.reason)) or words
    return {"state": state, "hint": error.hint}


def _summary(pin: Pin | None) -> dict[str, Any] | None:
    return None if pin is None else pin.plain()


def _asked(names: Sequence[str]) -> list[Source]:
    """The named sources, in their own order."""
    if unknown := [name for name in names if name not in SOURCES]:
        raise SettingError(
            f"{', '.join(unknown)}: no such source; there are {', '.join(SOURCES)}.",
            reason="unknown_source",
            hint="cxr sources status",
        )
    return [source for source in SOURCES if source in names]


def _demand_one() -> None:
    """Refuse where no source is there at all, in the words of the first that is not."""
    absent: list[SettingError] = []
    for source in SOURCES:
        try:
            source_address(source, os.environ)
        except SettingError as error:
            absent.append(error)
    if len(absent) == len(SOURCES):
        raise absent[0]


def _read_pins(root: Path) -> dict[Source, Pin | None]:
    return read_pins((root / PINS_PATH).read_text(encoding="utf-8"))
