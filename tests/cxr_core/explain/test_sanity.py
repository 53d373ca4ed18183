"""Cascading randomisation tells maps that follow the weights from maps that do not, and leaves the network alone."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_core.errors import EvidenceError
from cxr_core.explain.gradcam import coarse_maps
from cxr_core.explain.sanity import cascade
from cxr_core.model.network import build
from tests.cxr_core.explain.networks import ConvGapFc


class Brightness(nn.Module):
    """Its map is the picture itself, whatever its weights are: the fault the check is there to find."""

    def __init__(self):
        super().__init__()
        self.layer4 = nn.AvgPool2d(4)
        self.fc = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer4(images).mean(dim=(2, 3))).abs() + self.layer4(images).sum(dim=(1, 2, 3))[:, None]


def pixels(n: int = 3, size: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(130, 256, (n, size, size), dtype=np.uint8)


def test_maps_that_ignore_the_weights_stay_and_maps_that_use_them_change():
    ignoring = cascade(Brightness(), Brightness(), "layer4", pixels(), [0, 1, 2])
    using = cascade(ConvGapFc(channels=16), ConvGapFc(channels=16, seed=9), "layer4", pixels(), [0, 1, 2])
    assert ignoring.rank[-1].min() > 0.9
    assert ignoring.ssim[-1].min() > 0.9
    assert np.nanmean(using.rank[-1]) < 0.7


def test_stages_go_from_the_last_to_the_first_and_only_what_was_reached_is_random():
    learned: Any = build("resnet18", seed=1)
    drawn: Any = build("resnet18", seed=2)
    images = pixels(2, 64)
    found = cascade(learned, drawn, "layer4", images, [0, 2])
    assert found.stages == ("fc", "layer4", "layer3", "layer2", "layer1", "conv1 to bn1")
    assert found.rank.shape == found.ssim.shape == (6, 2)
    # After the last step nothing of the learned network is left, after the first all but the head.
    np.testing.assert_array_equal(found.random, coarse_maps(drawn, "layer4", images, [0, 2]))
    learned.fc.load_state_dict(drawn.fc.state_dict())
    again = cascade(learned, drawn, "layer4", images, [0, 2])
    np.testing.assert_allclose(again.rank[0], 1.0)
    np.testing.assert_array_equal(again.random, found.random)


def test_running_statistics_of_normalisations_are_forgotten_too():
    learned, drawn, images = build("resnet18", seed=1), build("resnet18", seed=2), pixels(2, 64)
    with torch.no_grad():
        for module in learned.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                module.running_mean.fill_(3.0)
    np.testing.assert_array_equal(
        cascade(learned, drawn, "layer4", images, [0, 2]).random, coarse_maps(drawn, "layer4", images, [0, 2])
    )


def test_neither_network_nor_random_state_is_changed_and_the_same_draw_gives_the_same():
    network, drawn, state = ConvGapFc(), ConvGapFc(seed=5), torch.get_rng_state()
    before = network.fc.weight.clone(), drawn.fc.weight.clone()
    first, second = (cascade(network, drawn, "layer4", pixels(), [0, 1, 2]) for _ in range(2))
    np.testing.assert_array_equal(first.rank, second.rank)
    assert torch.equal(before[0], network.fc.weight)
    assert torch.equal(before[1], drawn.fc.weight)
    assert torch.equal(state, torch.get_rng_state())


def test_a_flat_map_has_no_likeness():
    network = ConvGapFc()
    with torch.no_grad():
        network.fc.weight.fill_(-1.0)
    found = cascade(network, ConvGapFc(seed=1), "layer4", pixels(1), [0])
    assert np.isnan(found.rank).all()
    assert np.isnan(found.ssim).all()


def test_a_missing_layer_is_named():
    with pytest.raises((EvidenceError, AttributeError), match="layer9"):
        cascade(ConvGapFc(), ConvGapFc(), "layer9", pixels(), [0, 1, 2])
