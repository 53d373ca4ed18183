"""Reporting forms: numbered as published, filled from the run alone, blanks listed and counted."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cxr_core.report.forms.claim import CLAIM
from cxr_core.report.forms.datasheet import DATASHEET
from cxr_core.report.forms.form import Form, fill, items, markdown
from cxr_core.report.forms.model_card import MODEL_CARD
from cxr_core.report.forms.published import FORMS, filled_forms, form_files
from cxr_core.report.forms.tripod import TRIPOD_AI
from cxr_core.report.material import Material
from tests.cxr_core.report.examples import decided, material
from tests.cxr_core.report.maps import saliency


@pytest.fixture(scope="module")
def made() -> Material:
    return material(decided=decided("promoted"), saliency=saliency())


def test_tripod_ai_has_its_27_items_in_52_parts_in_order() -> None:
    numbers = [item.number for item in TRIPOD_AI.items]
    assert len(numbers) == len(set(numbers)) == 52
    assert [int(re.sub(r"\D", "", number)) for number in dict.fromkeys(re.sub(r"\D", "", n) for n in numbers)] == list(
        range(1, 28)
    )
    parts = {"3": "abc", "5": "ab", "6": "abc", "8": "abc", "9": "abc", "12": "abcdefg", "18": "abcdef", "20": "abc"}
    for number, letters in {**parts, "23": "ab", "27": "abc"}.items():
        assert [n.removeprefix(number) for n in numbers if re.fullmatch(rf"{number}[a-z]", n)] == list(letters)


def test_claim_has_its_44_items_in_order() -> None:
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.slug)
def test_every_item_asks_something_once_in_its_section(form: Form) -> None:
    numbers = [item.number for item in form.items]
    assert len(numbers) == len(set(numbers))
    assert all(item.asks and item.section for item in form.items)
    sections = [item.section for item in form.items]
    assert len(list(dict.fromkeys(sections))) == sum(a != b for a, b in zip(sections, ["", *sections], strict=False))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.slug)
def test_blanks_are_listed_and_counted(form: Form, made: Material) -> None:
    filled = fill(form, made)
    text = markdown(filled, made)
    assert filled.answered + len(filled.blanks) == len(form.items)
    assert 0 < len(filled.blanks) < len(form.items)
    assert text.count("**blank**") == len(filled.blanks)
    assert (
        f"{filled.answered} of {len(form.items)} items are answered by the run; {len(filled.blanks)} are blank" in text
    )
    assert f": {', '.join(filled.blanks)}." in text
    for item in form.items:
        assert re.search(rf"^\| {re.escape(item.number)} \|", text, re.MULTILINE)


def test_what_only_people_know_is_never_filled(made: Material) -> None:
    people = {"tripod-ai": {"17", "18a", "18b", "19", "25"}, "claim-2024": {"15", "18", "34", "41", "44"}}
    people |= {"model-card": {"1.6", "1.7", "8.2", "8.3"}, "datasheet": {"1.2", "1.3", "3.6", "3.7", "7.1"}}
    for filled in filled_forms(made):
        assert people[filled.form.slug] <= set(filled.blanks), filled.form.slug


def test_what_was_not_measured_is_blank_and_what_was_is_told(made: Material) -> None:
    bare = replace(made, pictures=[], origin=replace(made.origin, software={}, initial_weights={}))
    blanks = {filled.form.slug: set(filled.blanks) for filled in filled_forms(bare)}
    # Robustness, explanation, external data, software and initial weights.
    assert {"23", "24", "30", "31", "33"} <= blanks["claim-2024"]
    full = {filled.form.slug: set(filled.blanks) for filled in filled_forms(made)}
    assert not {"23", "24", "31"} & full["claim-2024"]


def test_the_explanation_item_tells_what_the_maps_are_worth_and_runs_of_before_what_they_know(made: Material) -> None:
    for known, words in ((made, "0.352 of the area: covid 0.700"), (replace(made, saliency=None), "of 0.12 (n = 12)")):
        (item,) = [line for line in form_files(known)["forms/claim-2024.md"].splitlines() if line.startswith("| 31 |")]
        assert words in item
    assert "what the Grad-CAM maps are worth" in form_files(replace(made, saliency=None))["forms/model-card.md"]


def test_answers_are_the_runs_own_values(made: Material) -> None:
    files = form_files(made)
    assert set(files) == {f"forms/{form.slug}.md" for form in FORMS}
    clean = made.evidence.leak_free.accuracy
    for name in ("forms/tripod-ai.md", "forms/claim-2024.md", "forms/model-card.md"):
        assert f"{clean.value:.1%}".replace("%", "") in files[name]
        assert f"{clean.k} of {clean.n}" in files[name]
    assert made.evidence.context.commit in files["forms/tripod-ai.md"]
    assert "version 3 of cxr-resnet34" in files["forms/model-card.md"]
    assert made.origin.data in files["forms/datasheet.md"]
    assert "0.83" in files["forms/datasheet.md"]


def test_names_from_outside_break_neither_table_nor_page(made: Material) -> None:
    bad = "a|b\n<script>"
    form = Form(slug="x", title="X", source="nowhere", items=items("One", ("1", "what", lambda m: m.origin.program)))
    text = markdown(fill(form, replace(made, origin=replace(made.origin, program=bad))), made)
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert row == "| 1 | what | a\\|b &lt;script> |"


def test_model_card_and_datasheet_have_every_section_of_their_papers() -> None:
    assert len({item.section for item in MODEL_CARD.items}) == 9
    assert [*dict.fromkeys(item.section for item in DATASHEET.items)] == [
        *("Motivation", "Composition", "Collection", "Preparation", "Uses", "Distribution", "Maintenance"),
    ]
