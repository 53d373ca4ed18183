"""How a cohort is dealt into folds: cohort rows and parameters in, a ``Split`` out.

First whole groups are held out where ``split.holdout`` asks for them, the same ones under every protocol; then the
protocol deals the others:

- ``paper``: images at random into k folds; fold i tests, fold i + 1 (the last one's is fold 0) validates.
- ``batches``: the paper's one split of random batches, 29 train, 10 validate, 10 test. ``split.folds`` is not read.
- ``grouped``: whole groups into k folds, stratified by class and source; roles as under ``paper``.
- ``loso``: one fold a source; see ``loso.py``. ``split.folds`` is not read.

Laws: the folds depend on the seed and on the images (their digests, labels, sources and which of them belong together),
not on the order of the rows and not on the patient key that names the groups; under ``grouped`` and ``loso`` no group
trains or validates a fold that tests it; under ``paper`` and ``grouped`` one fold tests each row that is not held out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.curate.cohort import CohortRow
from cxr_core.errors import CohortError
from cxr_core.params import SplitParams
from cxr_core.split.folds import Role, Split, Verdict
from cxr_core.split.loso import leave_sources_out
from cxr_core.split.stratified import groups_by_class, into_folds, set_aside

__all__ = ["deal"]

# The paper's batches: 781 images are 49 of up to 16, of which 29 train, 10 validate and 10 test.
_BATCH = 16
_TRAIN_BATCHES, _VALIDATION_BATCHES, _TEST_BATCHES = 29, 10, 10


def deal(rows: Sequence[CohortRow], params: SplitParams) -> Split:
    """Deal a cohort into folds.

    Args:
        rows: The cohort.
        params: Protocol, number of folds, share held out, seed.

    Raises:
        CohortError: Nothing can be held out (``empty_holdout``), or of what is left there is too little for the
            folds (``too_few_for_folds``), the batches (``too_few_for_batches``) or any source's fold
            (``not_identifiable``).
    """
    # From here on rows are in an order of their own, so that the caller's order cannot matter.
    order = sorted(range(len(rows)), key=lambda row: (rows[row].sha256, rows[row].name))
    held = _held_out([rows[row] for row in order], params)
    dealt = [row for row, out in zip(order, held, strict=True) if not out]
    parts, verdicts = _by_protocol([rows[row] for row in dealt], params)
    roles = np.full((len(parts), len(rows)), Role.HOLDOUT, dtype=np.int8)
    roles[:, dealt] = parts
    return Split(
        protocol=params.protocol,
        seed=params.seed,
        names=tuple(row.name for row in rows),
        sha256=tuple(row.sha256 for row in rows),
        groups=tuple(row.group for row in rows),
        labels=np.array([CLASSES.index(row.label) for row in rows], dtype=np.int64),
        roles=roles,
        verdicts=verdicts,
    )


def _held_out(rows: Sequence[CohortRow], params: SplitParams) -> NDArray[np.bool_]:
    if params.holdout == 0:
        return np.zeros(len(rows), dtype=np.bool_)
    # By its decimal digits: 0.2 is a fifth.
    held = set_aside(rows, share=Fraction(str(params.holdout)), words=f"holdout:{params.seed}")
    if not held.any():
        raise CohortError(
            f"split.holdout = {params.holdout} of {len(rows)} images keeps no patient group out.",
            reason="empty_holdout",
            hint="Raise split.holdout, or set it to 0.",
        )
    return held


def _by_protocol(rows: Sequence[CohortRow], params: SplitParams) -> tuple[NDArray[np.int8], tuple[Verdict, ...]]:
    match params.protocol:
        case "paper":
            _refuse_too_few(Counter(row.label for row in rows), "images", params)
            return _rotated(_equal_runs(rows, params), params.folds), ()
        case "batches":
            return _batched(rows, params), ()
        case "grouped":
            _refuse_too_few(groups_by_class(rows), "patient groups", params)
            fold = into_folds(rows, folds=params.folds, words=f"grouped:{params.seed}")
            return _rotated(fold, params.folds), ()
        case "loso":
            return leave_sources_out(rows, seed=params.seed)


def _rotated(fold: NDArray[np.int64], folds: int) -> NDArray[np.int8]:
    """Roles (K, N): fold i tests, fold i + 1 validates, the others train; with five folds the paper's 60/20/20."""
    behind = (fold - np.arange(folds)[:, None]) % folds
    return np.select([behind == 0, behind == 1], [Role.TEST, Role.VALIDATION], Role.TRAIN).astype(np.int8)


def _equal_runs(rows: Sequence[CohortRow], params: SplitParams) -> NDArray[np.int64]:
    """Random, image by image, cut into equal runs."""
    fold = np.empty(len(rows), dtype=np.int64)
    fold[_at_random(rows, "paper", params.seed)] = np.arange(len(rows)) * params.folds // max(1, len(rows))
    return fold


def _batched(rows: Sequence[CohortRow], params: SplitParams) -> NDArray[np.int8]:
    """Roles (1, N): batches of 16 in the paper's shares, the last and short one among those that test."""
    batches = -(-len(rows) // _BATCH)
    of = _TRAIN_BATCHES + _VALIDATION_BATCHES + _TEST_BATCHES
    validation = max(1, round(Fraction(batches * _VALIDATION_BATCHES, of)))
    test = max(1, round(Fraction(batches * _TEST_BATCHES, of)))
    tests_from = max(0, batches - test) * _BATCH
    validates_from = max(0, batches - test - validation) * _BATCH
    order = _at_random(rows, "batches", params.seed)
    roles = np.full((1, len(rows)), Role.TRAIN, dtype=np.int8)
    roles[0, order[validates_from:]] = Role.VALIDATION
    roles[0, order[tests_from:]] = Role.TEST
    taught = {rows[number].label for number in order[:validates_from]}
    if untaught := [slug for slug in CLASSES if slug not in taught]:
        raise CohortError(
            f"{len(rows)} images are {batches} batches of {_BATCH}; those that train lack {', '.join(untaught)}.",
            reason="too_few_for_batches",
            hint="Raise the quotas, or use `--set split.protocol=grouped`.",
        )
    return roles


def _at_random(rows: Sequence[CohortRow], purpose: str, seed: int) -> list[int]:
    """Row numbers in the order of sha256(purpose, seed, image).

    One image more moves at most one over each cut, where a shuffle would deal everything anew. The purpose stands in
    the key because quotas are drawn in such an order too: with equal seeds a shared key would put what large sources
    gave, their first few images, into the first folds.
    """
    keys = [hashlib.sha256(f"{purpose}:{seed}:{row.sha256}".encode()).digest() for row in rows]
    return sorted(range(len(rows)), key=keys.__getitem__)


def _refuse_too_few(units: Counter[ClassSlug], what: str, params: SplitParams) -> None:
    short = {slug: units[slug] for slug in CLASSES if units[slug] < params.folds}
    if short:
        found = ", ".join(f"{slug} has {n}" for slug, n in short.items())
        kept = f", {params.holdout:.0%} held out" if params.holdout else ""
        fewest = min(short.values())
        raise CohortError(
            f"{params.folds} folds need at least {params.folds} {what} of each class: {found}{kept}.",
            reason="too_few_for_folds",
            hint=f"Use `--set split.folds={fewest}`, or raise the quotas."
            if fewest >= 3
            else "Raise the quotas, or add a source.",
        )
