"""``cxr compare``: retrains side by side, each two paired on the images both tested, and the paper's list below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from cxr_core.errors import TrackingError
from cxr_core.evaluate.compare import compare_predictions
from cxr_core.evaluate.paired import area_differences, non_inferior, shared_images
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Evidence
from cxr_core.paper.printed import SYSTEMS
from cxr_core.promote.policy import ChampionRule, read_policy
from tasks.evidence import read_evidence, read_predictions, run_of
from tasks.promote import policy_text
from tasks.settings import checkout, home
from tasks.stores import tracker_of

__all__ = ["compare_runs"]


def compare_runs(names: Sequence[str]) -> dict[str, Any]:
    """Put retrains side by side.

    Args:
        names: Runs, the first digits of some, or models.

    Returns:
        ``runs`` (figures and architecture of each), ``pairs`` (each two on the leak-free images that both tested:
        McNemar, DeLong, non-inferiority at the policy's margins), ``systems`` (as the paper prints them).

    Raises:
        TrackingError: No name, or one that is no retrain.
        PolicyError: The policy, whose margins are used, cannot be read.
    """
    if not names:
        raise TrackingError("Expected a run.", reason="too_few_runs", hint="cxr compare RUN RUN")
    tracker = tracker_of(home())
    rule = read_policy(policy_text(checkout())).champion
    found = [(name, run_id, read_evidence(tracker, run_id)) for name in names for run_id in (run_of(name),)]
    predictions = {run_id: read_predictions(tracker, run_id) for _, run_id, _ in found}
    rows = [
        {
            "name": name,
            "run": run_id,
            "architecture": tracker.read(run_id).params.get("train.architecture", ""),
            **_figures(evidence),
        }
        for name, run_id, evidence in found
    ]
    pairs = [
        {
            "first": one,
            "second": other,
            **_pair(predictions[first], predictions[second], (one, other), evidence=evidence, rule=rule),
        }
        for (one, first, evidence), (other, second, _) in combinations(found, 2)
    ]
    return {"runs": rows, "pairs": pairs, "systems": [asdict(system) for system in SYSTEMS]}


def _figures(evidence: Evidence) -> dict[str, Any]:
    people, clean = evidence.all, evidence.leak_free
    return {
        "protocol": evidence.context.protocol,
        "synthetic": evidence.context.synthetic,
        "n": people.n,
        "cohort": evidence.coverage.cohort if evidence.coverage else None,
        "accuracy": people.accuracy.model_dump(mode="json"),
        "leak_free_accuracy": clean.accuracy.model_dump(mode="json"),
        "macro_auc": people.macro_auc.model_dump(mode="json"),
        "leak_free_macro_auc": clean.macro_auc.model_dump(mode="json"),
    }


def _pair(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    names: tuple[str, str],
    *,
    evidence: Evidence,
    rule: ChampionRule,
) -> dict[str, Any]:
    compared = compare_predictions(
        first,
        second,
        names=names,
        confidence=evidence.confidence,
        resamples=evidence.bootstrap,
        seed=evidence.seed,
    )
    areas = area_differences(shared_images(first, second), confidence=evidence.confidence)
    margins = {"accuracy": rule.accuracy_margin, "macro_auc": rule.macro_auc_margin}
    return {
        **compared,
        "areas": {slug: asdict(area) for slug, area in areas.items()},
        "non_inferior": {
            figure: asdict(non_inferior(compared[figure]["low"], margin=margin)) for figure, margin in margins.items()
        },
        # The same question with the two changed over: second minus first has its lower limit at minus the upper one.
        "second_non_inferior": {
            figure: asdict(non_inferior(_turned(compared[figure]["high"]), margin=margin))
            for figure, margin in margins.items()
        },
    }


def _turned(high: float | None) -> float | None:
    return None if high is None else -high
