"""Pooled out-of-fold predictions to evidence.

Two populations stand side by side: ``all`` test images, as the paper counts them, and ``leak_free``, those whose
patient or duplicate cluster has no image in the training or validation part of the fold that tested them. Under the
protocol ``grouped`` the two are the same images. Gates read ``leak_free``.

Laws: the same predictions in any order give the same evidence, digest included.
"""

from __future__ import annotations

from collections.abc import Sequence

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.population import population
from cxr_core.evaluate.predictions import Prediction, check_predictions, digest_predictions
from cxr_core.evaluate.schema import Association, Context, Evidence, Leak, digest_of, evidence_json
from cxr_core.params import EvaluateParams
from cxr_core.stats.association import contingency, cramers_v

__all__ = ["measure"]


def measure(predictions: Sequence[Prediction], params: EvaluateParams, *, context: Context) -> Evidence:
    """Turn predictions into everything a decision may read.

    Args:
        predictions: One a cohort image, from the fold that left it out.
        params: Confidence, bootstrap samples and seed.
        context: What the figures speak of.

    Raises:
        EvidenceError: The predictions are incomplete or impossible.
    """
    check_predictions(predictions)
    clean = [row for row in predictions if row.leak_free]
    confidence, resamples, seed = params.confidence, params.bootstrap, params.seed
    everyone = population(predictions, confidence=confidence, resamples=resamples, seed=seed)
    n, leaking = len(predictions), len(predictions) - len(clean)
    draft = Evidence(
        schema=1,
        context=context,
        predictions=digest_predictions(predictions),
        confidence=confidence,
        bootstrap=resamples,
        seed=seed,
        all=everyone,
        leak_free=population(clean, confidence=confidence, resamples=resamples, seed=seed) if leaking else everyone,
        leak=Leak(n=n, leaking=leaking, share=leaking / n),
        class_by_source=_class_by_source(predictions),
        digest="",
    )
    return draft.model_copy(update={"digest": digest_of(evidence_json(draft))})


def _class_by_source(predictions: Sequence[Prediction]) -> Association:
    table = contingency([CLASSES[row.label] for row in predictions], [row.source for row in predictions])
    try:
        return Association(value=cramers_v(table), n=len(predictions), why="")
    except EvidenceError as error:
        return Association(value=None, n=len(predictions), why=error.message)
