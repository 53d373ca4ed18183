"""The randomisation check tells maps that follow the weights from maps that do not."""

import numpy as np
import pytest
import torch
from torch import nn

from cxr_core.errors import EvidenceError
from cxr_core.explain.sanity import randomisation_similarity
from tests.cxr_core.explain.networks import ConvGapFc


class Brightness(nn.Module):
    """Its map is the picture itself, whatever its weights are: the fault the check is there to find."""

    def __init__(self):
        super().__init__()
        self.layer4 = nn.AvgPool2d(4)
        self.fc = nn.Linear(3, 3)

    def forward(self, images):
        return self.fc(self.layer4(images).mean(dim=(2, 3))).abs() + self.layer4(images).sum(dim=(1, 2, 3))[:, None]


def pixels(n=3):
    return np.random.default_rng(0).integers(130, 256, (n, 32, 32), dtype=np.uint8)


def test_maps_that_ignore_the_weights_stay_and_maps_that_use_them_change():
    ignoring = randomisation_similarity(Brightness(), "layer4", pixels(), [0, 1, 2], seed=1)
    using = randomisation_similarity(ConvGapFc(channels=16), "layer4", pixels(), [0, 1, 2], seed=1)
    assert min(ignoring) > 0.9
    assert np.mean([rho for rho in using if rho is not None]) < 0.7


def test_neither_network_nor_random_state_is_changed_and_one_seed_gives_one_result():
    network, state = ConvGapFc(), torch.get_rng_state()
    before = network.fc.weight.clone()
    first = randomisation_similarity(network, "layer4", pixels(), [0, 1, 2], seed=5)
    assert first == randomisation_similarity(network, "layer4", pixels(), [0, 1, 2], seed=5)
    assert torch.equal(before, network.fc.weight)
    assert torch.equal(state, torch.get_rng_state())


def test_a_flat_map_has_no_correlation():
    network = ConvGapFc()
    with torch.no_grad():
        network.fc.weight.fill_(-1.0)
    assert randomisation_similarity(network, "layer4", pixels(1), [0], seed=1) == [None]


def test_a_missing_layer_is_named():
    with pytest.raises(EvidenceError, match="layer9"):
        randomisation_similarity(ConvGapFc(), "layer9", pixels(), [0], seed=1)
