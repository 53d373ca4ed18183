"""A datasheet: what a data set is made of, how it came about, and what it should not be used for."""

from __future__ import annotations

from cxr_core.report.forms import about_data as data
from cxr_core.report.forms.form import Form, items

__all__ = ["DATASHEET"]

DATASHEET = Form(
    slug="datasheet",
    title="Datasheet of the cohort",
    source="Gebru et al., Communications of the ACM 2021;64(12):86–92",
    items=(
        *items(
            "Motivation",
            ("1.1", "For what it was made", data.purpose),
            ("1.2", "By whom", None),
            ("1.3", "With whose money", None),
        ),
        *items(
            "Composition",
            ("2.1", "What one entry is", data.instance),
            ("2.2", "How many there are", data.counts),
            ("2.3", "Whether it is a sample, and of what", data.selection),
            ("2.4", "What each entry holds", data.fields),
            ("2.5", "Labels", data.outcome),
            ("2.6", "What is missing", data.missing_data),
            ("2.7", "How entries belong together", data.relations),
            ("2.8", "Recommended splits", data.partition),
            ("2.9", "Errors, noise, redundancies", data.redundancies),
            ("2.10", "What it depends on elsewhere", data.licences),
            ("2.11", "Whether anything in it is confidential", data.deidentification),
            ("2.12", "Whether anything in it may offend", None),
            ("2.13", "Groups of people in it", data.characteristics),
            ("2.14", "Whether people can be recognised", data.identity),
            ("2.15", "Sensitive data", data.sensitive),
        ),
        *items(
            "Collection",
            ("3.1", "How it was acquired", data.sources),
            ("3.2", "With which instruments, and how they were checked", None),
            ("3.3", "How the sample was drawn", data.selection),
            ("3.4", "Who collected it, and how they were paid", None),
            ("3.5", "Over which time", None),
            ("3.6", "Ethics review", None),
            ("3.7", "Whether people were asked and agreed, and can withdraw", None),
            ("3.8", "Whether its effect on people was studied", None),
        ),
        *items(
            "Preparation",
            ("4.1", "What was done to it", data.preparation),
            ("4.2", "Whether the raw data were kept", data.raw),
            ("4.3", "Whether the software is there", data.software_of_data),
        ),
        *items(
            "Uses",
            ("5.1", "What it has been used for", data.used_for),
            ("5.2", "Where its uses are listed", None),
            ("5.3", "What else it could be used for", None),
            ("5.4", "What in it may bias what is made of it", data.bias),
            ("5.5", "What it must not be used for", data.not_for),
        ),
        *items(
            "Distribution",
            ("6.1", "To whom it is given, and how", data.data_availability),
            ("6.2", "When", None),
            ("6.3", "Under which licence", data.licences),
            ("6.4", "Restrictions of others", None),
        ),
        *items(
            "Maintenance",
            ("7.1", "Who keeps it", None),
            ("7.2", "How its versions are named", data.versions),
            ("7.3", "Whether older versions stay", data.older),
            ("7.4", "How to tell of errors, or add to it", None),
        ),
    ),
)
"""Items as published, several asked as one, in our own words."""
