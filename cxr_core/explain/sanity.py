"""Whether a map depends on what the network learned: the maps again with random weights, and how alike the two are.

Adebayo et al. 2018, "Sanity checks for saliency maps": a map that hardly changes when the weights are drawn anew shows
the picture's edges, not the model's reasons.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from cxr_core.errors import EvidenceError
from cxr_core.explain.gradcam import grad_cam
from cxr_core.model.network import to_input

__all__ = ["randomisation_similarity"]


def randomisation_similarity(
    network: nn.Module, layer_name: str, pixels: NDArray[np.uint8], targets: Sequence[int], *, seed: int
) -> list[float | None]:
    """Rank correlation of each image's map with its map under random weights.

    Args:
        network: The trained network; it is not changed.
        layer_name: The layer explained, by its name in the network, e.g. ``layer4``.
        pixels: uint8 (n, S, S).
        targets: The class explained, one an image.
        seed: Of the random weights.

    Returns:
        Spearman's ρ in [-1, 1] over the layer's positions, one an image; None where one of the maps is flat. Near 0 is
        what a map that can be trusted gives.

    Raises:
        EvidenceError: The network has no such layer.
    """
    if layer_name not in dict(network.named_modules()):
        raise EvidenceError(f"The network has no layer {layer_name!r}.", reason="no_such_layer")
    random = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in random.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    inputs = to_input(pixels)
    learned, drawn = (
        grad_cam(model, model.get_submodule(layer_name), inputs, targets, upsample=False) for model in (network, random)
    )
    return [_spearman(one.ravel(), other.ravel()) for one, other in zip(learned, drawn, strict=True)]


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    ranks = [stats.rankdata(values) for values in (one, other)]
    if any(np.ptp(values) == 0 for values in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])
