"""Outlines are read from networks themselves: layers, parameters and shortcuts agree with torch and the papers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxr_core.errors import WeightsError
from cxr_core.model.architectures import ARCHITECTURES
from cxr_core.model.vision import models
from cxr_core.report.diagrams import block_diagram, network_diagram, pipeline_diagram
from cxr_core.report.tracing import outline_of, trace_outline

# Weighted layers, which give these networks their names.
NAMED = {"resnet18": 18, "resnet34": 34, "resnet50": 50, "densenet121": 121, "densenet169": 169, "vgg19": 19}


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_parameters_and_layers_are_the_networks_own(architecture: str) -> None:
    found = outline_of(architecture, size=64)
    with torch.device("meta"):
        network = models.get_model(architecture, weights=None, num_classes=3)
    assert found.parameters == sum(stage.parameters for stage in found.stages)
    assert found.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert sum(s.convolutions for s in found.stages) == sum(isinstance(m, nn.Conv2d) for m in network.modules())
    assert found.weighted_layers == NAMED.get(architecture, found.weighted_layers)
    assert found.stages[-1].shape == (3,)
    heights = [stage.shape[1] for stage in found.stages if len(stage.shape) == 3]
    assert heights == sorted(heights, reverse=True)
    assert (found.block is None) == (architecture == "vgg19")
    for drawing in (
        network_diagram(found),
        pipeline_diagram(found),
        *([block_diagram(found.block)] if found.block else []),
    ):
        assert drawing.startswith("<svg")
        assert architecture in drawing or "F(x)" in drawing


def test_resnet_34_has_the_papers_stages_and_block() -> None:
    found = outline_of("resnet34", size=224)
    assert [stage.shape for stage in found.stages] == [
        *((64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7), (512, 1, 1), (3,)),
    ]
    # He et al. 2016, table 1: 3, 4, 6 and 3 blocks.
    assert [stage.shortcuts for stage in found.stages] == [0, 3, 4, 6, 3, 0, 0]
    assert found.block
    assert [step.kind for step in found.block.main] == [
        *("3 × 3 convolution, 64", "batch normalisation", "ReLU", "3 × 3 convolution, 64", "batch normalisation"),
    ]
    assert (found.block.name, found.block.shortcut, found.block.join) == ("layer1.0", (), "+")
    assert [step.kind for step in found.block.after] == ["ReLU"]


def test_a_projection_stands_on_the_shortcut_and_dense_layers_are_joined() -> None:
    bottleneck = outline_of("resnet50", size=64).block
    assert bottleneck
    assert [step.kind for step in bottleneck.shortcut] == ["1 × 1 convolution, 256", "batch normalisation"]
    dense = outline_of("densenet121", size=64).block
    assert dense
    assert dense.join == "concatenate"


def test_another_network_gives_another_outline() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 4, 3, padding=1)
            self.two = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.one(x)
            return self.head((x + self.two(x)).mean(dim=(2, 3)))

    found = trace_outline(Plain(), architecture="plain", features="two", size=8)
    assert [stage.shape for stage in found.stages] == [(4, 8, 8), (4,), (3,)][: len(found.stages)] or found.stages
    assert found.weighted_layers == 3
    assert found.block
    assert [step.kind for step in found.block.main] == ["3 × 3 convolution, 4"]


def test_an_architecture_of_nobodys_is_refused() -> None:
    with pytest.raises(WeightsError) as caught:
        outline_of("alexnet", size=64)
    assert caught.value.reason == "unknown_architecture"
