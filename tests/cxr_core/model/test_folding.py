"""A folded network says what the network says, of every architecture, and leaves it as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxr_core.model.architectures import ARCHITECTURES
from cxr_core.model.folding import folded
from cxr_core.model.network import build


def _lived_in(architecture: str) -> nn.Module:
    """A network whose normalisations have statistics and factors of their own, as after training."""
    network = build(architecture, seed=1).eval()
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.1, 0.1),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.1, 0.1),
            ):
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    return network


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_class_scores_differ_by_rounding_alone_and_the_network_is_untouched(architecture: str) -> None:
    network = _lived_in(architecture)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        plain, made = network(images), folded(network)(images)
    torch.testing.assert_close(made, plain, rtol=2e-3, atol=1e-4 * float(plain.abs().max()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_resnets_normalisations_are_all_gone() -> None:
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded(_lived_in("resnet18")).modules())
