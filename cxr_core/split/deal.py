"""How images are dealt into folds: cohort rows in, one fold number a row out.

Laws: the folds depend on the seed and on the images (their digests, labels, sources and which of them belong together),
not on the order of the rows and not on the patient key that names the groups; ``grouped`` never puts one group in two
folds.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import CohortRow
from cxr_core.errors import CohortError
from cxr_core.params import Protocol, SplitParams
from cxr_core.split.folds import Split

__all__ = ["deal"]

_UNITS: dict[Protocol, str] = {"paper": "images", "grouped": "patient groups"}


def deal(rows: Sequence[CohortRow], params: SplitParams) -> Split:
    """Deal a cohort into folds.

    Args:
        rows: The cohort.
        params: Protocol, number of folds, seed.

    Raises:
        CohortError: A class has fewer images (``paper``) or groups (``grouped``) than there are folds.
    """
    _refuse_too_few(rows, params)
    # From here on rows are in an order of their own, so that the caller's order cannot matter.
    order = sorted(range(len(rows)), key=lambda row: rows[row].sha256)
    canonical = [rows[row] for row in order]
    dealt = _paper(canonical, params) if params.protocol == "paper" else _grouped(canonical, params)
    fold = np.empty(len(rows), dtype=np.int64)
    fold[order] = dealt
    return Split(
        protocol=params.protocol,
        folds=params.folds,
        seed=params.seed,
        names=tuple(row.name for row in rows),
        sha256=tuple(row.sha256 for row in rows),
        groups=tuple(row.group for row in rows),
        labels=np.array([CLASSES.index(row.label) for row in rows], dtype=np.int64),
        fold=fold,
    )


def _paper(rows: Sequence[CohortRow], params: SplitParams) -> NDArray[np.int64]:
    """Random, image by image, as the paper deals its batches.

    Images in the order of sha256('paper', seed, image), cut into equal runs: one image more moves at most one image
    over each cut, where a shuffle would deal everything anew.
    """
    # 'paper' stands in the key because quotas are drawn in such an order too: with equal seeds a shared key would put
    # what large sources gave, their first few images, into the first folds.
    keys = [hashlib.sha256(f"paper:{params.seed}:{row.sha256}".encode()).digest() for row in rows]
    fold = np.empty(len(rows), dtype=np.int64)
    fold[sorted(range(len(rows)), key=keys.__getitem__)] = np.arange(len(rows)) * params.folds // max(1, len(rows))
    return fold


def _grouped(rows: Sequence[CohortRow], params: SplitParams) -> NDArray[np.int64]:
    """Whole groups, stratified by class and source (scikit-learn's greedy StratifiedGroupKFold)."""
    # Imported here: scikit-learn takes a second to load, which reading folds need not cost.
    from sklearn.model_selection import StratifiedGroupKFold

    # Numbered by first appearance in the canonical order: the keyed names would carry the patient key into the folds.
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(row.group, len(numbers)) for row in rows], dtype=np.int64)
    dealer = StratifiedGroupKFold(n_splits=params.folds, shuffle=True, random_state=params.seed)
    fold = np.empty(len(rows), dtype=np.int64)
    for number, (_, test) in enumerate(dealer.split(np.zeros(len(rows)), _strata(rows, params.folds), groups)):
        fold[test] = number
    return fold


def _strata(rows: Sequence[CohortRow], folds: int) -> list[str]:
    """``class:source`` a row; a source too small to be in every fold joins the class's largest one."""
    sizes = Counter((row.label, row.source) for row in rows)
    largest = {
        label: max((n, source) for (other, source), n in sizes.items() if other == label)[1]
        for label in {row.label for row in rows}
    }
    return [
        f"{row.label}:{row.source if sizes[row.label, row.source] >= folds else largest[row.label]}" for row in rows
    ]


def _refuse_too_few(rows: Sequence[CohortRow], params: SplitParams) -> None:
    units: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        units[row.label].add(row.sha256 if params.protocol == "paper" else row.group)
    short = {slug: len(units[slug]) for slug in CLASSES if len(units[slug]) < params.folds}
    if short:
        what = _UNITS[params.protocol]
        found = ", ".join(f"{slug} has {n}" for slug, n in short.items())
        fewest = min(short.values())
        raise CohortError(
            f"{params.folds} folds need at least {params.folds} {what} of each class: {found}.",
            reason="too_few_for_folds",
            hint=f"Use `--set split.folds={fewest}`, or raise the quotas."
            if fewest >= 3
            else "Raise the quotas, or add a source.",
        )
