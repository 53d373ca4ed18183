"""TRIPOD+AI, 27 items in 52 parts: what a report of a prediction model should say."""

from __future__ import annotations

from cxr_core.report.forms import about_data as data
from cxr_core.report.forms import about_model as model
from cxr_core.report.forms import about_results as results
from cxr_core.report.forms.form import Form, items

__all__ = ["TRIPOD_AI"]

TRIPOD_AI = Form(
    slug="tripod-ai",
    title="TRIPOD+AI",
    source="Collins et al., BMJ 2024;385:e078378",
    items=(
        *items(
            "Title and abstract",
            ("1", "A title that names the kind of model, whom it is for and what it predicts", model.approach),
            ("2", "A summary of methods and results", model.summary),
        ),
        *items(
            "Introduction",
            ("3a", "The clinical question, why a model, and which models there are", None),
            ("3b", "For whom, at which point of care, and used by whom", None),
            ("3c", "Known inequalities of health between groups", None),
            ("4", "Aims: development, evaluation, or both", model.goal),
        ),
        *items(
            "Methods: data and participants",
            ("5a", "Where data come from, and whom they represent", data.sources),
            ("5b", "Dates of the data", None),
            ("6a", "Setting: number, kind and place of centres", None),
            ("6b", "Who was eligible", data.eligibility),
            ("6c", "Treatments, and how they were dealt with", None),
            ("7", "Preparation and quality checks, alike in all groups or not", data.preparation),
        ),
        *items(
            "Methods: outcome and predictors",
            ("8a", "The outcome: what, when, how it was found", data.outcome),
            ("8b", "Who judged it, with which training, where judgement was needed", None),
            ("8c", "Whether those who judged it knew the predictors", None),
            ("9a", "Which predictors were considered, and why", data.predictors),
            ("9b", "How and when predictors were measured", data.preparation),
            ("9c", "Who judged predictors, where judgement was needed", None),
        ),
        *items(
            "Methods: sample and missing data",
            ("10", "How the size of the study was decided", data.sample_size),
            ("11", "What was done about missing data", data.missing_data),
        ),
        *items(
            "Methods: analysis",
            ("12a", "How data were divided for development and evaluation", data.partition),
            ("12b", "How predictors enter the model", data.preparation),
            ("12c", "Kind of model, how it was built, tuned and checked", model.training),
            ("12d", "How differences between clusters (centres, sources) were handled", results.variation),
            ("12e", "Measures and plots of performance", results.measures),
            ("12f", "Updating of the model, recalibration say", model.updating),
            ("12g", "How predictions were calculated for evaluation", model.output),
            ("13", "What was done about unequal classes, and its effect", data.imbalance),
            ("14", "What was done for fairness between groups", results.fairness),
            ("15", "What the model puts out, and thresholds", model.output),
            ("16", "How development and evaluation data differ", results.external),
            ("17", "Ethics approval and consent", None),
        ),
        *items(
            "Open science",
            ("18a", "Funding, and what the funders did", None),
            ("18b", "Conflicts of interest", None),
            ("18c", "Where the protocol is, or that there is none", None),
            ("18d", "Registration, or that there is none", None),
            ("18e", "Where the data are", data.data_availability),
            ("18f", "Where the code is", model.code),
        ),
        *items("Patient and public involvement", ("19", "What patients and the public contributed", None)),
        *items(
            "Results",
            ("20a", "How many entered, how many were left out, and why", data.flow),
            ("20b", "Characteristics, by source or setting", data.characteristics),
            ("20c", "Development and evaluation data compared", results.external),
            ("21", "Participants and outcomes in each analysis", data.numbers),
            ("22", "The model itself, so that others can predict with it", model.specification),
            ("23a", "Performance with intervals, and in groups that matter", results.performance),
            ("23b", "How performance differs between clusters", results.variation),
            ("24", "What updating gave", results.updating_found),
        ),
        *items(
            "Discussion",
            ("25", "What the results mean, fairness included", None),
            ("26", "Limitations", results.limits),
            ("27a", "What happens to inputs that are poor or absent in use", model.refusal),
            ("27b", "What users must do and know", None),
            ("27c", "What comes next, and for whom it may hold", None),
        ),
    ),
)
"""Items as published, asked in our own words."""
