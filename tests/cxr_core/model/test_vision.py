import torch

from cxr_core.model import vision


def test_torchvisions_import_finds_the_operators_it_attaches_shapes_to() -> None:
    assert hasattr(torch.ops.torchvision, "nms")
    assert hasattr(torch.ops.torchvision, "qnms")


def test_operators_that_are_there_are_not_declared_again() -> None:
    assert vision.declare_missing_operators() == ()


def test_networks_and_weights_are_reached_through_this_module() -> None:
    assert vision.models.resnet18(weights=None, num_classes=3).fc.out_features == 3
    assert vision.models.ResNet34_Weights.IMAGENET1K_V1.url.endswith(".pth")
