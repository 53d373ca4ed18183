"""The ledger only grows, by one writer at a time, and whoever rewrites it is found out."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxr_core.audit.ledger_state import Event, event_path, event_text, replay
from cxr_core.errors import LedgerError, VersioningError
from tasks.adapters.git import commit_files, commit_tree, run_git
from tasks.adapters.ledger import LEDGER_REF, append_event, read_events, verify_ledger
from tests.cxr_core.audit.test_ledger_state import APPROVED, BACK, FIRST, SECOND, WAITS, event
from tests.tasks.adapters.tiny import ROOT, git

STORY = [FIRST, SECOND, WAITS, APPROVED, BACK]


@pytest.fixture
def ledger(checkout: Path) -> Path:
    """A checkout with two events."""
    append_event(checkout, FIRST)
    append_event(checkout, SECOND)
    return checkout


def _set(checkout: Path, commit: str) -> None:
    git(checkout, "update-ref", LEDGER_REF, commit)


def _tip(checkout: Path) -> str:
    return git(checkout, "rev-parse", LEDGER_REF).strip()


def _third() -> Event:
    return WAITS.model_copy(update={"sequence": 3})


def test_events_come_back_in_order_and_leave_the_checkout_as_it_was(checkout: Path) -> None:
    assert read_events(checkout) == []
    assert verify_ledger(checkout).ok
    placed = [append_event(checkout, item) for item in STORY]
    assert [item.sequence for item in placed] == [1, 2, 3, 4, 5]
    assert read_events(checkout) == placed
    report = verify_ledger(checkout)
    assert (report.ok, report.signatures, report.events) == (True, "unsigned", tuple(placed))
    assert report.as_dict()["events"] == 5
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "show", f"{LEDGER_REF}:events/000001-promoted.json") == event_text(placed[0])


def test_an_event_made_from_an_outdated_state_is_refused(ledger: Path) -> None:
    with pytest.raises(LedgerError, match="says m had champion 1, the events before it leave champion 2"):
        append_event(ledger, SECOND)
    assert len(read_events(ledger)) == 2


def test_two_ledgers_in_one_repository_do_not_meet(ledger: Path) -> None:
    append_event(ledger, FIRST, ref="refs/cxr/other")
    assert len(read_events(ledger)) == 2
    assert len(read_events(ledger, ref="refs/cxr/other")) == 1
    assert verify_ledger(ledger, ref="refs/cxr/other").ok


def test_writers_at_once_each_get_a_place(checkout: Path) -> None:
    events = [event("promoted", "1", {}, {"champion": "1"}, model=f"m{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(lambda item: append_event(checkout, item), events))
    assert sorted(item.sequence for item in placed) == list(range(1, 9))
    assert verify_ledger(checkout).ok
    assert set(replay(read_events(checkout))) == {f"m{number}" for number in range(8)}


def test_two_processes_that_promote_one_model_do_not_both_succeed(ledger: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from cxr_core.audit.ledger_state import read_event\n"
        "from tasks.adapters.ledger import append_event\n"
        "append_event(pathlib.Path(sys.argv[1]), read_event(sys.argv[2]))"
    )
    rivals = [event("promoted", version, dict(SECOND.after), {"champion": version}) for version in "345"]
    command = [sys.executable, "-c", code, str(ledger)]
    running = [subprocess.Popen([*command, event_text(rival)], cwd=ROOT, stderr=subprocess.DEVNULL) for rival in rivals]
    assert sorted(process.wait(timeout=60) for process in running) == [0, 1, 1]
    assert len(read_events(ledger)) == 3
    assert verify_ledger(ledger).ok


def test_a_rewritten_event_is_found(ledger: Path) -> None:
    changed = SECOND.model_copy(update={"sequence": 2, "who": "eve"})
    _set(
        ledger,
        commit_files(
            ledger, parent=_tip(ledger), files={event_path(changed): event_text(changed).encode()}, message="x"
        ),
    )
    assert "found M 100644 events/000002-promoted.json" in verify_ledger(ledger).faults[0]


def test_a_removed_event_is_found(ledger: Path) -> None:
    empty = run_git(ledger, "rev-parse", f"{LEDGER_REF}~1^{{tree}}").decode().strip()
    _set(ledger, commit_tree(ledger, empty, parents=[_tip(ledger)], message="x"))
    assert "found D" in verify_ledger(ledger).faults[0]


def test_two_events_or_a_foreign_file_in_one_commit_are_found(ledger: Path) -> None:
    old = _tip(ledger)
    files = {event_path(_third()): event_text(_third()).encode(), "notes.txt": b"x"}
    _set(ledger, commit_files(ledger, parent=old, files=files, message="x"))
    assert "notes.txt" in verify_ledger(ledger).faults[0]
    _set(ledger, commit_files(ledger, parent=old, files={"events/000009-pending.json": b"{}\n"}, message="x"))
    assert not verify_ledger(ledger).ok


def test_a_gap_and_a_misplaced_file_are_found(ledger: Path) -> None:
    old, late = _tip(ledger), WAITS.model_copy(update={"sequence": 4})
    _set(ledger, commit_files(ledger, parent=old, files={event_path(late): event_text(late).encode()}, message="x"))
    assert "expected number 3" in verify_ledger(ledger).faults[0]
    with pytest.raises(LedgerError, match="expected number 3"):
        read_events(ledger)
    _set(ledger, commit_files(ledger, parent=old, files={event_path(late): event_text(_third()).encode()}, message="x"))
    assert "holds event 3" in verify_ledger(ledger).faults[0]
    with pytest.raises(LedgerError, match="holds event 3"):
        read_events(ledger)


def test_a_merge_and_a_cut_chain_are_found(ledger: Path) -> None:
    tip = _tip(ledger)
    tree = run_git(ledger, "rev-parse", f"{tip}^{{tree}}").decode().strip()
    other = commit_files(ledger, parent=None, files={"x": b"x"}, message="x")
    _set(ledger, commit_tree(ledger, tree, parents=[tip, other], message="x"))
    assert any("its parents are" in fault for fault in verify_ledger(ledger).faults)
    _set(ledger, commit_tree(ledger, tree, parents=[], message="x"))
    assert "expected one event file added" in verify_ledger(ledger).faults[0]


def test_one_changed_byte_in_an_event_is_found(ledger: Path) -> None:
    text = event_text(_third())
    for position in range(0, len(text), 29):
        changed = bytearray(text.encode())
        changed[position] ^= 0x80
        files = {event_path(_third()): bytes(changed)}
        tip = _tip(ledger)
        _set(ledger, commit_files(ledger, parent=tip, files=files, message="x"))
        assert not verify_ledger(ledger).ok
        _set(ledger, tip)


def _key(folder: Path, name: str) -> Path:
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def test_signatures_are_checked_against_those_who_may_sign(checkout: Path, tmp_path: Path) -> None:
    ada, eve = _key(tmp_path, "ada"), _key(tmp_path, "eve")
    allowed = tmp_path / "allowed"
    allowed.write_text(f"ada@example.org {ada.with_suffix('.pub').read_text()}")
    append_event(checkout, FIRST, signing_key=ada)
    assert verify_ledger(checkout).signatures == "1 of 1 signed, not checked"
    report = verify_ledger(checkout, allowed_signers=allowed)
    assert (report.ok, report.signatures, report.signers) == (True, "checked", {1: "ada@example.org"})
    append_event(checkout, SECOND, signing_key=eve)
    append_event(checkout, WAITS)
    faults = verify_ledger(checkout, allowed_signers=allowed).faults
    assert "(event 2): signed by a key that is not allowed" in faults[0]
    assert "(event 3): it is not signed" in faults[1]
    assert "does not exist" in verify_ledger(checkout, allowed_signers=tmp_path / "absent").faults[0]


def test_a_signing_key_that_cannot_be_used_stops_the_append(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(VersioningError):
        append_event(checkout, FIRST, signing_key=tmp_path / "absent")
    assert read_events(checkout) == []
