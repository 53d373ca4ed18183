"""Two models on the same images: two tables of predictions in, their paired differences out.

Only images that both were tested on, leak-free for both, are compared; an image is known by the digest of its bytes.
Both are judged by the first table's labels, so that a corrected label does not count as a change of the model.

Laws: comparing a table with itself gives differences of 0; where labels agree, swapping the two turns every difference
round; what cannot be had is null and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from cxr_core.digests import digest_value
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import Draft, macro_auc, proportion
from cxr_core.evaluate.estimates import draw
from cxr_core.evaluate.p_words import p_words
from cxr_core.evaluate.paired import shared_images
from cxr_core.evaluate.predictions import Prediction, digest_predictions
from cxr_core.stats.clusters import Patients
from cxr_core.stats.paired import mcnemar

__all__ = ["Comparison", "Difference", "compare", "compare_predictions", "comparison_digest", "settled_differences"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Difference(_Record):
    """First minus second, with its interval over patients."""

    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    why: str


class Comparison(_Record):
    """Two models on ``n`` images of ``groups`` patients; the digests say which predictions were compared."""

    first_predictions: str
    second_predictions: str
    confidence: float
    # Images both were tested on, and those of them that are leak-free for both: the ones compared.
    shared: int = Field(ge=0)
    n: int = Field(ge=0)
    groups: int = Field(ge=0)
    # Compared images whose label is another in the second table.
    relabelled: int = Field(ge=0)
    accuracy: Difference
    macro_auc: Difference
    only_first_right: int = Field(ge=0)
    only_second_right: int = Field(ge=0)
    # McNemar's exact two-sided p; null without a compared image.
    mcnemar_p: float | None


def compare(
    first: Sequence[Prediction], second: Sequence[Prediction], *, confidence: float, resamples: int, seed: int
) -> Comparison:
    """Compare two models image by image.

    Args:
        first: Checked predictions; of the candidate, where a decision is to read the result.
        second: Checked predictions; of the champion.
        confidence: Two-sided coverage of the differences' intervals, in (0, 1).
        resamples: Samples of the patient-cluster bootstrap.
        seed: Of the bootstrap.
    """
    shared = shared_images(first, second)
    mine = shared.first
    sides = Arrays.of(mine), Arrays.of(shared.second)
    everyone = np.ones(len(mine), dtype=bool)
    mine_of, theirs_of = (
        {
            "accuracy": proportion(side.correct, everyone, side.patients, confidence=confidence),
            "macro_auc": macro_auc(side, confidence=confidence),
        }
        for side in sides
    )
    groups = [row.group for row in mine]
    same = np.array_equal(sides[0].scores, sides[1].scores)
    differences = settled_differences(
        mine_of,
        theirs_of,
        groups,
        same=same,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
    )
    only_first, only_second, p = _discordant(sides[0].correct, sides[1].correct)
    return Comparison(
        first_predictions=digest_predictions(first),
        second_predictions=digest_predictions(second),
        confidence=confidence,
        shared=shared.tested,
        n=len(mine),
        groups=len(set(groups)),
        relabelled=shared.relabelled,
        accuracy=differences["accuracy"],
        macro_auc=differences["macro_auc"],
        only_first_right=only_first,
        only_second_right=only_second,
        mcnemar_p=p,
    )


def compare_predictions(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    *,
    names: tuple[str, str],
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """The comparison as plain JSON, with a sentence for people as ``text``; arguments as for :func:`compare`."""
    comparison = compare(first, second, confidence=confidence, resamples=resamples, seed=seed)
    return {**comparison.model_dump(mode="json"), "text": _words(comparison, *names)}


def settled_differences(
    first: Mapping[str, Draft],
    second: Mapping[str, Draft],
    groups: Sequence[str],
    *,
    same: bool,
    confidence: float,
    resamples: int,
    seed: int,
) -> dict[str, Difference]:
    """First minus second of figures over the same images, each with its interval over patients.

    Args:
        first: Figures by name.
        second: The same of the other side.
        groups: Patient or duplicate cluster of each image (N,).
        same: Whether both sides gave every image the same probabilities.
        confidence: Two-sided coverage, in (0, 1).
        resamples: Samples of the patient-cluster bootstrap; every figure sees the same ones.
        seed: Of the bootstrap.
    """
    patients = Patients.named(groups)
    drafts = {name: difference(first[name], second[name], patients, confidence=confidence, same=same) for name in first}
    settled = draw(drafts, groups, confidence=confidence, resamples=resamples, seed=seed)
    return {
        name: Difference(
            first=first[name].value,
            second=second[name].value,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            why=estimate.why,
        )
        for name, estimate in settled.items()
    }


def comparison_digest(comparison: Comparison) -> str:
    """``sha256:<hex>`` of the comparison as JSON."""
    return digest_value(comparison.model_dump(mode="json"))


def _words(comparison: Comparison, first: str, second: str) -> str:
    where = (
        f"{first} against {second}: {comparison.n} of {comparison.shared} images tested by both are leak-free for both"
    )
    accuracy = comparison.accuracy
    if accuracy.value is None or comparison.mcnemar_p is None:
        return f"{where}; no difference can be given. {accuracy.why}"
    return (
        f"{where}; difference in accuracy {accuracy.value:+.3f} ({accuracy.low:+.3f} to {accuracy.high:+.3f}), right "
        f"with one alone {comparison.only_first_right} : {comparison.only_second_right}, "
        f"McNemar's {p_words(comparison.mcnemar_p)}."
    )


def _discordant(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float | None]:
    try:
        test = mcnemar(first.tolist(), second.tolist())
    except EvidenceError:
        # No image to compare: the caller reads n = 0.
        return 0, 0, None
    return test.only_first, test.only_second, test.p
