"""A training that was stopped goes on from its last whole state, to the same bits; no other state is ever loaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cxr_core.errors import WeightsError
from cxr_core.train.loop import fit
from cxr_core.train.progress import EpochResult, Progress, TrainingState
from cxr_core.train.states import latest_state, load_state, save_state
from tests.cxr_core.model.examples import SmallNetwork, equal_states, striped_images
from tests.cxr_core.train.examples import params_of

PARAMS = params_of(epochs=3)
IMAGES, LABELS = striped_images(36)
TRAIN, VALIDATION = np.arange(0, 24), np.arange(24, 36)
IDENTITY = {"code": "sha256:" + "0" * 64, "fold": "0", "threads": "1", "libraries": "torch 2"}


class Dropping(SmallNetwork):
    """Draws random numbers while it trains, as the networks with dropout do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.dropout(x, 0.2, training=self.training))


class KilledError(Exception):
    """Stands for the end of the process."""


def _fit(network: nn.Module, **options: object) -> Iterator[EpochResult]:
    asked = {"train_idx": TRAIN, "val_idx": VALIDATION, "params": PARAMS, "order_seed": 5} | options
    return fit(network, IMAGES, LABELS, **asked)


def _train_until(folder: Path, steps: int) -> None:
    """Train with a state after every step, and die after so many of them."""

    def die(step: Progress) -> None:
        if step.done > steps:
            raise KilledError

    with pytest.raises(KilledError):
        list(
            _fit(
                Dropping(),
                on_step=die,
                on_state=lambda state: save_state(folder, state, IDENTITY),
                state_seconds=0.0,
            )
        )


def _values(results: list[EpochResult]) -> list[tuple[int, float, float | None, float | None]]:
    return [(one.epoch, one.train_loss, one.val_loss, one.error_rate) for one in results]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[nn.Module, list[EpochResult]]:
    network = Dropping()
    return network, list(_fit(network))


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_training_stopped_after_any_step_ends_with_the_same_bits(steps, undisturbed, tmp_path) -> None:
    _train_until(tmp_path, steps)
    found = latest_state(tmp_path, IDENTITY)
    assert found.state is not None
    assert (found.state.position.epoch - 1) * 3 + found.state.position.step == steps
    network = Dropping(seed=99)  # nothing of the first network's memory is needed
    torch.rand(steps)  # nor the process's own random state
    results = list(_fit(network, state=found.state))
    assert equal_states(network, undisturbed[0])
    assert _values(results) == _values(undisturbed[1])


@pytest.mark.parametrize("steps", range(1, 9))
def test_whatever_the_recipe_a_stopped_training_ends_with_the_same_bits(steps, tmp_path) -> None:
    # Validation labels that get worse as it learns: it stops early, and keeps what it had some epochs before.
    labels = np.where(np.arange(36) < 24, LABELS, (LABELS + 1) % 3)
    params = params_of(
        epochs=6,
        learning_rate=0.05,
        schedule="one_cycle",
        weight_decay=0.01,
        class_weights="balanced",
        frozen_epochs=1,
        patience=2,
    )
    asked = {"train_idx": TRAIN, "val_idx": VALIDATION, "params": params, "order_seed": 5}

    def die(step: Progress) -> None:
        if step.done > steps:
            raise KilledError

    def keep(state: TrainingState) -> None:
        save_state(tmp_path, state, IDENTITY)

    whole, network = Dropping(), Dropping(seed=99)
    wanted = list(fit(whole, IMAGES, labels, **asked))
    assert len(wanted) == 3
    with pytest.raises(KilledError):
        list(fit(Dropping(), IMAGES, labels, on_step=die, on_state=keep, state_seconds=0.0, **asked))
    results = list(fit(network, IMAGES, labels, state=latest_state(tmp_path, IDENTITY).state, **asked))
    assert _values(results) == _values(wanted)
    assert equal_states(network, whole)


def test_a_network_whose_weights_lie_channels_last_goes_on_to_the_same_bits(tmp_path) -> None:
    def network() -> nn.Module:
        return SmallNetwork().to(memory_format=torch.channels_last)

    whole, first, second = network(), network(), network()
    list(_fit(whole))
    states: list[TrainingState] = []
    run = _fit(first, on_state=lambda state: save_state(tmp_path, state, IDENTITY), state_seconds=0.0)
    next(run)
    states += [state for state in [latest_state(tmp_path, IDENTITY).state] if state is not None]
    list(_fit(second, state=states[0]))
    assert equal_states(second, whole)


