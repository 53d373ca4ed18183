"""Whether maps depend on what the network learned: its weights are drawn anew, stage by stage from the last one.

Adebayo et al. 2018, "Sanity checks for saliency maps", § 3.1, cascading randomisation: after each stage the maps are
made again and held against those of the trained network. A map that hardly changes shows the picture's edges, not the
network's reasons.

Legend: n images, L stages, (h, w) the layer's positions, S pixels a side.
Laws: the trained network is not changed; after the last step nothing learned is left, running means and variances of
normalisations included.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_core.explain.gradcam import coarse_maps, enlarged
from cxr_core.explain.likeness import spearman, structural_similarity
from cxr_core.explain.stages import stages

__all__ = ["Cascaded", "cascade"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cascaded:
    """What came of it, step by step; NaN where one of the two maps is flat.

    Attributes:
        stages: What was drawn anew at each step, beside all that was before (L).
        rank: Spearman's ρ of each map with the trained network's (L, n), over the layer's positions.
        ssim: Structural similarity of the two (L, n), over pixels, each map scaled to a maximum of 1.
        random: Maps after the last step (n, h, w).
    """

    stages: tuple[str, ...]
    rank: NDArray[np.float64]
    ssim: NDArray[np.float64]
    random: NDArray[np.float64]


def cascade(
    network: nn.Module, drawn: nn.Module, features: str, pixels: NDArray[np.uint8], targets: Sequence[int]
) -> Cascaded:
    """Draw a network anew from its last stage to its first, and compare the maps after each.

    Args:
        network: The trained network.
        drawn: The same architecture with weights that nothing has taught, whose tensors it gets.
        features: The layer explained, a child of the network, e.g. ``layer4``.
        pixels: uint8 (n, S, S).
        targets: The class explained, one an image; the same at every step.

    Raises:
        EvidenceError: The network has no such layer, or a map is not finite.
    """
    size = int(pixels.shape[1])
    learned = coarse_maps(network, features, pixels, targets)
    shown = enlarged(learned, size=size)
    changing, fresh = copy.deepcopy(network), drawn.state_dict()
    parts = stages(network, features, size=size)
    rank, ssim = np.empty((2, len(parts), len(pixels)))
    maps = learned
    for step, stage in enumerate(parts):
        changing.load_state_dict({name: fresh[name] for name in fresh if stage.holds(name)}, strict=False)
        maps = coarse_maps(changing, features, pixels, targets)
        rank[step] = [spearman(one, other) for one, other in zip(learned, maps, strict=True)]
        ssim[step] = [
            structural_similarity(one, other) for one, other in zip(shown, enlarged(maps, size=size), strict=True)
        ]
    return Cascaded(stages=tuple(stage.name for stage in parts), rank=rank, ssim=ssim, random=maps)
