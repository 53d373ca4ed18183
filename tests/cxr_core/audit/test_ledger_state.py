"""An event has one text, and events in order leave one state; whatever does not follow is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.audit.ledger_state import Event, EventKind, event_path, event_text, read_event, replay
from cxr_core.errors import LedgerError

DIGEST = "sha256:" + "a" * 64


def event(kind: EventKind, version: str, before: dict[str, str], after: dict[str, str], **facts: Any) -> Event:
    """An event of model m; digests, times and a reason are filled in."""
    values: dict[str, Any] = {
        "sequence": 1,
        "who": "ada",
        "when": "2025-01-31T08:00:00+00:00",
        "model": "m",
        "run": "r1",
        "commit": "c" * 40,
        "decision": DIGEST,
        "evidence": DIGEST,
        "reason": "as the policy says",
    }
    return Event.model_validate({**values, "kind": kind, "version": version, "before": before, "after": after, **facts})


def numbered(*events: Event) -> list[Event]:
    return [item.model_copy(update={"sequence": number}) for number, item in enumerate(events, start=1)]


FIRST = event("promoted", "1", {}, {"champion": "1"})
SECOND = event("promoted", "2", {"champion": "1"}, {"champion": "2", "previous": "1"})
WAITS = event("pending", "3", dict(SECOND.after), {**SECOND.after, "challenger": "3"})
APPROVED = event("approved", "3", dict(WAITS.after), {"champion": "3", "previous": "2"})
BACK = event("rolled_back", "2", dict(APPROVED.after), {"champion": "2"}, decision=None, evidence=None)

WORDS = st.text(min_size=1, max_size=12)


@given(who=WORDS, reason=WORDS.filter(str.strip), version=WORDS, number=st.integers(1, 999_999))
def test_an_event_comes_back_from_its_text(who: str, reason: str, version: str, number: int) -> None:
    sent = event("promoted", version, {}, {"champion": version}, who=who, reason=reason, sequence=number)
    assert read_event(event_text(sent)) == sent


def test_an_events_file_is_named_by_number_and_kind() -> None:
    assert event_path(FIRST) == "events/000001-promoted.json"


def test_events_in_order_leave_the_aliases_of_the_last_word() -> None:
    other = event("promoted", "9", {}, {"champion": "9"}, model="n")
    state = replay(numbered(FIRST, SECOND, other, WAITS, APPROVED, BACK))
    assert state == {"m": {"champion": "2"}, "n": {"champion": "9"}}
    assert replay([]) == {}


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([SECOND], "the events before it leave no alias"),
        ([FIRST, FIRST], "says m had no alias, the events before it leave champion 1"),
        ([FIRST, SECOND, event("approved", "3", dict(SECOND.after), {"champion": "3"})], "does not wait for approval"),
        ([FIRST, SECOND, WAITS, APPROVED, event("approved", "3", dict(APPROVED.after), {"champion": "3"})], "not wait"),
    ],
)
def test_an_event_that_does_not_follow_is_refused(events: list[Event], words: str) -> None:
    with pytest.raises(LedgerError, match=words):
        replay(numbered(*events))


def test_a_gap_in_the_numbers_is_refused() -> None:
    with pytest.raises(LedgerError, match="expected number 2"):
        replay([FIRST, SECOND.model_copy(update={"sequence": 3})])


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        (event("refused", "2", {"champion": "1"}, {"champion": "2"}), "moves champion"),
        (event("pending", "2", {"champion": "1"}, {"champion": "1", "previous": "1"}), "moves previous"),
        (event("promoted", "2", {}, {"champion": "1"}), "should be champion"),
        (event("rolled_back", "2", {}, {}), "should be champion"),
        (event("refused", "2", {}, {}, reason=" "), "gives no reason"),
        (event("rolled_back", "2", {}, {"champion": "2"}, reason=""), "gives no reason"),
        (event("promoted", "2", {}, {"champion": "2"}, decision=None), "no decision"),
    ],
)
def test_an_event_that_contradicts_itself_is_refused(faulty: Event, words: str) -> None:
    with pytest.raises(LedgerError, match=words):
        read_event(event_text(faulty))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"promoted"', '"celebrated"', "kind"),
        ('"schema":1', '"schema":2', "schema"),
        ('"when":"2025-01-31T08:00:00+00:00"', '"when":"2025-01-31T08:00:00"', "when"),
        ('"when":"2025-01-31T08:00:00+00:00"', '"when":"yesterday"', "when"),
        ('"champion":"1"', '"emperor":"1"', "emperor"),
        ('"run":"r1"', '"run":"r1","mood":"good"', "mood"),
        ('"run":"r1"', '"run": "r1"', "canonical"),
        (DIGEST, "md5:1", "decision"),
    ],
)
def test_a_text_that_is_no_event_is_refused_with_the_path_to_the_fault(old: str, new: str, words: str) -> None:
    text = event_text(FIRST)
    assert old in text
    with pytest.raises(LedgerError, match=words):
        read_event(text.replace(old, new, 1))
