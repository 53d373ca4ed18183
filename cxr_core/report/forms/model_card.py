"""A model card: what a model is, what it was measured on, and what it must not be used for."""

from __future__ import annotations

from cxr_core.report.forms import about_data as data
from cxr_core.report.forms import about_model as model
from cxr_core.report.forms import about_results as results
from cxr_core.report.forms.form import Form, items

__all__ = ["MODEL_CARD"]

MODEL_CARD = Form(
    slug="model-card",
    title="Model card",
    source="Mitchell et al., FAT* 2019, 220–229",
    items=(
        *items(
            "Model details",
            ("1.1", "Who made it", model.maker),
            ("1.2", "When, and which version", model.dated),
            ("1.3", "What kind of model", model.approach),
            ("1.4", "How it was trained", model.training),
            ("1.5", "Where more is said", model.code),
            ("1.6", "How to cite it, and under which licence it may be used", None),
            ("1.7", "Whom to ask", None),
        ),
        *items(
            "Intended use",
            ("2.1", "What it is for", model.purpose),
            ("2.2", "Whom it is for", None),
            ("2.3", "What it is not for", model.not_for),
        ),
        *items(
            "Factors",
            ("3.1", "Groups, instruments and settings that may matter", results.factors),
            ("3.2", "Those it was measured by, and why not others", results.measures),
        ),
        *items(
            "Metrics",
            ("4.1", "Measures of performance", results.measures),
            ("4.2", "Thresholds", model.output),
            ("4.3", "How uncertainty was found", results.uncertainty),
        ),
        *items(
            "Evaluation data",
            ("5.1", "Which images", data.numbers),
            ("5.2", "Why these", data.partition),
            ("5.3", "How they were prepared", data.preparation),
        ),
        *items(
            "Training data",
            ("6.1", "Which images", data.sources),
            ("6.2", "Who they show", data.characteristics),
        ),
        *items(
            "Results",
            ("7.1", "Performance", results.performance),
            ("7.2", "Performance by group", results.fairness),
            ("7.3", "Performance by source", results.variation),
        ),
        *items(
            "Ethics",
            ("8.1", "Data of people in it, and how they were protected", data.deidentification),
            ("8.2", "Decisions about life and health it may touch", None),
            ("8.3", "Risks, harms, and what was done against them", None),
            ("8.4", "Uses that need special care", None),
        ),
        *items(
            "Caveats",
            ("9.1", "What was not measured, and what speaks against it", results.limits),
            ("9.2", "What should be done before it is used", None),
        ),
    ),
)
"""Items as published, asked in our own words."""
