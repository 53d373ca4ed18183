"""What to believe: the questions that come before any figure, each with what was found and how to read it.

Law: what was not measured is said to be so; it is never read in the model's favour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from cxr_core.report.material import Material
from cxr_core.report.number import count, part, share

__all__ = ["Belief", "beliefs"]

Tone = Literal["good", "bad", ""]

# Of the source probe's verdicts, where the other controls fail as they must; any other is bad.
_TONES: dict[str, Tone] = {"not readable": "good", "not decided": ""}


@dataclass(frozen=True, kw_only=True, slots=True)
class Belief:
    """One question; ``tone`` is how its reading is shown."""

    question: str
    found: str | Markup
    reading: str
    tone: Tone = ""


def beliefs(material: Material) -> list[Belief]:
    """Every question, in the order they are asked."""
    return [
        _leak(material),
        _source(material),
        *_tested(material),
        *_held_out(material),
        _controls(material),
        _maps(material),
        _outside(material),
    ]


def _leak(material: Material) -> Belief:
    leak = material.evidence.leak
    good = leak.leaking == 0
    return Belief(
        question="Had the model seen the patient before?",
        found=Markup(
            "{share} test images share a patient or duplicate cluster with images that trained or validated their fold"
        ).format(share=part(leak.leaking, leak.n)),
        reading="none leaks" if good else "only the leak-free figures are believed",
        tone="good" if good else "bad",
    )


def _source(material: Material) -> Belief:
    association = material.cohort["cramers_v"]
    good = material.cohort["verdict"] == "identifiable"
    told = (
        "one source, so nothing can be told"
        if association is None
        else f"Cramér's V of class and source {association:.2f}"
    )
    apart = [pair.replace("-", " and ") for pair, sources in material.cohort["shared_sources"].items() if not sources]
    held = f"; no source holds both of {'; '.join(apart)}" if apart else ""
    return Belief(
        question="Can the source alone tell the class?",
        found=f"{told}, over {count(material.cohort['images'])} images{held}",
        reading="identifiable" if good else "not identifiable: accuracy may be recognition of the source",
        tone="good" if good else "bad",
    )


def _tested(material: Material) -> Iterator[Belief]:
    coverage = material.evidence.coverage
    if coverage is not None:
        whole = coverage.tested + coverage.held_out == coverage.cohort
        yield Belief(
            question="Was every image tested?",
            found=coverage.words,
            reading="yes" if whole else "the figures speak of those alone",
            tone="good" if whole else "bad",
        )


def _held_out(material: Material) -> Iterator[Belief]:
    held = material.evidence.holdout
    if held is not None:
        yield Belief(
            question="What does the registered model itself do on images nothing has seen?",
            found=share(held.accuracy, patients=True),
            reading="the very model that is registered, tested once",
        )


def _controls(material: Material) -> Belief:
    question = "Do the controls fail, as they must?"
    controls = material.evidence.controls
    if controls is None:
        return Belief(question=question, found=Markup('<span class="missing">not measured</span>'), reading="unknown")
    unbeaten = [one.name for one in controls.pictures if one.verdict != "beaten"]
    probe, permuted = controls.source_probe.verdict, controls.permuted_labels.verdict
    tone = _TONES.get(probe, "bad") if not unbeaten and permuted == "at chance" else "bad"
    reading = "they fail" if tone == "good" else "one of them does not fail, decides nothing or was not measured"
    if unbeaten:
        reading = "the networks are not proven to know more than these"
    if any(one.verdict == "shortcut" for one in controls.pictures):
        reading = "what lies beside the lungs tells a class as well as the networks do"
    beaten = f"{len(controls.pictures) - len(unbeaten)} of {len(controls.pictures)} beaten"
    return Belief(
        question=question,
        found=f"{beaten}{': not ' + ', '.join(unbeaten) if unbeaten else ''}; source probe "
        f"{probe}; permuted labels {permuted}",
        reading=reading,
        tone=tone,
    )


def _maps(material: Material) -> Belief:
    question = "Do the Grad-CAM maps show what was learned?"
    saliency = material.saliency
    if saliency is None:
        return Belief(question=question, found=Markup('<span class="missing">not measured</span>'), reading="unknown")
    good = saliency.cascade.verdict == "depend on the weights"
    return Belief(
        question=question,
        found=saliency.cascade.why,
        reading="they depend on it; whether it is disease no map can say"
        if good
        else "they are not proven to: no reason is read off them",
        tone="good" if good else "bad",
    )


def _outside(material: Material) -> Belief:
    question = "Does it hold on images from elsewhere?"
    external = material.evidence.external
    if not external:
        return Belief(question=question, found=Markup('<span class="missing">not measured</span>'), reading="unknown")
    each = [
        Markup("{name}: {share}").format(name=name, share=share(one.people.accuracy)) for name, one in external.items()
    ]
    return Belief(question=question, found=Markup("<br>").join(each), reading="read beside the leak-free accuracy")
