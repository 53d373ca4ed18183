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
        imagenet: Name of the file of torchvision's first ImageNet weights (``IMAGENET1K_V1``), which ends in 8 hex
            digits of its SHA-256. Written down here, for torchvision takes a second to import.
    """

    head: str
    features: str
    imagenet: str


ARCHITECTURES: dict[str, Facts] = {
    "resnet18": Facts(head="fc.", features="layer4", imagenet="resnet18-f37072fd.pth"),
    "resnet34": Facts(head="fc.", features="layer4", imagenet="resnet34-b627a593.pth"),
    "resnet50": Facts(head="fc.", features="layer4", imagenet="resnet50-0676ba61.pth"),
    "densenet121": Facts(head="classifier.", features="features", imagenet="densenet121-a639ec97.pth"),
    "densenet169": Facts(head="classifier.", features="features", imagenet="densenet169-b2777c0a.pth"),
    "vgg19": Facts(head="classifier.6.", features="features", imagenet="vgg19-dcbb9e9d.pth"),
    "mobilenet_v2": Facts(head="classifier.1.", features="features", imagenet="mobilenet_v2-b0353104.pth"),
    "mobilenet_v3_large": Facts(head="classifier.3.", features="features", imagenet="mobilenet_v3_large-8738ca79.pth"),
    "efficientnet_b0": Facts(
        head="classifier.1.", features="features", imagenet="efficientnet_b0_rwightman-7f5810bc.pth"
    ),
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
