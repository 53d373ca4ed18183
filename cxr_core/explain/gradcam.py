"""Network, layer and images in, class activation maps out: where a class score gets its evidence.

Shapes: n images, S pixels a side, C classes, (h, w) the layer's positions, K its channels.

Grad-CAM (Selvaraju et al. 2017; the paper's Eq. 6 and 7, with the 1/Z that Eq. 7 drops) weighs each channel of the
layer by the mean gradient of the class score and keeps what argues for the class (ReLU). It is computed by captum.

Laws: a map is at least 0 everywhere; images do not influence each other; the network comes back as it was; for a
network that ends in global average pooling and one linear layer the map is CAM (Eq. 5) up to the factor 1/Z.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import nn

from cxr_core.errors import EvidenceError
from cxr_core.model.network import to_input

__all__ = ["coarse_maps", "enlarged", "grad_cam", "heat_maps"]

_BATCH = 16


def grad_cam(
    network: nn.Module, layer: nn.Module, inputs: torch.Tensor, targets: Sequence[int], *, upsample: bool = True
) -> NDArray[np.float64]:
    """Grad-CAM of one class an image.

    Args:
        network: Gives class scores (n, C) before any softmax.
        layer: A module of the network whose output is (n, K, h, w); ``layer4`` of a ResNet.
        inputs: What the network reads (n, channels, S, S).
        targets: The class to explain, one an image.
        upsample: Bilinearly to S × S; else the layer's own (h, w).

    Returns:
        Maps of class score per unit of activation, at least 0: (n, S, S) or (n, h, w).

    Raises:
        EvidenceError: The numbers of images and targets differ, or a map is not finite.
    """
    if len(inputs) != len(targets):
        raise EvidenceError(
            f"Expected one class an image, found {len(targets)} for {len(inputs)}.", reason="length_mismatch"
        )
    was_training = network.training
    # In training mode batch normalisation would let the images of a batch influence each other.
    network.eval()
    try:
        with torch.enable_grad():
            maps = LayerGradCam(network, layer).attribute(
                inputs, target=torch.as_tensor(list(targets)), relu_attributions=True
            )
    finally:
        network.train(was_training)
    assert isinstance(maps, torch.Tensor)
    if upsample:
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        maps = LayerAttribution.interpolate(maps, size, interpolate_mode="bilinear")
    heat = maps.detach().squeeze(1).double().numpy()
    if not np.isfinite(heat).all():
        raise EvidenceError("Grad-CAM gave a map that is not finite.", reason="not_finite")
    return heat


def coarse_maps(
    network: nn.Module, layer: str, pixels: NDArray[np.uint8], targets: Sequence[int]
) -> NDArray[np.float64]:
    """Grad-CAM of rows of the store at the layer's own positions, in float32 whatever the precision of training.

    Args:
        network: As the model room builds it.
        layer: A module of it, by its name.
        pixels: uint8 (n, S, S), at least one.
        targets: The class to explain, one an image.

    Returns:
        Maps (n, h, w), at least 0.

    Raises:
        EvidenceError: As for :func:`grad_cam`.
    """
    module = network.get_submodule(layer)
    parts = [slice(start, start + _BATCH) for start in range(0, len(pixels), _BATCH)]
    return np.concatenate(
        [grad_cam(network, module, to_input(np.asarray(pixels[each])), targets[each], upsample=False) for each in parts]
    )


def enlarged(maps: NDArray[np.float64], *, size: int) -> NDArray[np.float64]:
    """Maps (n, h, w) as they are shown: bilinearly enlarged to (n, S, S), each scaled to a maximum of 1, or all 0."""
    whole = LayerAttribution.interpolate(torch.from_numpy(maps)[:, None], (size, size), interpolate_mode="bilinear")
    return _scaled(whole.squeeze(1).numpy())


def heat_maps(
    network: nn.Module, layer: nn.Module, pixels: NDArray[np.uint8], targets: Sequence[int]
) -> NDArray[np.float64]:
    """Grad-CAM of rows of the store, in float32 whatever the precision of training.

    Args:
        network: As the model room builds it.
        layer: A module of it.
        pixels: uint8 (n, S, S), possibly none.
        targets: The class to explain, one an image.

    Returns:
        Maps (n, S, S), each scaled to a maximum of 1; all 0 where nothing argues for the class.

    Raises:
        EvidenceError: As for :func:`grad_cam`.
    """
    heat = np.zeros(pixels.shape, dtype=np.float64)
    for start in range(0, len(pixels), _BATCH):
        part = slice(start, start + _BATCH)
        heat[part] = grad_cam(network, layer, to_input(np.asarray(pixels[part])), targets[part])
    return _scaled(heat)


def _scaled(heat: NDArray[np.float64]) -> NDArray[np.float64]:
    peaks = heat.max(axis=(1, 2), keepdims=True, initial=0.0)
    return np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0)
