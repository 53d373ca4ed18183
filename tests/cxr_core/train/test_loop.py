from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from cxr_core.errors import TrainingError
from cxr_core.model.network import build, to_input
from cxr_core.train.loop import EpochResult, Progress, batches, derive_seed, fit, reproducible
from tests.cxr_core.model.examples import SmallNetwork, equal_states, striped_images
from tests.cxr_core.train.examples import params_of

PARAMS = params_of()
IMAGES, LABELS = striped_images(36)
TRAIN, VALIDATION = np.arange(0, 24), np.arange(24, 36)


def _fit(network: torch.nn.Module, *, order_seed: int = 5, **changes: object) -> list[EpochResult]:
    asked = {"train_idx": TRAIN, "val_idx": VALIDATION, "params": PARAMS, "order_seed": order_seed} | changes
    return list(fit(network, IMAGES, LABELS, **asked))


def test_the_papers_781_images_are_49_batches_and_the_last_has_13() -> None:
    sizes = [len(batch) for batch in batches(np.arange(781), 16)]
    assert sizes == [16] * 48 + [13]


def test_a_last_batch_of_one_joins_the_one_before() -> None:
    assert [len(batch) for batch in batches(np.arange(33), 16)] == [16, 17]


@given(st.integers(2, 400), st.integers(2, 50))
def test_every_row_is_in_one_batch_in_order_and_no_batch_has_one(n: int, batch_size: int) -> None:
    cut = batches(np.arange(n), batch_size)
    np.testing.assert_array_equal(np.concatenate(cut), np.arange(n))
    assert all(2 <= len(batch) <= batch_size + 1 for batch in cut)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_trainings_are_equal_to_the_last_bit(precision: str) -> None:
    params = PARAMS.replace(precision=precision)
    one, other = SmallNetwork(), SmallNetwork()
    first, second = _fit(one, params=params), _fit(other, params=params)
    assert equal_states(one, other)
    assert [(r.train_loss, r.val_loss) for r in first] == [(r.train_loss, r.val_loss) for r in second]
    assert not equal_states(one, SmallNetwork())


def test_two_trainings_of_a_resnet_on_two_threads_are_equal_to_the_last_bit() -> None:
    params = PARAMS.replace(threads=2, epochs=1)
    one, other = build("resnet18", seed=1), build("resnet18", seed=1)
    _fit(one, params=params, train_idx=TRAIN[:16], val_idx=None)
    torch.rand(5)  # whatever the caller draws in between
    _fit(other, params=params, train_idx=TRAIN[:16], val_idx=None)
    assert equal_states(one, other)


def test_another_order_seed_gives_other_weights() -> None:
    one, other = SmallNetwork(), SmallNetwork()
    _fit(one, order_seed=5)
    _fit(other, order_seed=6)
    assert not equal_states(one, other)


def test_it_computes_what_the_textbook_loop_computes() -> None:
    ours, plain = SmallNetwork(), SmallNetwork()
    results = _fit(ours, order_seed=5)
    optimiser = torch.optim.Adam(plain.parameters(), lr=PARAMS.learning_rate)
    losses: list[float] = []
    for epoch in range(1, PARAMS.epochs + 1):
        plain.train()
        order = torch.Generator().manual_seed(derive_seed(5, "epoch", epoch))
        for rows in torch.randperm(len(TRAIN), generator=order).numpy().reshape(-1, PARAMS.batch_size):
            optimiser.zero_grad()
            loss = F.cross_entropy(plain(to_input(IMAGES[rows])), torch.from_numpy(LABELS[rows]))
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    plain.eval()
    with torch.no_grad():
        logits = plain(to_input(IMAGES[VALIDATION]))
    targets = torch.from_numpy(LABELS[VALIDATION])
    per_epoch = np.reshape(losses, (PARAMS.epochs, -1)).mean(axis=1)
    np.testing.assert_allclose([result.train_loss for result in results], per_epoch, rtol=1e-4)
    np.testing.assert_allclose(results[-1].val_loss, F.cross_entropy(logits, targets).item(), rtol=1e-3)
    assert results[-1].error_rate == float((logits.argmax(1) != targets).double().mean())


def test_it_learns_what_can_be_learnt() -> None:
    results = _fit(SmallNetwork(), params=PARAMS.replace(epochs=15, learning_rate=0.05))
    assert [result.epoch for result in results] == list(range(1, 16))
    assert results[-1].train_loss < 0.3 < results[0].train_loss
    assert results[-1].error_rate == 0.0
    assert all(result.images_per_second > 0 and result.seconds > 0 for result in results)


