"""The forms that every run fills, in the order they are shown."""

from __future__ import annotations

from cxr_core.report.forms.claim import CLAIM
from cxr_core.report.forms.datasheet import DATASHEET
from cxr_core.report.forms.form import Filled, fill, markdown
from cxr_core.report.forms.model_card import MODEL_CARD
from cxr_core.report.forms.tripod import TRIPOD_AI
from cxr_core.report.material import Material

__all__ = ["FORMS", "filled_forms", "form_files"]

FORMS = (MODEL_CARD, DATASHEET, TRIPOD_AI, CLAIM)


def filled_forms(material: Material) -> list[Filled]:
    """Every form as far as the run can fill it."""
    return [fill(form, material) for form in FORMS]


def form_files(material: Material) -> dict[str, str]:
    """Every form as Markdown, by its file's name."""
    return {f"forms/{one.form.slug}.md": markdown(one, material) for one in filled_forms(material)}
