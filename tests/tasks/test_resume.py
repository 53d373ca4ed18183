"""A training's folder is its own: one process holds it, and what another machine began is not gone on with unasked."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from cxr_core.errors import SettingError
from cxr_core.files import write_text
from tasks.resume import Held, hold, may_change
from tasks.settings import Home

IDENTITY = {
    "code": "sha256:" + "c" * 64,
    "fold": "0",
    "threads": "2",
    "precision": "fp32",
    "device": "cpu AVX512",
    "libraries": "torch 2.13.0",
}
STAGE = "train 1/5"


def _hold(home: Home, **changes: str):
    return hold(home, IDENTITY | changes, STAGE)


def _stop_with_a_state(home: Home, **changes: str) -> Path:
    with _hold(home, **changes) as held:
        write_text(held.folder / "states" / "step-0001-000002" / "header.json", "of " + held.identity["threads"])
        held.journal().add(1, {"train_loss": 1.0})
        write_text(held.folder / "run.json", '{"run_id": "abc"}')
        return held.folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path)


def test_two_processes_never_hold_one_training(home: Home) -> None:
    held, order = threading.Event(), list[str]()

    def wait_for_it() -> None:
        with _hold(home):
            order.append("second")

    with _hold(home) as first:
        other = threading.Thread(target=wait_for_it)
        other.start()
        held.wait(0.2)
        order.append("first")
        assert first.folder.is_dir()
        first.done()
    other.join(30)
    assert order == ["first", "second"]


def test_what_was_stopped_here_is_found_here(home: Home) -> None:
    folder = _stop_with_a_state(home)
    with _hold(home) as held:
        assert held.folder == folder
        assert held.run_id == "abc"
        assert len(held.journal().points) == 1
        assert held.changes == {}
        assert held.resumable().may_differ == frozenset()


@pytest.mark.parametrize("name", ["threads", "precision", "device", "libraries"])
def test_a_changed_machine_is_told_and_starts_anew(home: Home, name: str, caplog: pytest.LogCaptureFixture) -> None:
    stopped = _stop_with_a_state(home)
    with caplog.at_level("WARNING", logger="cxr"), _hold(home, **{name: "other"}) as held:
        assert held.folder != stopped
        assert not (held.folder / "states").exists()
        assert not held.journal().points
    (told,) = caplog.messages
    assert f"{name}: {IDENTITY[name]} → other" in told
    assert f"CXR_RESUME_CHANGED={name}" in told
    assert (stopped / "states").is_dir()


def test_a_changed_machine_is_gone_on_with_where_that_was_asked_for_and_stays_written_down(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = _stop_with_a_state(home)
    monkeypatch.setenv("CXR_RESUME_CHANGED", "threads, libraries")
    with _hold(home, threads="4") as held:
        assert held.changes == {"threads": "2 → 4"}
        assert held.resumable().may_differ == {"threads"}
        assert (held.folder / "states" / "step-0001-000002" / "header.json").read_text() == "of 2"
        assert [point.epoch for point in held.journal().points] == [1]
        # Whose points the journal holds; where MLflow would refuse its parameters, `unfinished` passes it over.
        assert held.run_id == "abc"
    assert not stopped.exists()
    monkeypatch.delenv("CXR_RESUME_CHANGED")
    with _hold(home, threads="4") as again:
        assert again.changes == {"threads": "2 → 4"}


def test_not_everything_that_changed_being_named_is_not_enough(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_with_a_state(home)
    monkeypatch.setenv("CXR_RESUME_CHANGED", "threads")
    with _hold(home, threads="4", device="cpu AVX2") as held:
        assert held.changes == {}
        assert not (held.folder / "states").exists()


def test_another_training_is_no_relative(home: Home, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    _stop_with_a_state(home)
    monkeypatch.setenv("CXR_RESUME_CHANGED", "threads,precision,device,libraries")
    with _hold(home, fold="1", threads="4") as held:
        assert not (held.folder / "states").exists()
    assert not caplog.messages


def test_what_is_at_work_elsewhere_is_left_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_with_a_state(home)
    monkeypatch.setenv("CXR_RESUME_CHANGED", "threads")
    with _hold(home) as at_work, _hold(home, threads="4") as held:
        assert held.changes == {}
        held.done()
        assert at_work.folder.is_dir()


def test_when_a_training_is_done_nothing_of_it_is_left(home: Home) -> None:
    _stop_with_a_state(home)
    with _hold(home, threads="4") as held:
        held.done()
    assert not [path for path in home.checkpoints.iterdir() if path.is_dir()]


def test_what_nobody_went_on_with_for_long_is_removed_unless_it_is_held_or_asked_for(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    abandoned, held_elsewhere, ours, recent = (_stop_with_a_state(home, fold=fold) for fold in "1234")
    with caplog.at_level("WARNING", logger="cxr"), _hold(home, fold="2"):
        for folder in (abandoned, held_elsewhere, ours):
            for path in (*folder.iterdir(), folder):
                os.utime(path, (time.time() - 31 * 86400,) * 2)
        with _hold(home, fold="3") as held:
            assert (held.folder / "states").is_dir()
    assert [path.is_dir() for path in (abandoned, held_elsewhere, ours, recent)] == [False, True, True, True]
    assert "stopped 31 days ago" in "".join(caplog.messages)


def test_what_may_change_is_a_part_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_change() == frozenset()
    monkeypatch.setenv("CXR_RESUME_CHANGED", "threads,seed")
    with pytest.raises(SettingError, match=r"CXR_RESUME_CHANGED.*threads, precision, device, libraries.*seed"):
        may_change()


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan"])
def test_a_state_interval_that_is_no_time_is_refused(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXR_STATE_SECONDS", text)
    with pytest.raises(SettingError, match="CXR_STATE_SECONDS"):
        Held(folder=tmp_path, identity=IDENTITY, stage=STAGE).resumable()
