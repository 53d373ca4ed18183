import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.labels import label_of
from cxr_core.curate.reasons import ExclusionReason

GITHUB_FINDINGS = {
    "COVID-19": "covid",
    "COVID-19, ARDS": "covid",
    "Pneumonia/Viral/COVID-19": "covid",
    "SARS-CoV-2": "covid",
    "SARS": "viral",
    "MERS": "viral",
    "Pneumonia/Viral/MERS-CoV": "viral",
    "Influenza": "viral",
    "Varicella": "viral",
    "Pneumonia/Viral/SARS": "viral",
    "Pneumonia/Viral/Influenza/H1N1": "viral",
    "Pneumonia/Viral/Herpes ": "viral",
    "No Finding": "normal",
    "Streptococcus": "bacterial",
    "Klebsiella": "bacterial",
    "Legionella": "bacterial",
    "E.Coli": "bacterial",
    "Pneumonia/Bacterial/E.Coli": "bacterial",
    "Mycoplasma Bacterial Pneumonia": "bacterial",
    "Pneumonia/Bacterial/Staphylococcus/MRSA": "bacterial",
    "Bacterial": "bacterial",
    "Tuberculosis": "bacterial",
    "Pneumocystis": "fungal",
    "Pneumonia/Fungal/Aspergillosis": "fungal",
    "Lipoid": "lipoid",
    "Pneumonia/Aspiration": "aspiration",
    "Pneumonia": "not_labelled",
    "ARDS": "not_labelled",
    "Pneumonia, ARDS": "not_labelled",
    "todo": "not_labelled",
    "Unknown": "not_labelled",
    "": "not_labelled",
    "COVID-19, Streptococcus": "mixed_cause",
    "Hernia": "finding_not_mapped",
    "suspected COVID-19": "finding_not_mapped",
    "COVID-19 negative": "finding_not_mapped",
    "no pneumonia": "finding_not_mapped",
}


@pytest.mark.parametrize(("finding", "label"), GITHUB_FINDINGS.items())
@pytest.mark.parametrize("source", ["github", "sirm"])
def test_free_text_maps_to_a_class_or_a_named_reason(source, finding, label):
    assert label_of(source, finding) == label


@pytest.mark.parametrize(
    ("source", "finding", "label"),
    [
        ("kaggle", "NORMAL", "normal"),
        ("kaggle", "virus", "viral"),
        ("kaggle", "bacteria", "bacterial"),
        ("kaggle", "PNEUMONIA", "not_labelled"),
        ("rsna", "Normal", "normal"),
        ("rsna", "Lung Opacity", "opacity_without_cause"),
        ("rsna", "No Lung Opacity / Not Normal", "abnormal_without_opacity"),
        ("rsna", "Something else", "finding_not_mapped"),
        ("rsna", "", "not_labelled"),
    ],
)
def test_fixed_words_of_kaggle_and_rsna(source, finding, label):
    assert label_of(source, finding) == label


@given(st.sampled_from(SOURCES), st.text(max_size=60))
def test_any_words_get_a_class_or_a_reason_whatever_their_case_and_blanks(source, finding):
    label = label_of(source, finding)
    assert label in CLASSES or isinstance(label, ExclusionReason)
    # .upper() is not undone by .casefold() for every letter; where it is, the label may not differ.
    if finding.upper().casefold() == finding.casefold():
        assert label_of(source, f"  {finding.upper()}\n") == label


@pytest.mark.mirrors
@pytest.mark.skipif("CXR_TEST_MIRRORS" not in os.environ, reason="needs real sources in CXR_TEST_MIRRORS")
def test_every_finding_of_the_real_tables_is_mapped():
    root = Path(os.environ["CXR_TEST_MIRRORS"])
    for source, table in (("github", "github/metadata.csv"), ("sirm", "sirm/cases.csv")):
        with (root / table).open(encoding="utf-8", newline="") as file:
            unmapped = {
                row["finding"]
                for row in csv.DictReader(file)
                if label_of(source, row["finding"]) is ExclusionReason.FINDING_NOT_MAPPED
            }
        assert not unmapped
