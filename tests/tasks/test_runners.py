"""Folds in worker processes give the bits that they give here; what a setting cannot mean is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from cxr_core.errors import SettingError, TrainingError
from cxr_core.params import Device
from tasks.data import DataVersion
from tasks.events import LOGGER, Event
from tasks.plan import make_plan
from tasks.pool import TrainingPool
from tasks.retrains import open_retrain
from tasks.run import Run, open_run
from tasks.runners import Runner, read_runner, runner_of
from tasks.stores import tracker_of
from tests.walk import Place, Retrained


@pytest.fixture
def own(first: Retrained, tmp_path: Path, stand: Callable[[Place], Place]) -> Place:
    return stand(first.place.copy(tmp_path))


@pytest.fixture
def run(own: Place) -> Iterator[Run]:
    with open_run(own.settings, program="cxr retrain", folder=None, unpinned=False) as run:
        yield run


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """Events as they are told in this process."""
    events: list[Event] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            events.append(record.cxr_event)

    handler, level = Keep(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    yield events
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)


def test_worker_processes_give_the_same_bits_and_their_events_and_errors_come_back(
    first: Retrained, own: Place, run: Run, told: list[Event]
) -> None:
    before = first.report["folds"]
    client = MlflowClient(f"sqlite:///{own.home}/mlflow/mlflow.db")
    for fold in before[:2]:
        client.delete_run(fold["run_id"])
    plan, tracker = make_plan(run), tracker_of(run.home)
    data = DataVersion(commit=first.report["commit"], digest="sha256:" + "0" * 64)
    with open_retrain(run, plan, data, {"counts": {}}) as parent, TrainingPool(workers=2) as pool:
        trained = [pool.train(run, plan, data, parent, fold) for fold in range(3)]
        with pytest.raises(IndexError):
            pool.train(run, plan, data, parent, 99)
    assert [one.reused for one in trained] == [False, False, True]
    for one, old in zip(trained, before, strict=True):
        weights = [tracker.read(name).tags["cxr.weights"] for name in (one.run_id, old["run_id"])]
        assert weights[0] == weights[1]
    done = [event.stage for event in told if event.kind == "done"]
    assert done == ["train 1/3", "train 2/3", "train 3/3"]
    assert any(event.kind == "progress" for event in told)


def test_the_default_is_one_after_the_other() -> None:
    assert read_runner(threads=2, gpus=0, cores=2).kind == "sequential"


def test_as_many_train_at_once_as_cores_and_gpus_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_RUNNER", "processes")
    assert read_runner(threads=2, gpus=0, cores=8) == Runner(kind="processes", workers=4)
    assert read_runner(threads=16, gpus=0, cores=8).workers == 1
    assert read_runner(threads=2, gpus=2, cores=8) == Runner(kind="processes", workers=2, gpus=(0, 1), gpu_share=1)
    monkeypatch.setenv("CXR_FOLDS_PER_GPU", "2")
    monkeypatch.setenv("CXR_WORKERS", "3")
    shared = Runner(kind="processes", workers=3, gpus=(0, 1, 0), gpu_share=0.5)
    assert read_runner(threads=2, gpus=2, cores=8) == shared
    assert read_runner(threads=2, gpus=1, cores=8).workers == 2


def test_dask_is_not_given_gpus_that_it_cannot_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_RUNNER", "dask")
    assert read_runner(threads=2, gpus=1, cores=8).gpu_share == 1
    with pytest.raises(SettingError) as caught:
        read_runner(threads=2, gpus=2, cores=8)
    assert caught.value.reason == "bad_runner"
    monkeypatch.setenv("CXR_RUNNER_ADDRESS", "tcp://scheduler:8786")
    assert read_runner(threads=2, gpus=2, cores=8).address == "tcp://scheduler:8786"


@pytest.mark.parametrize(
    ("device", "address", "share"), [("auto", "", 0), ("cpu", "ray://head:10001", 0), ("cuda", "ray://head:10001", 1)]
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_is_taken_where_the_parameters_come_to_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, device: Device, address: str, share: float
) -> None:
    monkeypatch.setenv("CXR_RUNNER", "ray")
    monkeypatch.setenv("CXR_RUNNER_ADDRESS", address)
    asked = replace(run, params=run.params.replace(train=run.params.train.replace(device=device)))
    assert runner_of(asked).gpu_share == share


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_here_is_refused_before_the_first_stage(run: Run) -> None:
    asked = replace(run, params=run.params.replace(train=run.params.train.replace(device="cuda")))
    with pytest.raises(TrainingError) as caught:
        runner_of(asked)
    assert caught.value.reason == "no_cuda"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("CXR_RUNNER", "slurm", "bad_runner"),
        ("CXR_WORKERS", "0", "bad_number"),
        ("CXR_WORKERS", "many", "bad_number"),
        ("CXR_FOLDS_PER_GPU", "0.5", "bad_number"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError) as caught:
        read_runner(threads=1, gpus=1)
    assert caught.value.reason == reason
    assert name in caught.value.message