def test_validation_images_do_not_move_the_weights() -> None:
    with_them, without = SmallNetwork(), SmallNetwork()
    _fit(with_them)
    results = _fit(without, val_idx=None)
    assert equal_states(with_them, without)
    assert [(result.val_loss, result.error_rate) for result in results] == [(None, None)] * 2


def test_a_lone_last_image_trains_a_network_whose_batch_norm_needs_two() -> None:
    params = PARAMS.replace(epochs=1, batch_size=4)
    (result,) = _fit(build("resnet18", seed=0), params=params, train_idx=np.arange(5), val_idx=None)
    assert np.isfinite(result.train_loss)


def test_images_may_be_memory_mapped_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped, in_memory = SmallNetwork(), SmallNetwork()
    store = np.load(tmp_path / "images.npy", mmap_mode="r")
    list(fit(mapped, store, LABELS, train_idx=TRAIN, val_idx=VALIDATION, params=PARAMS, order_seed=5))
    _fit(in_memory)
    assert equal_states(mapped, in_memory)


def test_steps_are_counted_over_the_whole_training() -> None:
    seen: list[Progress] = []
    _fit(SmallNetwork(), on_step=seen.append)
    assert [step.done for step in seen] == [1, 2, 3, 4, 5, 6]
    assert [step.epoch for step in seen] == [1, 1, 1, 2, 2, 2]
    assert {step.total for step in seen} == {6}
    assert all(step.images_per_second > 0 for step in seen)


def test_the_callers_random_state_threads_and_switches_are_untouched_at_every_result() -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.random.get_rng_state()
    params = PARAMS.replace(threads=threads + 1)
    for _ in fit(SmallNetwork(), IMAGES, LABELS, train_idx=TRAIN, val_idx=VALIDATION, params=params, order_seed=1):
        assert torch.get_num_threads() == threads
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.equal(torch.random.get_rng_state(), expected)


def test_switches_are_put_back_after_a_failure() -> None:
    threads = torch.get_num_threads()
    inside: list[tuple[int, bool]] = []

    def fails() -> None:
        with reproducible(threads=threads + 1):
            inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert inside == [(threads + 1, True)]
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_not_finite_stops_training_where_it_arises() -> None:
    network = SmallNetwork()
    seen: list[Progress] = []

    def poison(step: Progress) -> None:
        seen.append(step)
        if step.done == 4:
            torch.nn.init.constant_(network.fc.bias, float("nan"))

    with pytest.raises(TrainingError, match="epoch 2 at step 5") as caught:
        _fit(network, on_step=poison)
    assert caught.value.reason == "non_finite_loss"
    assert len(seen) == 4


def test_a_validation_loss_that_is_not_finite_stops_training() -> None:
    network = SmallNetwork()

    def poison(step: Progress) -> None:
        if step.done == 3:
            torch.nn.init.constant_(network.bn.running_mean, float("nan"))

    with pytest.raises(TrainingError, match="validation") as caught:
        _fit(network, on_step=poison)
    assert caught.value.reason == "non_finite_loss"


def test_one_image_is_too_few() -> None:
    with pytest.raises(TrainingError) as caught:
        _fit(SmallNetwork(), train_idx=np.arange(1))
    assert caught.value.reason == "too_few_images"


def test_derived_seeds_differ_by_seed_and_word_and_fit_torchs_generator() -> None:
    seeds = {derive_seed(seed, "order", fold) for seed in range(20) for fold in [*range(5), "refit"]}
    assert len(seeds) == 120
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(2021, "order", 0) == derive_seed(2021, "order", 0)


class _OtherEachTime(SmallNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Of this PyTorch has no deterministic kernel, and says so.
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return super().forward(x)


class _TooLarge(SmallNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class _Broken(SmallNetwork):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize(
    ("network", "reason", "words"),
    [
        (_OtherEachTime(), "not_deterministic", "train.device=cpu"),
        (_TooLarge(), "out_of_memory", "train.batch_size"),
    ],
)
def test_what_pytorch_cannot_do_is_refused_with_what_to_change(network, reason, words) -> None:
    with pytest.raises(TrainingError, match="resnet18") as caught:
        _fit(network)
    assert caught.value.reason == reason
    assert words in caught.value.hint


def test_other_faults_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        _fit(_Broken())
