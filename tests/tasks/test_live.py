"""A training's progress is told in words, and in Prefect's UI where there is one."""

from __future__ import annotations

import time

import pytest

from cxr_core.params import read_params
from cxr_core.train.progress import Progress
from tasks import live
from tasks.events import progress
from tasks.live import Steps, crowded, progress_bar, time_left, words_of
from tests.walk import ROOT

STAGE = "train 1/5"
PARAMS = read_params((ROOT / "params.yaml").read_text(encoding="utf-8")).train.replace(device="cpu", threads=2)


def _step(done: int, total: int = 100) -> Progress:
    return Progress(epoch=2, epochs=10, done=done, total=total, loss=0.41237, images_per_second=28.7)


def test_a_step_is_told_with_epoch_loss_and_speed() -> None:
    assert words_of(_step(11)) == "epoch 2 of 10, loss 0.412, 29 images/s"


@pytest.mark.parametrize(
    ("done", "seconds", "steps", "words"),
    [(1, 0.0, 0, None), (51, 50.0, 50, "49 s left"), (10, 20.0, 10, "3 min left"), (100, 9.0, 9, "0 s left")],
)
def test_what_is_left_follows_from_the_pace(done: int, seconds: float, steps: int, words: str | None) -> None:
    assert time_left(_step(done), seconds=seconds, steps=steps) == words


def test_every_step_is_an_event_and_from_the_second_on_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps(STAGE, PARAMS)
    with caplog.at_level("DEBUG", logger="cxr"):
        for done in (1, 2, 3):
            steps.tell(_step(done))
    events = [record.cxr_event for record in caplog.records if hasattr(record, "cxr_event")]
    assert [(event.stage, event.done, event.total) for event in events] == [(STAGE, done, 100) for done in (1, 2, 3)]
    assert [" left" in event.text for event in events] == [False, True, True]


@pytest.mark.parametrize(
    ("used", "threads", "told"), [(19.0, 2, False), (15.0, 2, False), (10.0, 2, True), (9.0, 1, False), (12.0, 4, True)]
)
def test_too_few_cores_are_told_with_what_to_do(used: float, threads: int, told: bool) -> None:
    text = crowded(used, seconds=10.0, threads=threads)
    assert (text is not None) == told
    if text:
        assert f"gets {used / 10:.1f} of {threads} cores" in text
        assert "--set train.threads=1" in text


@pytest.mark.parametrize(("change", "notes"), [({}, 1), ({"threads": 1}, 0), ({"device": "cuda"}, 0)])
def test_a_training_that_waits_for_its_cores_says_so_once(
    change: dict[str, object], notes: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_WATCHED_SECONDS", 0.2)
    steps = Steps(STAGE, PARAMS.replace(**change))
    with caplog.at_level("WARNING", logger="cxr"):
        for done in (1, 2, 3):
            steps.tell(_step(done))
            time.sleep(0.25)
    assert [record.cxr_event.kind for record in caplog.records if hasattr(record, "cxr_event")] == ["note"] * notes


class Ui:
    """Prefect's artifacts, in memory."""

    def __init__(self) -> None:
        self.made: list[dict[str, object]] = []
        self.renewed: list[tuple[str, dict[str, object]]] = []

    def create(self, **what: object) -> str:
        self.made.append(what)
        return "bar"

    def update(self, bar: str, **what: object) -> None:
        self.renewed.append((bar, what))


@pytest.fixture
def ui(monkeypatch: pytest.MonkeyPatch) -> Ui:
    """Within a task run."""
    shown = Ui()
    monkeypatch.setattr(live.TaskRunContext, "get", classmethod(lambda cls: object()))
    monkeypatch.setattr(live, "create_progress_artifact", shown.create)
    monkeypatch.setattr(live, "update_progress_artifact", shown.update)
    return shown


def test_a_bar_is_made_once_and_renewed_with_the_newest_step_of_its_own_stage(ui: Ui) -> None:
    with progress_bar(STAGE, every=0.01):
        progress(STAGE, 1, 100, "epoch 1 of 10")
        deadline = time.monotonic() + 20
        while not ui.made:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        for done in range(2, 51):
            progress(STAGE, done, 100, f"epoch {done} of 10")
            progress("train 2/5", 99, 100, "another")
    assert ui.made == [{"progress": 1.0, "key": "train-1-5", "description": "train 1/5: epoch 1 of 10"}]
    assert ui.renewed[-1] == ("bar", {"progress": 50.0, "description": "train 1/5: epoch 50 of 10"})
    assert not [what for _, what in ui.renewed if "another" in str(what)]


def test_outside_a_task_there_is_no_bar(ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.TaskRunContext, "get", classmethod(lambda cls: None))
    with progress_bar(STAGE, every=0.01):
        progress(STAGE, 1, 100, "epoch 1 of 10")
    assert not ui.made


def test_a_ui_that_takes_no_bar_does_no_harm(ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**what: object) -> None:
        ui.made.append(what)
        raise OSError("no server")

    monkeypatch.setattr(live, "create_progress_artifact", refuse)
    with progress_bar(STAGE, every=0.01):
        progress(STAGE, 1, 100, "epoch 1 of 10")
    assert ui.made
