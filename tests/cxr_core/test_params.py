"""params.yaml is the paper's protocol, and a fault in it is named by its path."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.errors import ParamsError
from cxr_core.params import override_params, read_params

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")


def test_the_defaults_are_the_papers_protocol() -> None:
    params = read_params(TEXT)
    assert params.curate.quota == {"covid": 240, "viral": 274, "normal": 267}
    assert params.prepare.size == 224
    assert (params.split.protocol, params.split.folds) == ("paper", 5)
    train = params.train
    assert (train.architecture, train.weights, train.epochs) == ("resnet34", "imagenet", 10)
    assert (train.batch_size, train.learning_rate) == (16, 1e-3)
    assert (train.schedule, train.weight_decay, train.class_weights) == ("constant", 0.0, "none")
    assert (train.frozen_epochs, train.patience) == (0, None)


def test_an_override_changes_one_value_and_keeps_the_comments() -> None:
    text = override_params(TEXT, ["train.epochs=3", "curate.quota.covid=null", "ingest.sources=[sirm, kaggle]"])
    params = read_params(text)
    assert params.train.epochs == 3
    assert params.curate.quota["covid"] is None
    assert params.ingest.sources == ("sirm", "kaggle")
    assert [line for line in text.splitlines() if line.lstrip().startswith("#")] == [
        line for line in TEXT.splitlines() if line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train.epoch=3", "train.epoch"),
        ("nothing=1", "nothing"),
        ("train.epochs.deep=1", "train.epochs.deep"),
        ("train.epochs", "key=value"),
        ("train.epochs=many", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("split.folds=2", "split.folds"),
        ("train.weights=magic", "train.weights"),
        ("train.schedule=warm", "train.schedule"),
        ("train.frozen_epochs=11", "train.frozen_epochs.*10"),
        ("train.patience=0", "train.patience"),
        ("curate.quota.covid=-1", "curate.quota.covid"),
        ("curate.preference=[sirm]", "curate.preference"),
        ("train.epochs=[", "train.epochs"),
    ],
)
def test_a_bad_override_is_refused_by_its_path(override: str, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        override_params(TEXT, [override])


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ParamsError) as caught:
        read_params(
            TEXT.replace("epochs: 10", "epochs: 0").replace("size: 224", "size: 8").replace("panels:", "pannels:")
        )
    assert all(
        path in str(caught.value) for path in ("train.epochs", "prepare.size", "explain.panels", "explain.pannels")
    )


@given(st.text(max_size=40))
def test_any_text_is_parameters_or_refused_by_name(text: str) -> None:
    # Nothing that short holds every key, so each text is refused, and always in our words.
    with pytest.raises(ParamsError) as caught:
        read_params(text)
    assert caught.value.reason == "bad_params"


@given(st.integers(min_value=1, max_value=1000), st.floats(min_value=1e-6, max_value=1, allow_nan=False))
def test_what_is_set_is_what_is_read(epochs: int, rate: float) -> None:
    params = read_params(override_params(TEXT, [f"train.epochs={epochs}", f"train.learning_rate={rate!r}"]))
    assert (params.train.epochs, params.train.learning_rate) == (epochs, rate)
