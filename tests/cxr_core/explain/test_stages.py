"""A network comes apart into a handful of stages, last first, and every tensor is in exactly one."""

import pytest

from cxr_core.errors import EvidenceError
from cxr_core.explain.stages import stages
from cxr_core.model.architectures import ARCHITECTURES
from cxr_core.model.network import build
from tests.cxr_core.explain.networks import ConvGapFc


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_of_every_architecture_is_in_one_stage_and_the_head_comes_first(architecture: str) -> None:
    network, facts = build(architecture, seed=0).train(), ARCHITECTURES[architecture]
    found = stages(network, facts.features, size=32)
    assert [sum(stage.holds(name) for stage in found) for name in network.state_dict()] == [1] * len(
        network.state_dict()
    )
    assert 5 <= len(found) <= 7
    assert facts.head.startswith(found[0].name)
    assert network.training


def test_of_a_resnet_they_are_the_papers():
    found = stages(build("resnet34", seed=0), "layer4", size=64)
    assert [stage.name for stage in found] == ["fc", "layer4", "layer3", "layer2", "layer1", "conv1 to bn1"]


def test_a_trunk_of_one_module_is_taken_apart_and_a_missing_one_is_named():
    assert [stage.modules for stage in stages(ConvGapFc(), "layer4", size=16)] == [("fc",), ("layer4.0",)]
    with pytest.raises(EvidenceError, match="layer9"):
        stages(ConvGapFc(), "layer9", size=16)
