"""What the parameters may choose beside the paper's recipe, each held against what it is said to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from cxr_core.model.network import to_input
from cxr_core.train.loop import EpochResult, fit
from cxr_core.train.order import batches, shuffled
from cxr_core.train.recipe import class_weights, learning_rates
from tests.cxr_core.model.examples import SmallNetwork, equal_states, striped_images
from tests.cxr_core.train.examples import params_of

IMAGES, LABELS = striped_images(36)
TRAIN, VALIDATION = np.arange(0, 24), np.arange(24, 36)


def _fit(network: torch.nn.Module, *, val_idx: np.ndarray | None = VALIDATION, **changes: object) -> list[EpochResult]:
    params = params_of(**changes)
    return list(fit(network, IMAGES, LABELS, train_idx=TRAIN, val_idx=val_idx, params=params, order_seed=5))


def test_the_papers_step_size_never_moves() -> None:
    assert learning_rates(params_of(), steps=3) is None


@settings(max_examples=40)
@given(st.sampled_from(["cosine", "step", "one_cycle"]), st.integers(1, 12), st.integers(1, 7))
def test_a_schedule_has_a_step_size_for_every_step_none_above_the_one_asked_for(schedule, epochs, steps) -> None:
    rates = learning_rates(params_of(schedule=schedule, epochs=epochs, learning_rate=0.01), steps=steps)
    assert rates is not None
    assert len(rates) == epochs * steps
    assert all(0 < rate <= 0.01 * (1 + 1e-9) for rate in rates)


def test_each_schedule_goes_where_its_name_says() -> None:
    rates = {
        schedule: np.array(learning_rates(params_of(schedule=schedule, epochs=9, learning_rate=0.01), steps=4))
        for schedule in ("cosine", "step", "one_cycle")
    }
    halves = 0.005 * (1 + np.cos(np.pi * np.arange(36) / 36))
    np.testing.assert_allclose(rates["cosine"], halves, rtol=1e-9)
    np.testing.assert_allclose(rates["step"], np.repeat([0.01, 0.001, 0.0001], 12))
    assert rates["one_cycle"].argmax() in (10, 11)
    assert rates["one_cycle"][0] == pytest.approx(0.01 / 25)


def test_the_network_is_moved_by_the_schedules_step_sizes_and_shrunk_by_the_decay() -> None:
    choices = {"schedule": "cosine", "weight_decay": 0.1, "learning_rate": 0.01}
    ours, plain = SmallNetwork(), SmallNetwork()
    _fit(ours, **choices)
    params = params_of(**choices)
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.01, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=6)
    for epoch in (1, 2):
        for rows in batches(shuffled(TRAIN, 5, epoch), params.batch_size):
            optimiser.zero_grad()
            F.cross_entropy(plain(to_input(IMAGES[rows])), torch.from_numpy(LABELS[rows])).backward()
            optimiser.step()
            scheduler.step()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_balanced_class_weights_are_scikit_learns_and_an_absent_class_does_no_harm() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])
    found = class_weights(params_of(class_weights="balanced"), labels)
    assert found is not None
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    absent = class_weights(params_of(class_weights="balanced"), np.array([0, 1, 1]))
    assert absent is not None
    assert torch.isfinite(absent).all()
    assert class_weights(params_of(), labels) is None


def test_class_weights_change_the_weights_only_where_the_classes_differ_in_size() -> None:
    plain, weighted, uneven = SmallNetwork(), SmallNetwork(), SmallNetwork()
    _fit(plain)
    _fit(weighted, class_weights="balanced")  # 24 images, 8 a class
    assert equal_states(plain, weighted)
    params = params_of(class_weights="balanced")
    list(fit(uneven, IMAGES, LABELS, train_idx=TRAIN[:-1], val_idx=None, params=params, order_seed=5))
    even = SmallNetwork()
    list(fit(even, IMAGES, LABELS, train_idx=TRAIN[:-1], val_idx=None, params=params_of(), order_seed=5))
    assert not equal_states(even, uneven)


def test_frozen_epochs_move_the_last_layer_alone_and_the_next_epoch_moves_everything() -> None:
    frozen, freed, start = SmallNetwork(), SmallNetwork(), SmallNetwork().state_dict()
    _fit(frozen, frozen_epochs=2)
    _fit(freed, frozen_epochs=1)
    kept = {name for name, value in frozen.state_dict().items() if torch.equal(value, start[name])}
    assert kept == {name for name in start if not name.startswith("fc.")}
    assert not [name for name, value in freed.state_dict().items() if torch.equal(value, start[name])]


def _stripes_that_fool() -> np.ndarray:
    """Validation labels that training makes worse and worse."""
    labels = LABELS.copy()
    labels[VALIDATION] = (labels[VALIDATION] + 1) % 3
    return labels


def test_patience_stops_when_validation_no_longer_improves_and_keeps_the_best_epoch() -> None:
    labels = _stripes_that_fool()

    def train(network: torch.nn.Module, **changes: object) -> list[EpochResult]:
        params = params_of(learning_rate=0.05, **changes)
        return list(fit(network, IMAGES, labels, train_idx=TRAIN, val_idx=VALIDATION, params=params, order_seed=5))

    whole = train(SmallNetwork(), epochs=12)
    losses = [epoch.val_loss for epoch in whole]
    best = losses.index(min(losses)) + 1
    stopped, short = SmallNetwork(), SmallNetwork()
    results = train(stopped, epochs=12, patience=2)
    assert len(results) == best + 2 < 12
    assert [epoch.val_loss for epoch in results] == losses[: best + 2]
    train(short, epochs=best)
    assert equal_states(stopped, short)


def test_without_validation_images_patience_never_stops_and_the_caller_may() -> None:
    whole, short, three = SmallNetwork(), SmallNetwork(), SmallNetwork()
    assert len(_fit(whole, val_idx=None, epochs=3, patience=1)) == 3
    params = params_of(epochs=3, patience=1)
    asked = {"train_idx": TRAIN, "val_idx": None, "params": params, "order_seed": 5}
    assert len(list(fit(short, IMAGES, LABELS, epochs=2, **asked))) == 2
    _fit(three, val_idx=None, epochs=2)
    assert equal_states(short, three)
