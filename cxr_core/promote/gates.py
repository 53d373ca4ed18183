"""Evidence, policy and champion to gates: what each demand of the policy wanted and found.

Laws: a gate asks for proof: a number that is missing or not finite never passes; better numbers never turn a passed
gate into a failed one; every gate has a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.compare import Comparison, Difference
from cxr_core.evaluate.schema import Estimate, Evidence
from cxr_core.promote.decision import Gate
from cxr_core.promote.numbers import at_least, finite, number, sentence, stated
from cxr_core.promote.policy import Policy

__all__ = ["champion_gates", "evidence_gates"]


def evidence_gates(evidence: Evidence, policy: Policy) -> Iterator[Gate]:
    """What the candidate must prove by itself, on leak-free test images."""
    people, floors, minimum = evidence.leak_free, policy.floors, policy.minimum
    yield _weights(evidence)
    yield at_least("confidence", evidence.confidence, policy.evidence.confidence, "The intervals' confidence")
    yield at_least("bootstrap", evidence.bootstrap, policy.evidence.bootstrap, "The number of bootstrap samples")
    fewest = min(CLASSES, key=lambda slug: people.per_class[slug].n)
    yield at_least(
        "images_per_class",
        people.per_class[fewest].n,
        minimum.images_per_class,
        f"The number of leak-free test images of the rarest class ({CLASS_NAMES[fewest]})",
    )
    yield at_least("groups", people.groups, minimum.groups, "The number of patients with leak-free test images")
    share = people.largest_class_share
    yield _bound(
        "accuracy",
        people.accuracy,
        None if share is None else share + floors.accuracy_above_largest_class,
        f"accuracy (the largest class's share plus {floors.accuracy_above_largest_class})",
    )
    yield _bound("macro_auc", people.macro_auc, floors.macro_auc, "the macro AUC")
    for slug in CLASSES:
        figures, name = people.per_class[slug], CLASS_NAMES[slug]
        yield _bound(f"sensitivity.{slug}", figures.sensitivity, floors.sensitivity, f"the sensitivity for {name}")
        yield _bound(f"specificity.{slug}", figures.specificity, floors.specificity, f"the specificity for {name}")


def champion_gates(
    evidence: Evidence, policy: Policy, champion: Evidence | None, comparison: Comparison | None
) -> Iterator[Gate]:
    """What the candidate must prove against the model in service."""
    yield _synthetic(evidence, policy, champion)
    if champion is None:
        yield stated("champion", "There is no champion to compare with.")
    elif champion.context.synthetic and not evidence.context.synthetic:
        yield stated("champion", "The champion was trained on synthetic images: no comparison for real X-rays.")
    elif comparison is not None and comparison.n >= policy.champion.shared_images:
        yield from _paired(comparison, policy)
    else:
        yield from _unpaired(evidence, policy, champion, comparison)


def _paired(comparison: Comparison, policy: Policy) -> Iterator[Gate]:
    rule, n = policy.champion, comparison.n
    yield at_least(
        "champion.confidence",
        comparison.confidence,
        policy.evidence.confidence,
        "The confidence of the comparison with the champion",
    )
    where = f"on {n} shared images"
    yield _not_worse("champion.accuracy", comparison.accuracy, rule.accuracy_margin, f"accuracy {where}")
    yield _not_worse("champion.macro_auc", comparison.macro_auc, rule.macro_auc_margin, f"macro AUC {where}")
    fewer, more, p = comparison.only_first_right, comparison.only_second_right, finite(comparison.mcnemar_p)
    passed = p is not None and (more <= fewer or p >= rule.mcnemar_alpha)
    verdict = "no proof that it is worse" if passed else "the champion is right more often"
    why = (
        f"Of {n} shared images {fewer} are right with the candidate alone and {more} with the champion alone "
        f"(McNemar's p = {number(p)}, bound {rule.mcnemar_alpha}): {verdict}."
    )
    yield Gate(name="champion.mcnemar", wanted=rule.mcnemar_alpha, found=p, passed=passed, why=why)


def _unpaired(evidence: Evidence, policy: Policy, champion: Evidence, comparison: Comparison | None) -> Iterator[Gate]:
    rule, shared = policy.champion, comparison.n if comparison else 0
    words = f"against the champion's point minus the margin, as only {shared} leak-free images are shared"
    mine, theirs = evidence.leak_free, champion.leak_free
    for name, candidate, point, margin in (
        ("accuracy", mine.accuracy, theirs.accuracy.value, rule.accuracy_margin),
        ("macro_auc", mine.macro_auc, theirs.macro_auc.value, rule.macro_auc_margin),
    ):
        floor = None if finite(point) is None else float(point or 0.0) - margin
        yield _bound(f"champion.{name}", candidate, floor, f"{name.replace('_auc', ' AUC')} ({words})")


def _weights(evidence: Evidence) -> Gate:
    digest = evidence.context.weights
    why = f"The candidate's weights are {digest}." if digest else "The evidence names no weights to promote."
    return Gate(name="weights", wanted=None, found=None, passed=bool(digest), why=why)


def _synthetic(evidence: Evidence, policy: Policy, champion: Evidence | None) -> Gate:
    name = "synthetic_candidate"
    if not evidence.context.synthetic:
        return stated(name, "The candidate was trained on real X-rays.")
    if champion is None or champion.context.synthetic:
        return stated(name, "The candidate was trained on synthetic images; no model of real X-rays is in service.")
    if policy.synthetic.may_replace_real:
        return stated(name, "The candidate was trained on synthetic images; the policy lets it replace a real one.")
    why = "The candidate was trained on synthetic images; it may not replace a champion trained on real X-rays."
    return Gate(name=name, wanted=None, found=None, passed=False, why=why)


def _bound(name: str, estimate: Estimate, floor: float | None, words: str) -> Gate:
    found = finite(estimate.lower)
    if found is None:
        why = f"There is no lower limit of {words}: {estimate.why or 'it is not a finite number'}"
        return Gate(name=name, wanted=finite(floor), found=None, passed=False, why=sentence(why))
    return at_least(name, found, floor, f"The lower limit of {words}, n = {estimate.n},")


def _not_worse(name: str, difference: Difference, margin: float, words: str) -> Gate:
    if finite(difference.low) is None:
        why = f"There is no lower limit of the difference to the champion in {words}: "
        why += difference.why or "it is not a finite number"
        return Gate(name=name, wanted=-margin, found=None, passed=False, why=sentence(why))
    return at_least(name, difference.low, -margin, f"The lower limit of the difference to the champion in {words}")
