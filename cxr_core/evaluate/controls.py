"""What must fail for a run's figures to be believed: the store, the folds and what their networks made of it in.

Laws: every control uses the run's own folds and patients, and is judged on leak-free test images; what could not be
measured says so, and counts as not proven wherever proof is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_core.evaluate.control_contests import picture_controls
from cxr_core.evaluate.control_labels import permuted_labels
from cxr_core.evaluate.control_probe import source_probe
from cxr_core.evaluate.frozen import Look
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.proofs import Controls
from cxr_core.params import EvaluateParams
from cxr_core.split.folds import Split

__all__ = ["measure_controls"]


def measure_controls(
    images: NDArray[np.uint8],
    dealt: Split,
    predictions: Sequence[Prediction],
    looks: Mapping[int, Look],
    params: EvaluateParams,
) -> Controls:
    """Run every control.

    Args:
        images: The store, uint8 (N, S, S), in the cohort's order.
        dealt: The run's folds.
        predictions: What the folds' networks say of every tested image.
        looks: What each fold's network made of that fold's validation and test images, by fold.
        params: Confidence, bootstrap samples and seed.
    """
    return Controls(
        pictures=picture_controls(images, dealt, predictions, params),
        source_probe=source_probe(looks, dealt, confidence=params.confidence),
        permuted_labels=permuted_labels(images, dealt, params),
    )
