"""Validation and test predictions of the folds to one temperature, and to what it does to the test images.

The temperature that the registered model is served with comes from every fold's validation images, pooled. What it does
is judged with other temperatures: the images that a fold tests get one that was fitted without them and without their
patients, for each of them validates another fold.

Laws: no test image has a say in the temperature it is judged by; accuracy is the same before and after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.drafts import brier, calibration_error, macro_auc, mean_loss
from cxr_core.evaluate.estimates import over_patients, settle
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.population import reliability
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.proofs import Calibrated, Calibration
from cxr_core.params import EvaluateParams
from cxr_core.stats.temperature import fit_temperature, log_losses, temper, temperature_limits

__all__ = ["calibrate", "tempered"]


def calibrate(validation: Sequence[Prediction], tested: Sequence[Prediction], params: EvaluateParams) -> Calibration:
    """Fit a temperature and judge it.

    Args:
        validation: What each fold's network says of its validation images; an image may validate several folds.
        tested: What it says of its test images; the leak-free ones are judged.
        params: Confidence, bootstrap samples and seed.
    """
    pooled = Arrays.of(validation)
    temperature = _temperature(pooled, params.confidence)
    clean = [row for row in tested if row.leak_free]
    before = _judged(clean, params)
    after = before
    if temperature.value is not None:
        try:
            after = _judged(_judging(validation, clean), params)
        except EvidenceError as error:
            temperature = _without(pooled, f"Not every fold could be judged with one: {error.message}")
    return Calibration(
        temperature=temperature, images=len(validation), groups=pooled.patients.n, before=before, after=after
    )


def tempered(rows: Sequence[Prediction], temperature: float) -> list[Prediction]:
    """The same predictions at a temperature."""
    if not rows:
        return []
    scores = temper(Arrays.of(rows).scores, temperature).tolist()
    return [replace(row, probabilities=(p[0], p[1], p[2])) for row, p in zip(rows, scores, strict=True)]


def _judging(validation: Sequence[Prediction], clean: Sequence[Prediction]) -> list[Prediction]:
    """Test images at temperatures that neither they nor their patients had a part in."""
    by_fold: dict[int | None, list[Prediction]] = defaultdict(list)
    for row in clean:
        by_fold[row.fold].append(row)
    judged: list[Prediction] = []
    for rows in by_fold.values():
        theirs = {row.group for row in rows}
        others = Arrays.of([row for row in validation if row.group not in theirs])
        judged += tempered(rows, fit_temperature(others.scores, others.label))
    return judged


def _temperature(pooled: Arrays, confidence: float) -> Estimate:
    try:
        value = fit_temperature(pooled.scores, pooled.label)
        limits = temperature_limits(value, pooled.scores, pooled.label, pooled.patients, confidence=confidence)
    except EvidenceError as error:
        return _without(pooled, error.message)
    return over_patients(value, limits, method="cluster_t", n=len(pooled.label))


def _without(pooled: Arrays, why: str) -> Estimate:
    return over_patients(None, None, method="cluster_t", n=len(pooled.label), why=why)


def _judged(rows: Sequence[Prediction], params: EvaluateParams) -> Calibrated:
    rows = sorted(rows, key=lambda row: row.sha256)
    arrays, confidence = Arrays.of(rows), params.confidence
    drafts = {
        "log_loss": mean_loss(log_losses(arrays.scores), arrays, confidence=confidence),
        "brier": brier(arrays, confidence=confidence),
        "calibration_error": calibration_error(arrays, confidence=confidence),
        "macro_auc": macro_auc(arrays, confidence=confidence),
    }
    return Calibrated(**settle(drafts), reliability=reliability(arrays))
