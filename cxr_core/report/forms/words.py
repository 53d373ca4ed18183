"""Counts and names as the forms' answers have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.evaluate.predictions import Prediction

__all__ = ["class_list", "known", "patients", "tally"]


def class_list() -> str:
    """The three classes by name."""
    return ", ".join(CLASS_NAMES[slug] for slug in CLASSES)


def tally(counts: Mapping[str, int]) -> str:
    """Names and counts, underscores read as spaces."""
    return ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in counts.items())


def known(values: Iterable[str]) -> str:
    """How often each value stands, an empty one as 'not stated'."""
    return tally(Counter(value or "not stated" for value in values)) or "none"


def patients(rows: Iterable[Prediction]) -> int:
    """Patients or duplicate clusters among these images."""
    return len({row.group for row in rows})
