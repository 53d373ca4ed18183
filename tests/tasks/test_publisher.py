"""Metrics reach the tracker from a thread of their own; a tracker that is gone neither stops nor loses anything."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_core.errors import TrackingError
from cxr_core.train.journal import Journal
from cxr_core.train.progress import EpochResult
from tasks import publisher as publishing
from tasks.adapters.runlog import Run as Log
from tasks.publisher import Publisher


class Tracker(Log):
    """A run, in memory, whose tracker can be away."""

    def __init__(self) -> None:
        self.id = "run"
        self.away = threading.Event()
        self.begun = 0
        self.points: list[tuple[int, int, dict[str, float]]] = []
        self.failed: list[BaseException] = []

    def begin(self) -> Log:
        self._answer()
        self.begun += 1
        return self

    def fail(self, log: Log, error: BaseException) -> None:
        self.failed.append(error)

    def metrics(self, values, *, step=0, timestamp_ms=None) -> None:
        self._answer()
        self.points.append((step, timestamp_ms, dict(values)))

    def sampler(self) -> Callable[[], None]:
        return self._answer

    def _answer(self) -> None:
        if self.away.is_set():
            raise TrackingError("The server does not answer.", reason="internal_error")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_RETRY_SECONDS", 0.02)


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def _publisher(journal: Journal, tracker: Tracker, **changes: object) -> Publisher:
    asked = {"begin": tracker.begin, "fail": tracker.fail, "stage": "train 1/5"} | changes
    return Publisher(journal, **asked)


def _epoch(number: int) -> EpochResult:
    return EpochResult(
        epoch=number, train_loss=1 / number, val_loss=None, error_rate=None, images_per_second=9.0, seconds=1.0
    )


def _id(log: Log) -> str:
    return log.id


def test_every_point_arrives_once_and_in_order(journal: Journal, tracker: Tracker) -> None:
    with _publisher(journal, tracker) as publisher:
        for number in range(1, 6):
            publisher.add(_epoch(number))
        assert publisher.finish(_id) == "run"
    assert [step for step, _, _ in tracker.points] == [1, 2, 3, 4, 5]
    assert tracker.points[1][2] == {"train_loss": 0.5, "images_per_second": 9.0, "seconds": 1.0}
    assert tracker.begun == 1
    assert not tracker.failed


def test_a_tracker_that_is_away_from_the_beginning_holds_up_nothing_and_gets_everything_when_it_is_back(
    journal: Journal, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.away.set()
    with caplog.at_level("WARNING", logger="cxr"), _publisher(journal, tracker) as publisher:
        for number in range(1, 4):
            publisher.add(_epoch(number))
        with pytest.raises(TrackingError) as caught:
            publisher.finish(_id, seconds=0.1)
        assert caught.value.reason == "tracker_gone"
        assert [point.epoch for point in journal.points] == [1, 2, 3]
        tracker.away.clear()
        publisher.finish(_id)
    assert [step for step, _, _ in tracker.points] == [1, 2, 3]
    assert sum("does not answer" in record.message for record in caplog.records) == 1


def test_a_tracker_that_goes_away_while_results_are_logged_is_waited_for(journal: Journal, tracker: Tracker) -> None:
    tries: list[str] = []

    def last(log: Log) -> str:
        tries.append(log.id)
        if len(tries) < 3:
            raise TrackingError("The server does not answer.", reason="temporarily_unavailable")
        return "logged"

    with _publisher(journal, tracker) as publisher:
        assert publisher.finish(last) == "logged"
    assert len(tries) == 3


def test_what_an_earlier_process_could_not_send_is_sent_first_with_its_own_times(
    journal: Journal, tracker: Tracker, tmp_path: Path
) -> None:
    old = [journal.add(number, {"train_loss": 1.0}) for number in (1, 2)]
    with _publisher(Journal(tmp_path / "journal.jsonl"), tracker) as publisher:
        publisher.add(_epoch(2))  # trained again: its first line stands
        publisher.add(_epoch(3))
        publisher.finish(_id)
    assert [(step, stamp) for step, stamp, _ in tracker.points][:2] == [(one.epoch, one.timestamp_ms) for one in old]
    assert [step for step, _, _ in tracker.points] == [1, 2, 3]


def test_a_tracker_that_refuses_stops_training_at_the_next_epoch_with_its_own_words(
    journal: Journal, tracker: Tracker
) -> None:
    refused = threading.Event()

    def begin() -> Log:
        refused.set()
        raise TrackingError("The experiment was deleted.", reason="experiment_deleted")

    publisher = _publisher(journal, tracker, begin=begin)
    with publisher:
        assert refused.wait(10)
        with pytest.raises(TrackingError) as caught:
            publisher.finish(_id)
    assert caught.value.reason == "experiment_deleted"
    with pytest.raises(TrackingError, match="deleted"):
        publisher.add(_epoch(1))
    assert [point.epoch for point in journal.points] == [1]


def test_a_training_that_fails_at_once_is_marked_as_failed_all_the_same(journal: Journal, tracker: Tracker) -> None:
    error = ValueError("no weights")
    with pytest.raises(ValueError, match="no weights"), _publisher(journal, tracker):
        raise error
    assert tracker.failed == [error]


def test_what_nobody_foresaw_in_the_thread_is_raised_where_it_is_trained(journal: Journal, tracker: Tracker) -> None:
    def full() -> Log:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"), _publisher(journal, tracker, begin=full) as publisher:
        publisher.finish(_id, seconds=60)
