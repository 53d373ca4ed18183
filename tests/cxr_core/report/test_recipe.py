"""What page and forms say of a training follows from its parameters, the paper's and others."""

from __future__ import annotations

from typing import get_args

import pytest

from cxr_core.params import Params, Protocol, override_params, read_params
from cxr_core.report import recipe
from tests.walk import ROOT


def params(*overrides: str) -> dict[str, str]:
    """As MLflow keeps them."""
    from tasks.adapters.runlog import flattened

    read: Params = read_params(override_params((ROOT / "params.yaml").read_text(encoding="utf-8"), overrides))
    return flattened(read.plain())


def test_the_papers_choices_are_said_and_none_that_was_not_made() -> None:
    paper = params()
    assert recipe.optimiser(paper) == (
        "Cross-entropy, Adam; epochs 10, batch size 16, learning rate 0.001, seed 2021, threads 2"
    )
    assert recipe.epochs(paper) == "Nothing was stopped early, and no epoch was chosen by its result."
    for nothing in ("0.00", "0e0", "-0.0", "null", "false"):
        assert recipe.optimiser(paper | {"train.weight_decay": nothing}) == recipe.optimiser(paper)
    assert recipe.chosen_by(paper).startswith("Not by a result")
    assert recipe.loss_weights(paper).startswith("Nothing: the loss is not weighted")


def test_a_choice_that_was_made_is_not_denied() -> None:
    ours = params(
        "train.patience=2",
        "train.class_weights=balanced",
        "train.weight_decay=0.01",
        "train.schedule=cosine",
        "train.frozen_epochs=3",
    )
    told = recipe.optimiser(ours)
    for words in ("schedule cosine", "weight decay 0.01", "class weights balanced", "frozen epochs 3", "patience 2"):
        assert words in told
    assert "2 epochs in a row did not lower its validation loss" in recipe.epochs(ours)
    assert "validation losses" in recipe.chosen_by(ours)
    assert recipe.loss_weights(ours) == "The loss weights classes (balanced); nothing is resampled"


def test_what_was_not_recorded_is_said_to_be() -> None:
    assert "not recorded" in recipe.epochs({})
    assert "not recorded" in recipe.loss_weights({})


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_every_protocol_says_how_it_deals(protocol: str) -> None:
    assert ("fold i + 1 validates" in recipe.dealt(protocol)) == (protocol in ("paper", "grouped"))
