"""A set of images from elsewhere: what the registered model says of them in, its own table of figures out.

Laws: the digests name every file of the set, used or not, and every probability; nothing of it enters another figure.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.curate.external import ExternalImage, LeftOut
from cxr_core.digests import digest_bytes
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.population import population
from cxr_core.evaluate.predictions import Prediction, check_predictions, digest_predictions
from cxr_core.evaluate.proofs import External
from cxr_core.params import EvaluateParams

__all__ = ["external_csv", "external_figures", "external_predictions"]

_COLUMNS = ("name", "used", "sha256", "kept_sha256", "pixel_sha256", "label", "group", "detail")
_USED = "yes"


def external_csv(name: str, kept: Sequence[ExternalImage], left: Sequence[LeftOut]) -> str:
    """Every file of a set, sorted by name: its digests and label, or the reason why it is not used."""
    lines = [
        (f"{name}:{each.of.path}", _USED, each.of.sha256, each.sha256, each.pixel_sha256, each.of.label, each.group, "")
        for each in kept
    ]
    lines += [(f"{name}:{each.path}", each.reason, each.sha256, "", "", "", "", each.detail) for each in left]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(sorted(lines))
    return out.getvalue()


def external_predictions(
    name: str, kept: Sequence[ExternalImage], probabilities: NDArray[np.float64]
) -> list[Prediction]:
    """Join the registered model's probabilities (n, 3) to the images of a set, in one order.

    Raises:
        EvidenceError: The two have different lengths.
    """
    if probabilities.shape != (len(kept), len(CLASSES)):
        raise EvidenceError(
            f"Expected probabilities {(len(kept), len(CLASSES))} of {name}, found {probabilities.shape}.",
            reason="length_mismatch",
        )
    return [
        Prediction(
            name=f"{name}:{each.of.path}",
            sha256=each.sha256,
            group=each.group,
            source=name,
            fold=None,
            label=CLASSES.index(each.of.label),
            probabilities=(float(scores[0]), float(scores[1]), float(scores[2])),
            leak_free=True,
            view=each.of.view,
            sex=each.of.sex,
            age_years=each.of.age_years,
        )
        for each, scores in zip(kept, probabilities, strict=True)
    ]


def external_figures(
    images: str, predictions: Sequence[Prediction], left: Sequence[LeftOut], params: EvaluateParams
) -> External:
    """Every figure over a set.

    Args:
        images: What ``external_csv`` wrote.
        predictions: One an image that is used.
        left: What is not used.
        params: Confidence, bootstrap samples and seed.

    Raises:
        EvidenceError: There is no prediction, or one is impossible.
    """
    check_predictions(predictions)
    return External(
        images=digest_bytes(images.encode()),
        predictions=digest_predictions(predictions),
        left_out=dict(sorted(Counter(each.reason for each in left).items())),
        people=population(predictions, confidence=params.confidence),
    )
