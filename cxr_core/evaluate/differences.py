"""Two drafts of one figure over the same images in, the draft of their difference out.

A figure with an influence (an AUC, a mean of them) has limits by formula; any other is drawn by the patient-cluster
bootstrap, both sides from the same samples.

Laws: swapping the two turns the difference round; what one side has not, the difference has not, and says why.
"""

from __future__ import annotations

import math

from cxr_core.evaluate.drafts import Draft
from cxr_core.evaluate.parts import Method
from cxr_core.stats.clusters import Patients
from cxr_core.stats.intervals import Interval
from cxr_core.stats.paired import difference_limits

__all__ = ["difference"]


def difference(first: Draft, second: Draft, patients: Patients, *, confidence: float, same: bool = False) -> Draft:
    """First minus second.

    Args:
        first: A figure over some images.
        second: The same figure of another classifier, over the same images.
        patients: Of these images.
        confidence: Two-sided coverage, in (0, 1).
        same: Whether both gave every image the same probabilities: the same model leaves nothing to doubt.
    """
    method: Method = "cluster_bootstrap" if first.method == "wilson" else "cluster_delong"
    if first.value is None or second.value is None:
        return Draft(method=method, n=first.n, why=first.why or second.why)
    value = first.value - second.value
    if same:
        return Draft(method=method, n=first.n, value=value, clustered=Interval(low=0.0, high=0.0))
    if first.influence is not None and second.influence is not None:
        if not (first.clustered and second.clustered):
            return Draft(method=method, n=first.n, value=value, why=first.why or second.why)
        limits = difference_limits(
            value,
            first.influence - second.influence,
            patients,
            below=math.hypot(first.value - first.clustered.low, second.clustered.high - second.value),
            above=math.hypot(first.clustered.high - first.value, second.value - second.clustered.low),
            rarer=first.rarer,
            confidence=confidence,
        )
        return Draft(method=method, n=first.n, value=value, clustered=limits)
    mine, theirs = first.statistic, second.statistic
    if mine is None or theirs is None:
        raise ValueError("A difference takes two drafts with an influence, or two with a statistic.")
    return Draft(method=method, n=first.n, value=value, statistic=lambda weights: mine(weights) - theirs(weights))
