"""Material to one HTML page: self-contained, without a script, right in light, dark and print.

Laws: the same material gives the same text; whatever comes from outside is escaped; a figure stands with its interval
and its count; what was not measured says so; the page stays far below 10 MB whatever the run's size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cxr_core.classes import CLASS_NAMES, CLASSES, SOURCE_NAMES, SOURCES, ClassSlug
from cxr_core.evaluate.schema import Evidence, PairTest, Population, Stratum
from cxr_core.explain.halves import half_wrong
from cxr_core.paper import printed
from cxr_core.paper.check import check_paper
from cxr_core.report import number, recipe
from cxr_core.report.beliefs import beliefs
from cxr_core.report.diagrams import block_diagram, network_diagram, pipeline_diagram
from cxr_core.report.figures import (
    curve_panels,
    photograph,
    reliability_panel,
    roc_panels,
    saliency_panels,
    strata_panel,
)
from cxr_core.report.forms.published import filled_forms
from cxr_core.report.material import Material, Picture
from cxr_core.stats.intervals import normal_quantile

__all__ = ["PICTURES_A_CLASS", "page"]

PICTURES_A_CLASS = 8
"""Grad-CAM pairs shown of each class; more are among the run's artifacts."""
_SHORT: dict[ClassSlug, str] = {"covid": "COVID-19", "viral": "viral", "normal": "normal"}
# Of the paper's abstract.
_AREAS = {"covid": "1.00", "viral": "0.99", "normal": "0.99"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Section:
    anchor: str
    title: str

    @property
    def template(self) -> str:
        return f"{self.anchor}.html.j2"


_SECTIONS = tuple(
    _Section(anchor=anchor, title=title)
    for anchor, title in (
        ("believe", "What to believe"),
        ("cohort", "The cohort, class by source"),
        ("size", "Sample size"),
        ("network", "The network (Fig. 1)"),
        ("curves", "Training (Fig. 2A–C)"),
        ("roc", "ROC curves (Fig. 2D–F)"),
        ("folds", "The folds (Table 2)"),
        ("classes", "Sensitivity and specificity"),
        ("confusion", "Actual against named (Fig. 3)"),
        ("gradcam", "Where the evidence lies (Fig. 4)"),
        ("saliency", "What the maps are worth"),
        ("calibration", "Calibration"),
        ("strata", "Strata, worst first"),
        ("protocols", "Protocols"),
        ("controls", "Controls that must fail"),
        ("external", "Images from elsewhere"),
        ("systems", "Other systems, as printed"),
        ("provenance", "Provenance"),
        ("forms", "Reporting forms"),
    )
)


def page(material: Material) -> str:
    """The page.

    Raises:
        EvidenceError: The histories have no epoch.
    """
    environment = Environment(
        loader=PackageLoader("cxr_core.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None
    # Ours, not a visitor's: a stylesheet is text that HTML does not escape.
    style = Markup(loader.get_source(environment, "style.css")[0].strip())  # noqa: S704
    return environment.get_template("page.html.j2").render(style=style, sections=_SECTIONS, **_values(material))


def _values(material: Material) -> dict[str, Any]:
    evidence, outline = material.evidence, material.outline
    shown, left_out = _shown(material.pictures)
    return {
        "material": material,
        "evidence": evidence,
        "cohort": material.cohort,
        "origin": material.origin,
        "outline": outline,
        "histories": material.histories,
        "epochs": max((len(each) for each in material.histories.values()), default=0),
        "stopping": recipe.epochs(material.origin.params),
        "dealt": recipe.dealt(evidence.context.protocol),
        "title": material.origin.name.capitalize(),
        "lead": _lead(material),
        "beliefs": beliefs(material),
        "populations": _populations(evidence),
        "sizes": _sizes(material.cohort["sample_size"]),
        "size": material.cohort["sample_size"],
        "sources": [slug for slug in SOURCES if any(material.cohort["counts"][label][slug] for label in CLASSES)],
        "by_source": {slug: sum(material.cohort["counts"][label][slug] for label in CLASSES) for slug in SOURCES},
        "network_svg": network_diagram(outline),
        "block_svg": block_diagram(outline.block) if outline.block else None,
        "pipeline_svg": pipeline_diagram(outline),
        "curve_panels": curve_panels(material.histories),
        "roc_panels": roc_panels(material.predictions, evidence),
        "reliability_panels": _reliability(evidence),
        "strata_panel": strata_panel(evidence.leak_free),
        "few_strata": _too_few(evidence.leak_free),
        "photographs": [{"picture": one, "source": photograph(one.png)} for one in shown],
        "left_out_pictures": left_out,
        "saliency": material.saliency,
        "saliency_panels": saliency_panels(material.saliency) if material.saliency else [],
        "facts": _facts(material),
        "forms": filled_forms(material),
        "remarks": check_paper(),
        **_constants(),
    }


def _constants() -> dict[str, Any]:
    """What every page shows alike, and the functions that print figures."""
    return {
        "classes": CLASSES,
        "class_names": CLASS_NAMES,
        "short_names": _SHORT,
        "source_names": SOURCE_NAMES,
        "systems": printed.SYSTEMS,
        "paper_cohort": printed.COHORT,
        "paper_size": printed.SAMPLE_SIZE,
        "paper_table": printed.TABLE_2,
        "paper_mean": printed.MEAN,
        "paper_auc": _AREAS,
        "papers_order": _papers_order,
        "pair_words": _pair_words,
        **{name: getattr(number, name) for name in number.__all__},
    }


def _lead(material: Material) -> str:
    images, groups = material.cohort["images"], material.cohort["groups"]["n"]
    classes = ", ".join(CLASS_NAMES[slug] for slug in CLASSES)
    return (
        f"A {material.outline.architecture} that sorts frontal chest X-rays into three classes ({classes}), retrained "
        f"on {number.count(images)} images of {number.count(groups)} patients by the protocol "
        f"“{material.evidence.context.protocol}”, begun {material.origin.started}. The figures and tables are those of "
        "the paper the protocol comes from, and beside them what it could not know about itself."
    )


def _populations(evidence: Evidence) -> list[tuple[str, Population]]:
    """Those that differ: under `grouped` all test images are leak-free ones."""
    found = [("Leak-free test images", evidence.leak_free)]
    if evidence.leak.leaking:
        found.append(("All test images, as the paper counts", evidence.all))
    if evidence.holdout:
        found.append(("Held-out images, by the registered model", evidence.holdout))
    return found


def _sizes(size: Mapping[str, Any]) -> list[dict[str, Any]]:
    z = normal_quantile(size["confidence"])

    def half(p: float, n: int) -> float:
        return z * (p * (1 - p) / n) ** 0.5

    return [
        {
            "expected": expected,
            "needed": needed,
            "images": half(float(expected), size["found_images"]),
            "groups": half(float(expected), size["found_groups"]),
        }
        for expected, needed in sorted(size["needed"].items(), reverse=True)
    ]


def _reliability(evidence: Evidence) -> list[Any]:
    confidence = evidence.confidence
    panels = [reliability_panel(evidence.leak_free.reliability, confidence=confidence, title="as trained, leak-free")]
    calibration = evidence.calibration
    if calibration and calibration.temperature.value is not None:
        after = calibration.after.reliability
        panels.append(reliability_panel(after, confidence=confidence, title="with the temperature, leak-free"))
    return panels


def _too_few(people: Population) -> list[Stratum]:
    return [row for row in people.strata if getattr(row, "too_few", None)]


def _shown(pictures: Sequence[Picture]) -> tuple[list[Picture], int]:
    """Of each class as many right as wrong ones where there are, and how many stay behind."""
    shown: list[Picture] = []
    for slug in CLASSES:
        right = [one for one in pictures if one.label == slug and one.correct]
        wrong = [one for one in pictures if one.label == slug and not one.correct]
        shown += half_wrong(right, wrong, limit=PICTURES_A_CLASS)
    return shown, len(pictures) - len(shown)


def _facts(material: Material) -> list[tuple[str, Any]]:
    evidence, origin = material.evidence, material.origin
    context = evidence.context
    weights = sorted(set(origin.initial_weights.values()))
    return [
        ("git commit (code, parameters, pins, dvc.lock)", context.commit),
        ("data version", origin.data),
        ("cohort", context.cohort),
        ("split", context.split),
        ("predictions", evidence.predictions),
        ("evidence", evidence.digest),
        ("weights offered", context.weights or "none"),
        ("initial weights", weights[0] if len(weights) == 1 else weights or "not recorded"),
        ("precision", origin.precision or "not recorded"),
        (
            "intervals",
            f"confidence {evidence.confidence}; {evidence.bootstrap} resamples of patients where a limit is drawn, "
            f"seed {evidence.seed}",
        ),
        ("trained by", context.trained_by),
        ("started by", origin.program),
    ]


def _papers_order(pairs: Sequence[PairTest]) -> list[PairTest]:
    """The paper shows each disease against normal; the pair it leaves out comes last."""
    return sorted(pairs, key=lambda pair: "normal" not in pair.classes)


def _pair_words(pair: PairTest) -> str:
    names = " and ".join(CLASS_NAMES[slug] for slug in pair.classes)
    outside = f"; {pair.outside} more named the third class" if pair.outside else ""
    if pair.statistic is None:
        return f"{names}: no χ², a row or column is empty; n = {pair.n}{outside}."
    return f"{names}: χ² = {pair.statistic:.1f}, df = {pair.df}, {number.p_value(pair.p)}; n = {pair.n}{outside}."
