"""Leave one source out: cohort rows in, one fold a source and a verdict on each source out.

A fold tests one source's rows with a network that saw none of them. A stratified, grouped fifth of the other rows
validates, the rest of them trains; rows whose group also stands in the tested source take no part.

A source is identifiable where each class that it holds stands outside it in at least five groups that have no image in
it: a fifth of five groups is one to validate, and four train. (A group's class is that of most of its images.) Without
them the network would be asked for a class that it could not learn, and the answer would say nothing of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, SOURCES, ClassSlug, Source
from cxr_core.curate.cohort import CohortRow
from cxr_core.errors import CohortError
from cxr_core.split.folds import Role, Verdict
from cxr_core.split.stratified import groups_by_class, set_aside

__all__ = ["leave_sources_out"]

_VALIDATES = Fraction(1, 5)
_LEAST_GROUPS = _VALIDATES.denominator


def leave_sources_out(rows: Sequence[CohortRow], *, seed: int) -> tuple[NDArray[np.int8], tuple[Verdict, ...]]:
    """Make one fold a source that can be tested.

    Args:
        rows: What is dealt (N).
        seed: Fixes who validates.

    Returns:
        Roles (K, N) and, in the order of ``SOURCES``, the verdict on each source that has rows.

    Raises:
        CohortError: No source is identifiable.
    """
    roles: list[NDArray[np.int8]] = []
    verdicts: list[Verdict] = []
    for source in SOURCES:
        tested = [row for row in rows if row.source == source]
        if not tested:
            continue
        groups = {row.group for row in tested}
        others = [number for number, row in enumerate(rows) if row.group not in groups]
        why = _why_not(source, tested, rows, [rows[number] for number in others])
        verdicts.append(Verdict(source=source, fold=None if why else len(roles), why=why))
        if not why:
            roles.append(_roles(rows, source, others, seed=seed))
    if not roles:
        raise CohortError(
            f"No source can be left out. {' '.join(each.why for each in verdicts)}",
            reason="not_identifiable",
            hint="Add a source, raise the quotas, or use `--set split.protocol=grouped`.",
        )
    return np.stack(roles), tuple(verdicts)


def _roles(rows: Sequence[CohortRow], source: Source, others: Sequence[int], *, seed: int) -> NDArray[np.int8]:
    validates = set_aside([rows[number] for number in others], share=_VALIDATES, words=f"loso:{source}:{seed}")
    roles = np.full(len(rows), Role.NONE, dtype=np.int8)
    roles[[number for number, row in enumerate(rows) if row.source == source]] = Role.TEST
    roles[others] = np.where(validates, Role.VALIDATION, Role.TRAIN)
    return roles


def _why_not(
    source: Source, tested: Sequence[CohortRow], rows: Sequence[CohortRow], others: Sequence[CohortRow]
) -> str:
    held, found = {row.label for row in tested}, groups_by_class(others)
    short: list[ClassSlug] = [slug for slug in CLASSES if slug in held and found[slug] < _LEAST_GROUPS]
    if not short:
        return ""
    counts = ", ".join(f"{slug} has {found[slug]}" for slug in short)
    shared = len(rows) - len(tested) - len(others)
    left_out = f", {shared} images of its own patients and duplicates there left out" if shared else ""
    return f"To test {source} each of its classes needs {_LEAST_GROUPS} patient groups elsewhere: {counts}{left_out}."
