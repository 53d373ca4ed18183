"""A cohort's report to the verdict on class and source: what no figure of a model can mend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.curate.report import CONFOUNDED, IDENTIFIABLE
from cxr_core.evaluate.proofs import Identifiability

__all__ = ["identifiability"]


def identifiability(report: Mapping[str, Any]) -> Identifiability:
    """Whether class and source can be told apart, as ``curate`` found before anything was trained.

    Args:
        report: What curate's report.json holds.
    """
    association: float | None = report["cramers_v"]
    pairs: dict[str, tuple[ClassSlug, ClassSlug]] = {
        f"{one}-{other}": (one, other) for number, one in enumerate(CLASSES) for other in CLASSES[number + 1 :]
    }
    apart = tuple(pairs[name] for name, shared in report["shared_sources"].items() if not shared)
    return Identifiability(
        verdict="identifiable" if report["verdict"] == IDENTIFIABLE else "not identifiable",
        cramers_v=association,
        apart=apart,
        why=_why(association, apart),
    )


def _why(association: float | None, apart: tuple[tuple[ClassSlug, ClassSlug], ...]) -> str:
    if association is None:
        return "The cohort has one source."
    strength = f"Cramér's V of class and source is {association:.3f}, where {CONFOUNDED} is too much"
    alone = ", ".join(f"{CLASS_NAMES[one]} and {CLASS_NAMES[other]}" for one, other in apart)
    return f"{strength}; " + (f"no source holds both of: {alone}." if alone else "every two classes share a source.")
