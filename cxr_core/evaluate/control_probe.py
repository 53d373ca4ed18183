"""Whether the source of an image can be read off a fold's frozen features, among images of one class.

Each fold's probe learns from the features of its validation images and is asked about its leak-free test images; the
fold's own network trained on neither. Within one class, because across classes the source may be told by the class.

Legend: N images of the cohort, n of one class that are asked about, K features.
Laws: a class is asked about where two sources hold enough of it; a class that is not asked about says why; where a
class's limits hold the threshold of telling, and none is above it, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.evaluate.control_classifier import scores_of_test
from cxr_core.evaluate.estimates import over_patients
from cxr_core.evaluate.frozen import Look
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.proofs import SourceProbe, Verdict
from cxr_core.split.folds import Members, Split, leak_free
from cxr_core.stats.clusters import Patients, clustered_area
from cxr_core.stats.roc import mean_area

__all__ = ["source_probe"]

# A source with fewer images or patients in a class says nothing of how it looks.
_LEAST_IMAGES, _LEAST_PATIENTS = 10, 5
# Half-way from a coin's AUC to the 0.7 that is called acceptable (Hosmer, Lemeshow and Sturdivant 2013, § 5.2.4). With
# 0.5 more images would find more and more sources, and one class of three would do so by chance.
_TELLS = 0.6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Asked:
    """Images of one class that were asked about: index of the source (n,), scores of each (n, sources), patients."""

    source: NDArray[np.int64]
    scores: NDArray[np.float64]
    groups: tuple[str, ...]


def source_probe(looks: Mapping[int, Look], dealt: Split, *, confidence: float) -> SourceProbe:
    """Ask each fold's features for the source.

    Args:
        looks: What each fold's network made of that fold's validation and test images.
        dealt: The run's folds; a row's name begins with its source.
        confidence: Two-sided coverage, in (0, 1).
    """
    names = [name.partition(":")[0] for name in dealt.names]
    sources, source = np.unique(np.array(names, dtype=str), return_inverse=True)
    estimates: dict[ClassSlug, Estimate] = {}
    skipped: dict[ClassSlug, str] = {}
    asked_groups: set[str] = set()
    for index, slug in enumerate(CLASSES):
        asked = _ask(looks, dealt, source, label=index, sources=len(sources))
        kept = _told_apart(asked)
        if len(kept) < 2:
            skipped[slug] = _why_skipped(asked, sources.tolist())
            continue
        estimates[slug] = _estimate(asked, kept, confidence)
        asked_groups |= set(asked.groups)
    return SourceProbe(
        n=sum(estimate.n for estimate in estimates.values()),
        groups=len(asked_groups),
        per_class=estimates,
        skipped=skipped,
        verdict=_verdict(estimates),
        why=_why(estimates, skipped),
    )


def _ask(looks: Mapping[int, Look], dealt: Split, source: NDArray[np.int64], *, label: int, sources: int) -> _Asked:
    clean = leak_free(dealt)
    found: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float64]] = []
    for fold, look in looks.items():
        known = dealt.labels[look.rows] == label
        tests = dealt.fold[look.rows] == fold
        part = Members(
            train=np.flatnonzero(known & ~tests),
            validation=np.empty(0, dtype=np.int64),
            test=np.flatnonzero(known & tests & clean[look.rows]),
        )
        if len(np.unique(source[look.rows][part.train])) < 2 or not len(part.test):
            continue
        found.append(look.rows[part.test])
        scores.append(scores_of_test(look.features, source[look.rows], part, outcomes=sources))
    rows = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    return _Asked(
        source=source[rows],
        scores=np.concatenate(scores) if scores else np.empty((0, sources)),
        groups=tuple(dealt.groups[row] for row in rows.tolist()),
    )


def _told_apart(asked: _Asked) -> list[int]:
    """Sources with enough images and patients, and enough images of others."""
    kept: list[int] = []
    for source in np.unique(asked.source).tolist():
        of_it = asked.source == source
        patients = {asked.groups[row] for row in np.flatnonzero(of_it).tolist()}
        if min(of_it.sum(), (~of_it).sum()) >= _LEAST_IMAGES and len(patients) >= _LEAST_PATIENTS:
            kept.append(source)
    return kept


def _estimate(asked: _Asked, kept: Sequence[int], confidence: float) -> Estimate:
    """Mean one-vs-rest AUC over the kept sources."""
    area = mean_area([asked.source == source for source in kept], [asked.scores[:, source] for source in kept])
    # A kept source has several patients, so there are limits.
    limits = clustered_area(area, Patients.named(asked.groups), confidence=confidence)
    return over_patients(area.value, limits, method="cluster_delong", n=len(asked.source))


def _why_skipped(asked: _Asked, sources: Sequence[str]) -> str:
    counts = {sources[each]: int((asked.source == each).sum()) for each in np.unique(asked.source).tolist()}
    found = ", ".join(f"{n} of {name}" for name, n in counts.items()) or "none"
    enough = f"{_LEAST_IMAGES} leak-free test images and {_LEAST_PATIENTS} patients each"
    return f"It takes two sources with {enough}, in folds that validate on two; found {found}."


def _verdict(estimates: Mapping[ClassSlug, Estimate]) -> Verdict:
    if not estimates:
        return "not identifiable"
    if any(estimate.low is not None and estimate.low > _TELLS for estimate in estimates.values()):
        return "readable"
    told = any(estimate.high is None or estimate.high >= _TELLS for estimate in estimates.values())
    return "not decided" if told else "not readable"


def _why(estimates: Mapping[ClassSlug, Estimate], skipped: Mapping[ClassSlug, str]) -> str:
    if not estimates:
        return next(iter(skipped.values()))
    slug = max(estimates, key=lambda each: estimates[each].value or 0.0)
    worst = estimates[slug]
    limits = f"{worst.low:.3f} to {worst.high:.3f}"
    return f"Best told for {CLASS_NAMES[slug]}: AUC {worst.value:.3f} ({limits}), n = {worst.n}; 0.5 is a coin."
