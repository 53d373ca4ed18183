"""What a run can say of what it measured, and of what it did not; one function an answer."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.parts import Estimate, Stratum
from cxr_core.explain.records import Saliency
from cxr_core.report.material import Material
from cxr_core.report.number import count, estimate, part, share

__all__ = [
    "external",
    "factors",
    "failures",
    "fairness",
    "interpretability",
    "limits",
    "measures",
    "performance",
    "robustness",
    "uncertainty",
    "updating_found",
    "variation",
]


def measures(m: Material) -> str:
    """Which figures are told."""
    return (
        "Accuracy, error rate a fold and their mean; sensitivity and specificity a class; one-vs-rest AUC and their "
        "mean; actual against named with chi-square of every pair; Brier score, calibration error and reliability; "
        f"accuracy by {', '.join(sorted({row.by.replace('_', ' ') for row in m.evidence.all.strata}))}."
    )


def uncertainty(m: Material) -> str:
    """Intervals and tests."""
    evidence = m.evidence
    return (
        f"Confidence {evidence.confidence}: Wilson for proportions, DeLong for AUC (Newcombe at perfect separation); "
        f"over whole patients for every figure ({count(evidence.bootstrap)} resamples where it is drawn, seed "
        f"{evidence.seed})."
    )


def performance(m: Material) -> Markup:
    """Leak-free figures, whole and a class."""
    clean = m.evidence.leak_free
    rows = [
        Markup("{name}: sensitivity {sensitivity}, specificity {specificity}, AUC {auc}").format(
            name=CLASS_NAMES[slug],
            sensitivity=share(clean.per_class[slug].sensitivity),
            specificity=share(clean.per_class[slug].specificity),
            auc=estimate(clean.per_class[slug].auc),
        )
        for slug in CLASSES
    ]
    whole = Markup("Leak-free test images, accuracy {accuracy}").format(accuracy=share(clean.accuracy, patients=True))
    return Markup("<br>").join([whole, *rows])


def variation(m: Material) -> Markup:
    """How accuracy differs between sources and folds."""
    rows = [row for row in m.evidence.leak_free.strata if row.by == "source"]
    told = [
        Markup("{value}: {share}{few}").format(value=row.value, share=share(row.accuracy), few=_few(row))
        for row in rows
    ]
    return Markup("Leak-free accuracy by source, worst first: {told}. Folds stand in Table 2 of the page.").format(
        told=Markup("; ").join(told)
    )


def _few(row: Stratum) -> str:
    return " (too few to say; not ranked)" if row.too_few else ""


def fairness(m: Material) -> Markup | None:
    """Accuracy by sex and age band; None where no source states either."""
    rows = [row for row in m.evidence.leak_free.strata if row.by in ("sex", "age") and row.value]
    if not rows:
        return None
    told = [
        Markup("{by} {value}: {share}").format(by=row.by, value=row.value, share=share(row.accuracy)) for row in rows
    ]
    return Markup("Nothing was done to make groups equal. Leak-free accuracy by group: {told}.").format(
        told=Markup("; ").join(told)
    )


def updating_found(m: Material) -> Markup | str:
    """What the correction gave."""
    one = m.evidence.calibration
    if one is None:
        return "No temperature was fitted."
    if one.temperature.value is None:
        return f"No temperature was fitted. {one.temperature.why}"
    return Markup("Temperature {t}; calibration error {before} before, {after} after.").format(
        t=estimate(one.temperature),
        before=estimate(one.before.calibration_error),
        after=estimate(one.after.calibration_error),
    )


def external(m: Material) -> Markup | None:
    """Figures on images kept out of training; None where there are none."""
    if not m.evidence.external:
        return None
    told = [
        Markup("{name}: {share}").format(name=name, share=share(one.people.accuracy))
        for name, one in m.evidence.external.items()
    ]
    return Markup("Accuracy of the registered model: {told}.").format(told=Markup("; ").join(told))


def robustness(m: Material) -> str | None:
    """Controls that must fail; None where they were not run."""
    controls = m.evidence.controls
    if controls is None:
        return None
    told = ", ".join(f"{one.name} {one.verdict}" for one in controls.pictures)
    return (
        f"Classifiers of little or none of the lungs: {told}; source probe {controls.source_probe.verdict}; permuted "
        f"labels {controls.permuted_labels.verdict}."
    )


def interpretability(m: Material) -> str | None:
    """Saliency maps and whether they depend on what was learned."""
    if not m.pictures:
        return None
    kept = "" if m.saliency is None else f" {_worth(m.saliency)}"
    if m.saliency is None and (similarity := m.randomised_similarity) is not None:
        kept = f" Under random weights they keep a rank correlation of {similarity[0]:.2f} (n = {similarity[1]})."
    wrong = sum(not one.correct for one in m.pictures)
    shown = f"{len(m.pictures)} test images, {wrong} of them wrongly classified"
    return f"Grad-CAM of {m.outline.features} for {shown}.{kept}"


def _worth(saliency: Saliency) -> str:
    """What was asked of the maps, and found."""
    lungs, agreed = saliency.lungs, saliency.agreement.per_class
    inside = ", ".join(f"{slug} {_mean(lungs.per_class[slug].share)}" for slug in CLASSES)
    same = ", ".join(f"{slug} {_mean(agreed[slug].unseen)}" for slug in CLASSES)
    return (
        f"On {saliency.images} leak-free test images, maps that {saliency.cascade.verdict} (cascading randomisation). "
        f"{saliency.cascade.why} Mean share of a map's mass in the lung field ({lungs.field}), which has "
        f"{lungs.area:.3f} of the area: {inside}. Rank correlation of the maps of two folds' networks that have not "
        f"trained on the image: {same}."
    )


def _mean(one: Estimate) -> str:
    if one.value is None or one.low is None or one.high is None:
        return "not measured"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f}, n = {one.n})"


def failures(m: Material) -> Markup:
    """Where the model is wrong."""
    people = m.evidence.leak_free
    wrong = people.n - (people.accuracy.k or 0)
    pairs = Counter(
        {
            f"{CLASS_NAMES[one]} named {CLASS_NAMES[other]}": people.confusion[i][j]
            for i, one in enumerate(CLASSES)
            for j, other in enumerate(CLASSES)
            if i != j
        }
    )
    told = ", ".join(f"{name}: {n}" for name, n in pairs.most_common())
    return Markup(
        "{wrong} leak-free test images are wrong: {told}. Of the Grad-CAM pictures {shown} are of wrong images."
    ).format(wrong=part(wrong, people.n), told=told, shown=sum(not one.correct for one in m.pictures))


def limits(m: Material) -> Markup:
    """What the run knows against itself."""
    evidence = m.evidence
    known = [
        Markup("{share} test images leak").format(share=part(evidence.leak.leaking, evidence.leak.n)),
        f"class and source: {m.cohort['verdict']}",
        "one retrospective cohort of published images",
    ]
    absent = {
        "a temperature": evidence.calibration and evidence.calibration.temperature.value,
        "controls that must fail": evidence.controls,
        "images from elsewhere": evidence.external,
        "held-out images": evidence.holdout,
        "what the Grad-CAM maps are worth": m.saliency,
    }
    lacking = [name for name, found in absent.items() if not found]
    known += [f"not measured: {', '.join(lacking)}"] if lacking else []
    return Markup("{told}.").format(told=Markup("; ").join(known))


def factors(m: Material) -> Markup | str:
    """What may matter, worst stratum first."""
    rows = [row for row in m.evidence.leak_free.strata if row.accuracy.value is not None and not row.too_few]
    if not rows:
        return "Source, view, sex and age; none has enough images to be ranked."
    worst = rows[0]
    return Markup("Source, view, sex and age. The worst: {by} {value}, accuracy {share}.").format(
        by=worst.by.replace("_", " "), value=worst.value or "not stated", share=share(worst.accuracy)
    )
