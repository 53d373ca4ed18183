"""What a licence says of commercial use: a source's own words in, a verdict and the rule that decided out.

A rule that forbids wins over one that allows, and words that no rule knows allow nothing: they are 'not stated', as a
blank is. This reads words; it is no legal advice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

__all__ = ["CommercialUse", "commercial_use"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommercialUse:
    """A licence's verdict."""

    use: Literal["allowed", "forbidden", "not stated"]
    rule: str
    """The rule that decided, in words."""


_FORBIDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\brsna\b"), "RSNA's terms: non-commercial use only"),
    (re.compile(r"\bnc\b|\bnon ?commercial"), "non-commercial use only"),
    (
        re.compile(r"\bno commercial|\bnot for commercial|\b(research|academic|educational)( use)? only"),
        "names its use",
    ),
    (re.compile(r"\bnd\b|\bno ?deriv"), "no derivatives, and every picture here is resized"),
    (re.compile(r"\ball rights reserved\b|\bcopyright\b|©"), "all rights reserved"),
)
_VERSION = r"( v?\d(\.\d)?( (international|unported|generic|igo|[a-z]{2}))?)?( (licen[cs]e|deed))?"
_ALLOWS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"cc by sa{_VERSION}"), "CC BY-SA: share alike"),
    (re.compile(rf"cc by{_VERSION}"), "CC BY: with attribution"),
    (re.compile(rf"(cc ?0|cc zero|public domain( mark| dedication)?){_VERSION}( universal)?"), "public domain"),
    (re.compile(rf"apache( licen[cs]e)?( version)?{_VERSION}"), "Apache"),
    (re.compile(r"(the )?mit( licen[cs]e)?"), "MIT"),
)
_LONG_FORMS = (
    # A deed's address names the licence in its path: …/licenses/by-nc/4.0/.
    (re.compile(r"https?://(www\.)?creativecommons\.org/(licenses|publicdomain)/"), "cc "),
    (re.compile(r"[\s_\-/,()]+"), " "),
    (re.compile(r"creative commons"), "cc"),
    (re.compile(r"cc attribution"), "cc by"),
    (re.compile(r"share ?alike"), "sa"),
)


@lru_cache(maxsize=4096)
def commercial_use(licence: str) -> CommercialUse:
    """Say whether a licence allows commercial use.

    Args:
        licence: As the source states it; blank where it states none.
    """
    text = licence.casefold()
    for long, short in _LONG_FORMS:
        text = long.sub(short, text)
    text = text.strip()
    if not text:
        return CommercialUse(use="not stated", rule="the source states no licence")
    for words, rule in _FORBIDS:
        if words.search(text):
            return CommercialUse(use="forbidden", rule=rule)
    for words, rule in _ALLOWS:
        if words.fullmatch(text):
            return CommercialUse(use="allowed", rule=rule)
    return CommercialUse(use="not stated", rule="no rule knows these words")
