"""Every architecture on offer builds, trains, is saved, is explained, starts from published weights, by one path."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from cxr_core.errors import WeightsError
from cxr_core.explain.gradcam import heat_maps
from cxr_core.model import checkpoint
from cxr_core.model.architectures import ARCHITECTURES, facts
from cxr_core.model.network import build, probabilities
from cxr_core.model.vision import models
from cxr_core.model.weights import load_initial
from cxr_core.params import Architecture
from cxr_core.train.loop import fit
from tests.cxr_core.model.examples import equal_states, striped_images
from tests.cxr_core.train.examples import params_of

IMAGES, LABELS = striped_images(6, size=64)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_trains_a_step_and_comes_back_from_its_checkpoint_with_maps(architecture: str, tmp_path: Path) -> None:
    params = params_of(architecture=architecture, epochs=1, batch_size=6, learning_rate=1e-4)
    network = build(architecture, seed=3)
    (result,) = fit(network, IMAGES, LABELS, train_idx=np.arange(6), val_idx=None, params=params, order_seed=1)
    assert 0.5 < result.train_loss < 10
    about = checkpoint.About(architecture=architecture, size=64, precision="fp32")
    checkpoint.save(tmp_path / "model.safetensors", network, about)
    restored = checkpoint.restore(checkpoint.read(tmp_path / "model.safetensors"))
    assert equal_states(restored, network)
    layer = restored.get_submodule(facts(architecture).features)
    assert heat_maps(restored, layer, IMAGES[:2], [0, 1]).shape == (2, 64, 64)
    rows = probabilities(restored, IMAGES, precision="fp32")
    assert rows.shape == (6, 3)
    np.testing.assert_allclose(rows.sum(axis=1), 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_published_weights_fill_all_but_the_head(architecture: str, tmp_path: Path) -> None:
    head = facts(architecture).head
    published = models.get_model(architecture, weights=None)
    buffer = io.BytesIO()
    torch.save(_as_published(architecture, published.state_dict()), buffer)
    name = f"{architecture}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (tmp_path / name).write_bytes(buffer.getvalue())
    network, fresh = build(architecture, seed=5), build(architecture, seed=5).state_dict()
    load_initial(
        network,
        "imagenet",
        architecture=architecture,
        cache=tmp_path,
        urls={architecture: f"http://127.0.0.1:9/{name}"},
    )
    for key, value in network.state_dict().items():
        expected = fresh[key] if key.startswith(head) else published.state_dict()[key]
        assert torch.equal(value, expected), key
    assert sum(key.startswith(head) for key in fresh) == 2


def _as_published(architecture: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """DenseNet's published files hold the names of 2017."""
    if not architecture.startswith("densenet"):
        return state
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))([12]\.)")
    return {old.sub(r"\1.\2", name): value for name, value in state.items()}


def test_what_params_yaml_may_ask_for_is_what_is_on_offer() -> None:
    assert set(get_args(Architecture)) == set(ARCHITECTURES)


def test_an_architecture_that_nobody_offers_is_refused() -> None:
    with pytest.raises(WeightsError, match="densenet169") as caught:
        build("alexnet", seed=0)
    assert caught.value.reason == "unknown_architecture"
