"""The architectures on offer, by torchvision's names: which tensors are the head, and which layer Grad-CAM reads.

Those that the paper names or compares itself with, one code path for all: ResNet (He et al. 2016), DenseNet (Huang et
al. 2017), VGG (Simonyan & Zisserman 2015), MobileNet v2 and v3 (Sandler et al. 2018, Howard et al. 2019), EfficientNet
(Tan & Le 2019). Served models carry this file, so it imports nothing but the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxr_core.errors import WeightsError

__all__ = ["ARCHITECTURES", "Facts", "facts"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What must be known of an architecture.

    Attributes:
        head: Prefix of the last linear layer's tensors: a seeded one of our classes stands for ImageNet's thousand.
        features: The module whose output (n, K, h, w) the head pools: the layer of Grad-CAM.
    """

    head: str
    features: str


_RESNET = Facts(head="fc.", features="layer4")

ARCHITECTURES: dict[str, Facts] = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "densenet121": Facts(head="classifier.", features="features"),
    "densenet169": Facts(head="classifier.", features="features"),
    "vgg19": Facts(head="classifier.6.", features="features"),
    "mobilenet_v2": Facts(head="classifier.1.", features="features"),
    "mobilenet_v3_large": Facts(head="classifier.3.", features="features"),
    "efficientnet_b0": Facts(head="classifier.1.", features="features"),
}


def facts(architecture: str) -> Facts:
    """The facts of an architecture by its name.

    Raises:
        WeightsError: ``unknown_architecture``.
    """
    if architecture not in ARCHITECTURES:
        raise WeightsError(
            f"Expected an architecture among {', '.join(ARCHITECTURES)}; found {architecture!r}.",
            reason="unknown_architecture",
        )
    return ARCHITECTURES[architecture]
