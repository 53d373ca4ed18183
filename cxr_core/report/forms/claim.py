"""CLAIM, 2024 update, 44 items: what a report of artificial intelligence in medical imaging should say."""

from __future__ import annotations

from cxr_core.report.forms import about_data as data
from cxr_core.report.forms import about_model as model
from cxr_core.report.forms import about_results as results
from cxr_core.report.forms.form import Form, items

__all__ = ["CLAIM"]

CLAIM = Form(
    slug="claim-2024",
    title="CLAIM, 2024 update",
    source="Tejani et al., Radiology: Artificial Intelligence 2024;6(4):e240300",
    items=(
        *items(
            "Title and abstract",
            ("1", "A title that names the kind of artificial intelligence", model.approach),
            ("2", "A summary of design, methods, results and conclusions", model.summary),
        ),
        *items(
            "Introduction",
            ("3", "Background, intended use and role in care", None),
            ("4", "Aims and hypotheses", model.goal),
        ),
        *items(
            "Methods: design",
            ("5", "Prospective or retrospective", model.design),
            ("6", "Goal: a new model, an evaluation, a comparison", model.goal),
        ),
        *items(
            "Methods: data",
            ("7", "Sources of data", data.sources),
            ("8", "Which images were taken and which not", data.eligibility),
            ("9", "Preparation of images", data.preparation),
            ("10", "How parts of the data were selected", data.selection),
            ("11", "How identities were removed", data.deidentification),
            ("12", "What was done about missing data", data.missing_data),
            ("13", "How images were acquired", None),
        ),
        *items(
            "Methods: reference standard",
            ("14", "How the truth was defined", data.outcome),
            ("15", "Why it was defined so", None),
            ("16", "Where annotations come from", data.reference),
            ("17", "How the test images were annotated", data.reference),
            ("18", "How far annotators agree with each other and themselves", None),
        ),
        *items(
            "Methods: partitions",
            ("19", "How data were assigned to partitions", data.partition),
            ("20", "At which level partitions are disjoint", data.partition),
            ("21", "The size intended for the test", data.sample_size),
        ),
        *items(
            "Methods: model",
            ("22", "The model, its input and its output", model.specification),
            ("23", "Software and versions", model.software),
            ("24", "How parameters were initialised", model.initialisation),
        ),
        *items(
            "Methods: training",
            ("25", "How the model was trained", model.training),
            ("26", "How the final model was chosen", model.chosen),
            ("27", "Whether models were combined", model.combined),
        ),
        *items(
            "Methods: evaluation",
            ("28", "Measures of performance", results.measures),
            ("29", "Measures of significance and uncertainty", results.uncertainty),
            ("30", "Robustness and sensitivity", results.robustness),
            ("31", "Explanation of the model's output", results.interpretability),
            ("32", "Evaluation on internal data", data.partition),
            ("33", "Tests on external data", results.external),
            ("34", "Registration, where it is a clinical trial", None),
        ),
        *items(
            "Results: data",
            ("35", "Patients or examinations taken and left out", data.flow),
            ("36", "Characteristics of the cases in each partition", data.characteristics),
        ),
        *items(
            "Results: performance",
            ("37", "Performance with its uncertainty", results.performance),
            ("38", "Diagnostic figures and their precision", results.performance),
            ("39", "What goes wrong, and where", results.failures),
        ),
        *items(
            "Discussion",
            ("40", "Limitations", results.limits),
            ("41", "What it means for practice", None),
        ),
        *items(
            "Other information",
            ("42", "Where the full protocol or technical details are", model.code),
            ("43", "Where software, model and data are", data.data_availability),
            ("44", "Funding and the funders' part", None),
        ),
    ),
)
"""Items as published, asked in our own words."""
