"""Evidence and policy to the gates of belief: controls that must fail, and what cohort and probabilities must be.

Laws: as for every gate: what was not measured, or is not finite, does not pass; better numbers never turn a passed gate
into a failed one. A demand that the policy leaves open (null, false) makes no gate.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.evaluate.proofs import PictureControl, SourceProbe
from cxr_core.evaluate.schema import Evidence
from cxr_core.promote.decision import Gate
from cxr_core.promote.numbers import apart, at_least, finite, sentence, stated
from cxr_core.promote.policy import Policy

__all__ = ["control_gates"]

_PICTURES = ("rim", "blanked", "thumbnails")
# What a gate that did not pass adds: a verdict moves no gate.
_READINGS = {
    "beaten": "",
    "shortcut": "The control itself tells a class without the lungs: a shortcut.",
    "nothing proven": "The networks have proven no more than that.",
    "not beaten": "",
}
_UNMEASURED = "The evidence holds no control that must fail; `cxr retrain` measures them."


def control_gates(evidence: Evidence, policy: Policy) -> Iterator[Gate]:
    """What must hold for the figures to be believed."""
    rule, controls = policy.controls, evidence.controls
    if rule.identifiable:
        yield _identifiable(evidence)
    if rule.picture_advantage is not None:
        found = {each.name: each for each in controls.pictures} if controls else {}
        for name in _PICTURES:
            yield _picture(f"control.{name}", found.get(name), rule.picture_advantage)
    if rule.source_probe_auc is not None:
        yield _probe(controls.source_probe if controls else None, evidence, rule.source_probe_auc)
    if rule.permuted_labels:
        yield _permuted(evidence)
    if rule.calibration_error is not None:
        yield _calibrated(evidence, rule.calibration_error)


def _identifiable(evidence: Evidence) -> Gate:
    name, found = "identifiable", evidence.identifiability
    if found is None:
        return _failed(name, "The evidence does not say whether class and source can be told apart in the cohort.")
    if found.verdict == "identifiable":
        return stated(name, found.why)
    return _failed(name, f"Class and source are not identifiable in the cohort: {found.why}")


def _picture(name: str, control: PictureControl | None, margin: float) -> Gate:
    """The networks' advantage over a picture control, for the class where it is least proven."""
    if control is None:
        return _failed(name, _UNMEASURED)
    limits: dict[ClassSlug, float | None] = {slug: finite(control.per_class[slug].advantage.low) for slug in CLASSES}
    for slug, limit in limits.items():
        if limit is None:
            why = control.per_class[slug].advantage.why or "it is not a finite number"
            words = f"There is no lower limit of the advantage over the control {control.name} for {CLASS_NAMES[slug]}"
            return _failed(name, sentence(f"{words}: {why}"), wanted=margin)
    slug = min(CLASSES, key=lambda each: limits[each] or 0.0)
    words = (
        f"of the networks' advantage in AUC over the control {control.name} ({control.sees}) for {CLASS_NAMES[slug]}"
    )
    gate = at_least(name, limits[slug], margin, f"The lower limit {words}, n = {control.n},")
    return gate if gate.passed else gate.model_copy(update={"why": f"{gate.why} {_READINGS[control.verdict]}".strip()})


def _probe(probe: SourceProbe | None, evidence: Evidence, ceiling: float) -> Gate:
    """The source may not be told, within a class, as well as a class should be."""
    name = "control.source_probe"
    if probe is None:
        return _failed(name, _UNMEASURED)
    if evidence.identifiability is not None and evidence.identifiability.cramers_v is None:
        return stated(name, "The cohort comes from one source: there is none to be told.")
    if not probe.per_class:
        return _failed(name, f"Whether features tell the source could not be asked. {probe.why}", wanted=ceiling)
    limits: dict[ClassSlug, float | None] = {slug: finite(estimate.high) for slug, estimate in probe.per_class.items()}
    for slug, limit in limits.items():
        if limit is None:
            why = probe.per_class[slug].why or "it is not a finite number"
            words = f"There is no upper limit of the source probe's AUC for {CLASS_NAMES[slug]}"
            return _failed(name, sentence(f"{words}: {why}"), wanted=ceiling)
    slug = max(limits, key=lambda each: limits[each] or 0.0)
    words = f"The upper limit of the source probe's AUC for {CLASS_NAMES[slug]}, n = {probe.per_class[slug].n},"
    return _at_most(name, limits[slug], ceiling, words)


def _permuted(evidence: Evidence) -> Gate:
    name = "control.permuted_labels"
    if evidence.controls is None:
        return _failed(name, _UNMEASURED)
    permuted = evidence.controls.permuted_labels
    if permuted.verdict == "at chance":
        return stated(name, f"Permuted labels are learned by chance. {permuted.why}")
    words = "What was to be chance is more" if permuted.verdict == "above chance" else "It was not measured"
    return _failed(name, f"Permuted labels: {words}. {permuted.why}")


def _calibrated(evidence: Evidence, ceiling: float) -> Gate:
    name = "calibration_error"
    if evidence.calibration is None:
        return _failed(name, "The evidence says nothing of calibration.", wanted=ceiling)
    error = evidence.calibration.after.calibration_error
    found = finite(error.high)
    if found is None:
        why = f"There is no upper limit of the calibration error: {error.why or 'it is not a finite number'}"
        return _failed(name, sentence(why), wanted=ceiling)
    return _at_most(name, found, ceiling, f"The upper limit of the calibration error as served, n = {error.n},")


def _at_most(name: str, found: float | None, wanted: float, words: str) -> Gate:
    found = finite(found)
    passed = found is not None and found <= wanted
    one, other = apart(found, wanted)
    return Gate(
        name=name, wanted=wanted, found=found, passed=passed, why=f"{words} is {one}; at most {other} is wanted."
    )


def _failed(name: str, why: str, *, wanted: float | None = None) -> Gate:
    return Gate(name=name, wanted=wanted, found=None, passed=False, why=why)