def test_the_last_state_of_a_finished_training_needs_no_further_step(undisturbed, tmp_path) -> None:
    list(_fit(Dropping(), on_state=lambda state: save_state(tmp_path, state, IDENTITY), state_seconds=1e9))
    assert len(list(tmp_path.iterdir())) == 1  # at the very end alone
    network, seen = Dropping(), []
    results = list(_fit(network, state=latest_state(tmp_path, IDENTITY).state, on_step=seen.append))
    assert not seen
    assert equal_states(network, undisturbed[0])
    assert _values(results) == _values(undisturbed[1])


def test_the_last_two_states_are_kept(tmp_path) -> None:
    _train_until(tmp_path, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0002-000001", "step-0002-000002"]


def test_what_a_killed_writer_left_is_passed_over_and_cleared(tmp_path) -> None:
    _train_until(tmp_path, 4)
    newest = max(tmp_path.iterdir())
    newest.rename(tmp_path / f".{newest.name}.partial")
    state = latest_state(tmp_path, IDENTITY).state
    assert state is not None
    assert (state.position.epoch, state.position.step) == (1, 3)
    save_state(tmp_path, state, IDENTITY)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["header.json", "weights.safetensors", "optimiser.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_state_is_refused_by_name_and_the_one_before_is_used(name, damage, tmp_path) -> None:
    _train_until(tmp_path, 5)
    newest = max(tmp_path.iterdir())
    _damage(newest / name, damage)
    with pytest.raises(WeightsError, match=newest.name) as caught:
        load_state(newest, IDENTITY)
    assert caught.value.reason == "state_damaged"
    found = latest_state(tmp_path, IDENTITY)
    assert found.state is not None
    assert found.state.position.step == 1
    assert len(found.refused) == 1
    assert newest.name in found.refused[0]


@pytest.mark.parametrize("name", ["header.json", "weights.safetensors", "optimiser.safetensors"])
def test_no_flipped_bit_anywhere_is_loaded(name, tmp_path) -> None:
    _train_until(tmp_path, 2)
    newest = max(tmp_path.iterdir())
    whole = (newest / name).read_bytes()
    generator = np.random.default_rng(3)
    for place in generator.choice(len(whole) * 8, size=40, replace=False).tolist():
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << (place % 8)
        (newest / name).write_bytes(bytes(changed))
        with pytest.raises(WeightsError):
            load_state(newest, IDENTITY)
    (newest / name).write_bytes(whole)
    load_state(newest, IDENTITY)


def test_another_trainings_state_is_refused_with_what_differs(tmp_path) -> None:
    _train_until(tmp_path, 2)
    with pytest.raises(WeightsError, match="threads: 1 → 2") as caught:
        load_state(max(tmp_path.iterdir()), {**IDENTITY, "threads": "2"})
    assert caught.value.reason == "state_foreign"
    assert latest_state(tmp_path, {**IDENTITY, "fold": "1"}).state is None


def test_a_state_of_another_machine_is_loaded_only_where_what_differs_may(tmp_path) -> None:
    _train_until(tmp_path, 2)
    elsewhere = {**IDENTITY, "threads": "2", "libraries": "torch 3"}
    assert latest_state(tmp_path, elsewhere, may_differ={"threads"}).state is None
    assert latest_state(tmp_path, elsewhere, may_differ={"threads", "libraries"}).state is not None


def test_a_training_that_starts_anew_beside_refused_states_keeps_its_own(tmp_path) -> None:
    _train_until(tmp_path, 6)
    for path in tmp_path.iterdir():
        _damage(path / "weights.safetensors", "flip")
    found = latest_state(tmp_path, IDENTITY)
    assert found.state is None
    assert len(found.refused) == 2
    # Killed a second time, earlier than the first: what it kept since is there.
    _train_until(tmp_path, 3)
    state = latest_state(tmp_path, IDENTITY).state
    assert state is not None
    assert (state.position.epoch, state.position.step) == (1, 3)


def test_files_of_two_states_do_not_mix(tmp_path) -> None:
    _train_until(tmp_path, 5)
    older, newer = sorted(tmp_path.iterdir())
    shutil.copyfile(older / "optimiser.safetensors", newer / "optimiser.safetensors")
    found = latest_state(tmp_path, IDENTITY)
    assert found.state is not None
    assert found.state.position.step == 1


def _damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "flip":
            path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case _:
            path.unlink()
