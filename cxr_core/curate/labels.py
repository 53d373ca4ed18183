"""What a picture shows: a source's own words in, one of the three classes or a reason to exclude out.

GitHub and SIRM write free text with a hierarchy in it ('COVID-19, ARDS'; later 'Pneumonia/Viral/COVID-19'); Kaggle's
words come from its folders and file names; RSNA has three fixed words. A finding that nobody has mapped is excluded
and counted, never guessed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from cxr_core.classes import ClassSlug, Source
from cxr_core.curate.reasons import ExclusionReason

__all__ = ["Label", "label_of"]

Label = ClassSlug | ExclusionReason
_Cause = Literal["covid", "viral", "bacterial", "fungal", "lipoid", "aspiration"]

# RSNA's three words; 'Lung Opacity' names no cause, so it is neither viral nor normal.
_RSNA: dict[str, Label] = {
    "normal": "normal",
    "lung opacity": ExclusionReason.OPACITY_WITHOUT_CAUSE,
    "no lung opacity / not normal": ExclusionReason.ABNORMAL_WITHOUT_OPACITY,
}

_CAUSES: dict[_Cause, re.Pattern[str]] = {
    "covid": re.compile(r"covid-?\s?19|sars-?cov-?2|2019-?ncov"),
    "viral": re.compile(r"viral|virus|\bsars\b(?!-?cov)|\bmers\b|influenza|\bh\dn\d\b|varicella|herpes|\brsv\b"),
    "bacterial": re.compile(
        r"bacteri|streptococ|staphylococ|klebsiella|legionella|\be\.?\s?coli\b|mycoplasma|chlamydo?phila|chlamydia"
        r"|nocardia|\bmrsa\b|tubercul|pseudomonas|haemophilus"
    ),
    "fungal": re.compile(r"fung|pneumocystis|aspergill|candida|histoplasm|cryptococ"),
    "lipoid": re.compile(r"lipoid"),
    "aspiration": re.compile(r"aspiration"),
}
_LABEL_OF_CAUSE: dict[_Cause, Label] = {
    "covid": "covid",
    "viral": "viral",
    "bacterial": ExclusionReason.BACTERIAL,
    "fungal": ExclusionReason.FUNGAL,
    "lipoid": ExclusionReason.LIPOID,
    "aspiration": ExclusionReason.ASPIRATION,
}
_NORMAL = frozenset({"no finding", "normal"})
_WITHOUT_CAUSE = frozenset({"", "todo", "unknown", "pneumonia", "ards"})
_DOUBT = re.compile(r"\b(no|not|non|negative|without|suspect\w*|possibl[ey]|probabl[ey]|presumed|exclude\w*)\b|\?")


# A source has few words for all its pictures.
@lru_cache(maxsize=4096)
def label_of(source: Source, finding: str) -> Label:
    """Map a finding to a class, or to the reason why it belongs to none of the three.

    Args:
        source: Whose words these are.
        finding: The words as the source wrote them.
    """
    text = " ".join(finding.casefold().split())
    if source == "rsna":
        return _RSNA.get(text, ExclusionReason.FINDING_NOT_MAPPED if text else ExclusionReason.NOT_LABELLED)
    if text in _NORMAL:
        return "normal"
    if all(part.strip() in _WITHOUT_CAUSE for part in re.split(r"[/,;]", text)):
        return ExclusionReason.NOT_LABELLED
    if _DOUBT.search(text):
        return ExclusionReason.FINDING_NOT_MAPPED
    return _by_cause(text)


def _by_cause(text: str) -> Label:
    causes: list[_Cause] = [cause for cause, words in _CAUSES.items() if words.search(text)]
    if "covid" in causes and "viral" in causes:
        # 'Pneumonia/Viral/COVID-19' is one cause, said twice.
        causes.remove("viral")
    if not causes:
        return ExclusionReason.FINDING_NOT_MAPPED
    return _LABEL_OF_CAUSE[causes[0]] if len(causes) == 1 else ExclusionReason.MIXED_CAUSE
