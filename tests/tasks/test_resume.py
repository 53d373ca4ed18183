"""Metrics reach the tracker from a thread of their own; a tracker that is gone neither stops nor loses anything."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cxr_core.errors import SettingError, TrackingError
from cxr_core.train.journal import Journal
from cxr_core.train.progress import EpochResult
from tasks.adapters.runlog import Run as Log
from tasks.resume import Publisher, hold
from tasks.settings import Home

KEY = "sha256:" + "5" * 64


class Tracker(Log):
    """A run whose tracker can be away."""

    def __init__(self) -> None:
        self.id = "run"
        self.away = threading.Event()
        self.points: list[tuple[int, int, dict[str, float]]] = []

    def metrics(self, values, *, step=0, timestamp_ms=None) -> None:
        if self.away.is_set():
            raise TrackingError("The server does not answer.", reason="internal_error")
        self.points.append((step, timestamp_ms, dict(values)))


def _epoch(number: int) -> EpochResult:
    return EpochResult(
        epoch=number, train_loss=1 / number, val_loss=None, error_rate=None, images_per_second=9.0, seconds=1.0
    )


def test_every_point_arrives_once_and_in_order(tmp_path: Path) -> None:
    tracker, journal = Tracker(), Journal(tmp_path / "journal.jsonl")
    with Publisher(journal, tracker, "train 1/5") as publisher:
        for number in range(1, 6):
            publisher.add(_epoch(number))
        publisher.drain(seconds=30)
    assert [step for step, _, _ in tracker.points] == [1, 2, 3, 4, 5]
    assert tracker.points[1][2] == {"train_loss": 0.5, "images_per_second": 9.0, "seconds": 1.0}


def test_a_tracker_that_is_away_holds_up_nothing_and_gets_everything_when_it_is_back(tmp_path: Path, caplog) -> None:
    tracker, journal = Tracker(), Journal(tmp_path / "journal.jsonl")
    tracker.away.set()
    with caplog.at_level("WARNING", logger="cxr"), Publisher(journal, tracker, "train 1/5") as publisher:
        began = time.monotonic()
        for number in range(1, 4):
            publisher.add(_epoch(number))
        assert time.monotonic() - began < 1.5  # no wait for the tracker is that short
        with pytest.raises(TrackingError) as caught:
            publisher.drain(seconds=0.1)
        assert caught.value.reason == "tracker_gone"
        tracker.away.clear()
        publisher.drain(seconds=30)
    assert [step for step, _, _ in tracker.points] == [1, 2, 3]
    assert sum("does not take metrics" in record.message for record in caplog.records) == 1


def test_what_an_earlier_process_could_not_send_is_sent_first_with_its_own_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    old = [journal.add(number, {"train_loss": 1.0}) for number in (1, 2)]
    tracker = Tracker()
    with Publisher(Journal(tmp_path / "journal.jsonl"), tracker, "train 1/5") as publisher:
        publisher.add(_epoch(2))  # trained again: its first line stands
        publisher.add(_epoch(3))
        publisher.drain(seconds=30)
    assert [(step, stamp) for step, stamp, _ in tracker.points][:2] == [(one.epoch, one.timestamp_ms) for one in old]
    assert [step for step, _, _ in tracker.points] == [1, 2, 3]


def test_two_processes_never_hold_one_training(tmp_path: Path) -> None:
    home, held = Home(root=tmp_path), threading.Event()
    order: list[str] = []

    def wait_for_it() -> None:
        with hold(home, KEY, "train 1/5"):
            order.append("second")

    with hold(home, KEY, "train 1/5") as first:
        other = threading.Thread(target=wait_for_it)
        other.start()
        held.wait(0.2)
        order.append("first")
        assert first.folder.is_dir()
        first.done()
    other.join(30)
    assert order == ["first", "second"]


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_state_interval_that_is_no_time_is_refused(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXR_STATE_SECONDS", text)
    with hold(Home(root=tmp_path), KEY, "train 1/5") as held, pytest.raises(SettingError, match="CXR_STATE_SECONDS"):
        held.resumable("train 1/5")
