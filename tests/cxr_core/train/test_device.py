"""The device is chosen by name, refused where it is absent, and what runs on it is the same work as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxr_core.errors import TrainingError
from cxr_core.train import device as devices
from cxr_core.train.device import Feed, device_name, fresh_random, open_device, random_state, resolve_device
from cxr_core.train.step import EagerStep, GraphedStep
from cxr_core.train.trainer import Trainer
from tests.cxr_core.model.examples import SmallNetwork, equal_states, striped_images
from tests.cxr_core.train.examples import params_of

IMAGES, LABELS = striped_images(30)
CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which PyTorch says that there is a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)


def test_what_is_asked_for_is_used_and_auto_takes_a_gpu_where_there_is_one(gpu: None) -> None:
    assert [resolve_device(choice) for choice in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    assert open_device("auto") == torch.device("cuda", 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without() -> None:
    assert resolve_device("auto") == "cpu"
    assert open_device("auto") == CPU
    with pytest.raises(TrainingError, match=r"train\.device=cuda") as caught:
        open_device("cuda")
    assert caught.value.reason == "no_cuda"
    assert "--set train.device=cpu" in caught.value.hint


def test_cublas_is_told_to_repeat_itself_and_another_wish_is_refused(gpu: None, monkeypatch) -> None:
    open_device("cuda")
    assert devices.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    with pytest.raises(TrainingError, match="CUBLAS_WORKSPACE_CONFIG") as caught:
        open_device("cuda")
    assert caught.value.reason == "not_deterministic"


def test_the_cpus_name_tells_its_kernels() -> None:
    assert device_name(CPU) == f"cpu {torch.backends.cpu.get_cpu_capability()}"


def test_images_that_lie_on_the_device_are_handed_out_as_those_that_do_not() -> None:
    rows = np.array([3, 17, 5, 20, 8])
    away, there = (Feed(IMAGES, LABELS, rows=rows, device=CPU, resident=each) for each in (False, True))
    for asked in (rows, rows[[4, 0]], rows[2:3]):
        for one, other, wanted in zip(
            away.batch(asked), there.batch(asked), (IMAGES[asked], LABELS[asked]), strict=True
        ):
            assert torch.equal(one, other)
            np.testing.assert_array_equal(one.numpy(), wanted)


def test_a_generators_state_is_that_of_its_seed() -> None:
    torch.manual_seed(11)
    assert torch.equal(random_state(CPU), fresh_random(11, CPU))


def _replayed_on_the_cpu(work):
    """What a CUDA graph does, without one: the work on the same tensors, each time anew."""
    return work


@pytest.mark.parametrize("changes", [{}, {"schedule": "one_cycle"}, {"frozen_epochs": 1}], ids=str)
def test_recorded_steps_move_the_network_as_eager_ones_do(changes) -> None:
    # A size that float32 holds exactly: a recording reads it from a tensor, an eager step from a Python number.
    params = params_of(epochs=2, batch_size=4, learning_rate=1 / 128, **changes)

    def train(record) -> SmallNetwork:
        network = SmallNetwork()
        trainer = Trainer(
            network,
            IMAGES,
            LABELS,
            train_idx=np.arange(26),  # six whole batches and one of two, which no recording fits
            val_idx=np.arange(26, 30),
            params=params,
            order_seed=3,
            state=None,
            record=record,
        )
        number = 0
        for epoch in (1, 2):
            with trainer.epoch(epoch):
                for rows in trainer.order(epoch):
                    losses.setdefault(record is None, []).append(float(trainer.step(rows, number=number)))
                    number += 1
                trainer.validate()
        return network

    losses: dict[bool, list[float]] = {}
    eager, graphed = train(None), train(_replayed_on_the_cpu)
    if params.schedule == "constant":
        assert equal_states(eager, graphed)
    np.testing.assert_allclose(losses[False], losses[True], rtol=1e-4)
    assert len(set(losses[True])) == 14


def test_a_recording_is_made_once_after_some_eager_steps_and_its_losses_are_kept_apart() -> None:
    network, recorded = SmallNetwork(), []
    step = EagerStep(
        network=network,
        optimiser=torch.optim.Adam(network.parameters(), lr=0.01),
        precision="fp32",
        weights=None,
        frozen=False,
    )

    def record(work):
        recorded.append(work)
        return work

    graphed = GraphedStep(step, record=record)
    feed = Feed(IMAGES, LABELS, rows=np.arange(30), device=CPU)
    losses = [graphed(*feed.batch(np.arange(8))) for _ in range(6)]
    assert len(recorded) == 1
    assert len({float(loss) for loss in losses}) == 6
