"""Predictions to evidence: those of the folds, pooled, and those of the refit on held-out images, apart.

Two populations stand side by side: ``all`` test images, as the paper counts them, and ``leak_free``, those whose
patient or duplicate cluster has no image in the training or validation part of the fold that tested them. Under the
protocol ``grouped`` the two are the same images. Gates read ``leak_free``.

``holdout`` has the figures of the very model that is registered, on images held out of every fold; it is absent where
none is held out.

Laws: the same predictions in any order give the same evidence, digest included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.population import population
from cxr_core.evaluate.predictions import Prediction, check_predictions, digest_predictions
from cxr_core.evaluate.schema import (
    Association,
    Calibration,
    Context,
    Controls,
    Coverage,
    Evidence,
    External,
    Identifiability,
    Leak,
    digest_of,
    evidence_json,
)
from cxr_core.params import EvaluateParams
from cxr_core.stats.association import contingency, cramers_v

__all__ = ["measure"]


def measure(
    predictions: Sequence[Prediction],
    params: EvaluateParams,
    *,
    context: Context,
    coverage: Coverage | None = None,
    holdout: Sequence[Prediction] = (),
    identifiability: Identifiability | None = None,
    calibration: Calibration | None = None,
    controls: Controls | None = None,
    external: Mapping[str, External] | None = None,
) -> Evidence:
    """Turn predictions into everything a decision may read.

    Args:
        predictions: One a tested image, from the fold that left it out.
        params: Confidence, bootstrap samples and seed.
        context: What the figures speak of.
        coverage: How much of the cohort that is.
        holdout: One a held-out image, from the refit; none where nothing is held out.
        identifiability: Whether class and source can be told apart in the cohort.
        calibration: The temperature, and what it does.
        controls: What must fail for the figures to be believed.
        external: The registered model on images kept out of training, by the name of their set.

    Raises:
        EvidenceError: The predictions are incomplete or impossible.
    """
    check_predictions(predictions)
    if holdout:
        # Together: a held-out image that a fold tests too is no held-out image.
        check_predictions([*predictions, *holdout])
    _check_coverage(predictions, holdout, coverage)
    clean = [row for row in predictions if row.leak_free]
    confidence = params.confidence
    everyone = population(predictions, confidence=confidence)
    n, leaking = len(predictions), len(predictions) - len(clean)
    draft = Evidence(
        schema=1,
        context=context,
        predictions=digest_predictions(predictions),
        confidence=confidence,
        bootstrap=params.bootstrap,
        seed=params.seed,
        all=everyone,
        leak_free=population(clean, confidence=confidence) if leaking else everyone,
        leak=Leak(n=n, leaking=leaking, share=leaking / n),
        class_by_source=_class_by_source(predictions),
        digest="",
        coverage=coverage,
        holdout=population(holdout, confidence=confidence) if holdout else None,
        holdout_predictions=digest_predictions(holdout) if holdout else None,
        identifiability=identifiability,
        calibration=calibration,
        controls=controls,
        external=dict(external) if external else None,
    )
    return draft.model_copy(update={"digest": digest_of(evidence_json(draft))})


def _check_coverage(
    predictions: Sequence[Prediction], holdout: Sequence[Prediction], coverage: Coverage | None
) -> None:
    if any(row.fold is None for row in predictions) or any(row.fold is not None for row in holdout):
        raise EvidenceError(
            "Expected folds' predictions and, apart, the refit's; found the two mixed.", reason="mixed_predictions"
        )
    found = (len(predictions), len(holdout))
    if coverage is not None and found != (coverage.tested, coverage.held_out):
        raise EvidenceError(
            f"Expected predictions of {coverage.tested} tested and {coverage.held_out} held-out images; found "
            f"{found[0]} and {found[1]}.",
            reason="incomplete_predictions",
        )


def _class_by_source(predictions: Sequence[Prediction]) -> Association:
    table = contingency([CLASSES[row.label] for row in predictions], [row.source for row in predictions])
    try:
        return Association(value=cramers_v(table), n=len(predictions), why="")
    except EvidenceError as error:
        return Association(value=None, n=len(predictions), why=error.message)
