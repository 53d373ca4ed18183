"""The ledger: an append-only git ref in the checkout's repository, one JSON file and one commit an event.

On ``refs/cxr/ledger``, or a ref of its own for another registry, each commit has one parent, adds
``events/<number>-<kind>.json`` and changes nothing else, so that hash chain, replication (``git push origin REF``) and
signatures are git's. Appending is compare-and-swap: of two writers one is first, and the other's event is checked again
against what the first left.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_core.audit.ledger_state import Event, event_path, event_text, read_event, replay
from cxr_core.errors import CxrError, LedgerError
from tasks.adapters.git import commit_files, find_checkout, move_ref, resolve, run_git, try_git

__all__ = ["LEDGER_REF", "LedgerReport", "append_event", "read_events", "verify_ledger"]

LEDGER_REF = "refs/cxr/ledger"
"""The ledger's ref unless a caller names another; git allows none below it (``refs/cxr/ledger/x``) beside it."""

_ATTEMPTS = 50
_WAIT_SECONDS = 0.05
# git's %G?: what it found of a commit's signature.
_VERDICTS = {
    "N": "it is not signed",
    "U": "signed by a key that is not allowed",
    "B": "its signature does not match its content",
    "E": "its signature cannot be checked",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerReport:
    """What a walk over the whole ledger found.

    Args:
        tip: The last commit; None where the ledger is empty.
        events: In ledger order; those before the first fault of a file.
        faults: What does not hold; empty where the ledger is intact.
        signatures: ``unsigned``, ``n of m signed, not checked`` (no allowed-signers file is set) or ``checked``.
        signers: Principal by event number, where signatures were checked.
    """

    tip: str | None
    events: tuple[Event, ...]
    faults: tuple[str, ...]
    signatures: str
    signers: dict[int, str]

    @property
    def ok(self) -> bool:
        """Whether the ledger is intact."""
        return not self.faults

    def as_dict(self) -> dict[str, object]:
        """Plain JSON."""
        return {
            "ok": self.ok,
            "tip": self.tip,
            "events": len(self.events),
            "faults": list(self.faults),
            "signatures": self.signatures,
            "signers": {str(number): name for number, name in self.signers.items()},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Link:
    """A commit of the ledger: its parents, and the rows ``status blob path`` of what it changed."""

    commit: str
    parents: tuple[str, ...]
    changes: tuple[tuple[str, str, str], ...]


def append_event(checkout: Path, event: Event, *, ref: str = LEDGER_REF, signing_key: Path | None = None) -> Event:
    """Append one event; aliases may be moved only after this returned.

    Args:
        checkout: The user's checkout.
        event: Its ``sequence`` is replaced by the next free one.
        ref: The ledger's ref.
        signing_key: ``CXR_SIGNING_KEY``: an SSH private key, or a public one whose private part an agent holds.

    Returns:
        The event as it stands in the ledger.

    Raises:
        LedgerError: The event does not follow from the ledger as it is now (``before`` is not what it leaves, say), or
            other writers were always first.
        VersioningError: Git refused, e.g. the signing key.
    """
    checkout = find_checkout(checkout)
    for attempt in range(_ATTEMPTS):
        tip = resolve(checkout, ref)
        events = _events_at(checkout, tip)
        placed = event.model_copy(update={"sequence": len(events) + 1})
        read_event(event_text(placed))
        replay([*events, placed])
        message = f"{placed.sequence}: {placed.kind} {placed.model} {placed.version}"
        files = {event_path(placed): event_text(placed).encode()}
        commit = commit_files(checkout, parent=tip, files=files, message=message, signing_key=signing_key)
        if move_ref(checkout, ref, new=commit, old=tip):
            return placed
        # Writers that lost the race come back at different times; no secret depends on this number.
        time.sleep(random.uniform(0, _WAIT_SECONDS * (1 + attempt)))  # noqa: S311
    raise LedgerError(
        f"Other writers were first {_ATTEMPTS} times.", reason="ledger_busy", hint="Run the same command again."
    )


def read_events(checkout: Path, *, ref: str = LEDGER_REF) -> list[Event]:
    """The events in order; empty where there is no ledger yet.

    Raises:
        LedgerError: The ledger's files are not a sequence of events, or do not follow from each other.
    """
    checkout = find_checkout(checkout)
    events = _events_at(checkout, resolve(checkout, ref))
    replay(events)
    return events


def verify_ledger(checkout: Path, *, ref: str = LEDGER_REF, allowed_signers: Path | None = None) -> LedgerReport:
    """Walk every commit of the ledger: one line of parents, one event file added a commit and nothing else, sequence,
    schema, replay and, where a file of allowed signers is given, every signature.

    Args:
        checkout: The user's checkout.
        ref: The ledger's ref.
        allowed_signers: ``CXR_ALLOWED_SIGNERS``: lines ``principal key-type key`` as ``ssh-keygen -Y verify`` reads.
    """
    checkout = find_checkout(checkout)
    tip = resolve(checkout, ref)
    if tip is None:
        return LedgerReport(tip=None, events=(), faults=(), signatures="unsigned", signers={})
    faults: list[str] = []
    events: list[Event] = []
    links = _links(checkout, tip)
    for number, link in enumerate(links, start=1):
        wanted = (links[number - 2].commit,) if number > 1 else ()
        if link.parents != wanted:
            faults.append(
                f"commit {link.commit}: its parents are {link.parents or 'none'}, expected {wanted or 'none'}"
            )
        try:
            events.append(_added_event(checkout, link))
        except CxrError as error:
            faults.append(f"commit {link.commit}: {error.message}")
    if not faults:
        try:
            replay(events)
        except LedgerError as error:
            faults.append(error.message)
    signatures, signers, unsigned = _signatures(checkout, links, allowed_signers)
    return LedgerReport(
        tip=tip, events=tuple(events), faults=(*faults, *unsigned), signatures=signatures, signers=signers
    )


def _events_at(checkout: Path, tip: str | None) -> list[Event]:
    if tip is None:
        return []
    listed = run_git(checkout, "ls-tree", "-r", "-z", "--full-tree", "--format=%(objectname) %(path)", tip)
    rows = sorted((row.decode().split(" ", 1) for row in listed.split(b"\0") if row), key=lambda row: row[1])
    texts = _texts(checkout, [blob for blob, _ in rows])
    events = [read_event(text) for text in texts]
    for event, (_, path) in zip(events, rows, strict=True):
        if path != event_path(event):
            raise LedgerError(f"{path} holds event {event.sequence}.", reason="misplaced_event", hint="cxr verify")
    return events


def _links(checkout: Path, tip: str) -> list[_Link]:
    """The ledger's commits from the first to the tip, along first parents."""
    form = "--format=commit %H %P"
    log = run_git(
        checkout,
        "log",
        "--first-parent",
        "--reverse",
        "--root",
        "-m",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        form,
        tip,
    )
    links: list[_Link] = []
    for line in log.decode().splitlines():
        if line.startswith("commit "):
            commit, *parents = line.split()[1:]
            links.append(_Link(commit=commit, parents=tuple(parents), changes=()))
        elif line.startswith(":"):
            facts, path = line.split("\t", 1)
            _, mode, _, blob, status = facts.split()
            last = links[-1]
            change = (f"{status} {mode}", blob, path)
            links[-1] = _Link(commit=last.commit, parents=last.parents, changes=(*last.changes, change))
    return links


def _added_event(checkout: Path, link: _Link) -> Event:
    if len(link.changes) != 1 or link.changes[0][0] != "A 100644":
        changes = ", ".join(f"{status} {path}" for status, _, path in link.changes) or "nothing"
        raise LedgerError(f"expected one event file added, found {changes}", reason="tampered", hint="cxr verify")
    _, blob, path = link.changes[0]
    event = read_event(_texts(checkout, [blob])[0])
    if path != event_path(event):
        raise LedgerError(f"{path} holds event {event.sequence}", reason="misplaced_event", hint="cxr verify")
    return event


def _signatures(checkout: Path, links: Sequence[_Link], allowed: Path | None) -> tuple[str, dict[int, str], list[str]]:
    if allowed is None:
        signed = sum("\ngpgsig" in text for text in _texts(checkout, [link.commit for link in links]))
        return f"{signed} of {len(links)} signed, not checked" if signed else "unsigned", {}, []
    if not allowed.is_file():
        return "not checked", {}, [f"the file of allowed signers {allowed} does not exist"]
    signers: dict[int, str] = {}
    faults: list[str] = []
    for number, link in enumerate(links, start=1):
        options = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={allowed.absolute()}")
        words = try_git(checkout, *options, "log", "-1", "--format=%G? %GS", link.commit) or b""
        verdict, _, signer = words.decode(errors="replace").strip().partition(" ")
        if verdict == "G":
            signers[number] = signer
        else:
            faults.append(f"commit {link.commit} (event {number}): {_VERDICTS.get(verdict, 'its signature fails')}")
    return "checked", signers, faults


def _texts(checkout: Path, names: Sequence[str]) -> list[str]:
    """Texts of git objects, by one process.

    Raises:
        LedgerError: One is not UTF-8; to replace what cannot be read would let a changed byte pass.
    """
    out = run_git(checkout, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
    texts: list[str] = []
    position = 0
    for _ in names:
        end = out.index(b"\n", position)
        size = int(out[position:end].split()[2])
        try:
            texts.append(out[end + 1 : end + 1 + size].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise LedgerError("an entry is not UTF-8", reason="bad_event", hint="cxr verify") from error
        position = end + 1 + size + 1
    return texts
