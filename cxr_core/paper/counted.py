"""Evidence in, every figure that its own counts do not give out: the paper's test, put to ourselves.

Shares must be their k of n, intervals those of the counts, tables must add up to one another, and an AUC must be a
whole number of won comparisons. Nothing is taken from how the evidence was computed: counts and closed formulas only.

Law: evidence as ``measure`` makes it has no fault.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.schema import Estimate, Evidence, PairTest, Population
from cxr_core.paper.fault import Fault
from cxr_core.stats.association import chi_square
from cxr_core.stats.intervals import wilson

__all__ = ["evidence_faults"]

_SAME = 1e-9
# Won comparisons are counted in halves (a tie is one); float64 holds some 1e15 of them apart.
_WHOLE = 1e-4


def evidence_faults(evidence: Evidence) -> list[Fault]:
    """Every figure of the evidence that its counts do not give."""
    populations = {"all": evidence.all, "leak_free": evidence.leak_free}
    if evidence.holdout:
        populations["holdout"] = evidence.holdout
    populations |= {f"external {name}": one.people for name, one in (evidence.external or {}).items()}
    faults = [
        fault
        for name, people in populations.items()
        for fault in _population(f"evidence.json, {name}", people, evidence.confidence)
    ]
    leak = evidence.leak
    if not _same(leak.share * leak.n, leak.leaking) or leak.n - leak.leaking != evidence.leak_free.n:
        stated = f"{leak.leaking} of {leak.n}, {evidence.leak_free.n} leak-free"
        faults.append(Fault(where="evidence.json, leak", printed=repr(leak.share), stated=stated, why="they differ"))
    return faults


def _population(where: str, people: Population, confidence: float) -> Iterator[Fault]:
    total = sum(map(sum, people.confusion))
    diagonal = sum(people.confusion[index][index] for index in range(len(CLASSES)))
    yield from _counted(f"{where}, accuracy", people.accuracy, (diagonal, total), confidence)
    if total != people.n:
        yield Fault(where=f"{where}, confusion", printed=str(total), stated=f"n = {people.n}", why="cells add up to it")
    for index, slug in enumerate(CLASSES):
        figures, has = people.per_class[slug], sum(people.confusion[index])
        said = sum(row[index] for row in people.confusion)
        hits = people.confusion[index][index]
        yield from _counted(f"{where}, {slug} sensitivity", figures.sensitivity, (hits, has), confidence)
        not_said = total - has - (said - hits)
        yield from _counted(f"{where}, {slug} specificity", figures.specificity, (not_said, total - has), confidence)
        yield from _area(f"{where}, {slug} AUC", figures.auc, has, total - has)
    yield from _pairs(where, people)
    yield from _folds(where, people, confidence)
    for by, counts in _strata(people).items():
        if counts != (people.accuracy.k, people.n):
            stated = f"{people.accuracy.k} of {people.n}"
            yield Fault(where=f"{where}, strata by {by}", printed=str(counts), stated=stated, why="they do not add up")
    for stratum in people.strata:
        one = stratum.accuracy
        yield from _counted(f"{where}, {stratum.by} {stratum.value}", one, (one.k or 0, one.n), confidence)
    if people.n and sum(each.n for each in people.reliability) != people.n:
        printed = str(sum(each.n for each in people.reliability))
        yield Fault(where=f"{where}, reliability", printed=printed, stated=f"n = {people.n}", why="bins do not add up")


def _counted(where: str, one: Estimate, counts: tuple[int, int], confidence: float) -> Iterator[Fault]:
    """A share against the counts of the table it belongs to, and its interval against the formula."""
    k, n = counts
    if (one.k, one.n) != (k, n):
        yield Fault(where=where, printed=f"{one.k} of {one.n}", stated=f"{k} of {n}", why="another table says so")
        return
    if one.value is None or n == 0:
        return
    stated = f"{k} of {n}"
    if not _same(one.value, k / n):
        yield Fault(where=where, printed=repr(one.value), stated=stated, why=f"that is {k / n!r}")
    limits = wilson(k, n, confidence=confidence)
    if one.method == "wilson" and not (_same(one.low, limits.low) and _same(one.high, limits.high)):
        printed = f"{one.low} to {one.high}"
        yield Fault(where=where, printed=printed, stated=stated, why=f"Wilson's is {limits.low} to {limits.high}")


def _area(where: str, one: Estimate, positives: int, negatives: int) -> Iterator[Fault]:
    if one.value is None:
        return
    halves = 2 * one.value * positives * negatives
    if abs(halves - round(halves)) > _WHOLE or not 0 <= one.value <= 1:
        stated = f"{positives} positive and {negatives} negative images"
        yield Fault(where=where, printed=repr(one.value), stated=stated, why=f"{halves / 2:.4f} comparisons won")


def _pairs(where: str, people: Population) -> Iterator[Fault]:
    for pair in people.chi_square:
        name = f"{where}, χ² of {' and '.join(pair.classes)}"
        rows = [CLASSES.index(slug) for slug in pair.classes]
        cells = tuple(tuple(people.confusion[row][column] for column in rows) for row in rows)
        if cells != pair.table or sum(map(sum, cells)) != pair.n:
            yield Fault(where=name, printed=str(pair.table), stated=str(cells), why="the confusion table says so")
        elif (found := _chi_square(pair)) != (None, None) and not (
            _same(pair.statistic, found[0]) and _same(pair.p, found[1])
        ):
            printed = f"χ² = {pair.statistic}, p = {pair.p}"
            yield Fault(where=name, printed=printed, stated=str(pair.table), why=f"that is {found[0]}, {found[1]}")


def _chi_square(pair: PairTest) -> tuple[float | None, float | None]:
    try:
        test = chi_square(pair.table)
    except EvidenceError:
        # A table without one has none to compare.
        return None, None
    return test.statistic, test.p


def _folds(where: str, people: Population, confidence: float) -> Iterator[Fault]:
    for fold in people.folds:
        name, stated = f"{where}, fold {fold.fold + 1}", f"{fold.correct} of {fold.n}"
        limits = wilson(fold.correct, fold.n, confidence=confidence)
        wanted = (fold.correct / fold.n, (fold.n - fold.correct) / fold.n, limits.low, limits.high)
        printed = (fold.accuracy, fold.error, fold.low, fold.high)
        if not all(map(_same, printed, wanted)):
            yield Fault(where=name, printed=str(printed), stated=stated, why=f"that is {wanted}")
    if not people.folds:
        return
    together = (sum(fold.correct for fold in people.folds), sum(fold.n for fold in people.folds))
    if together != (people.accuracy.k, people.n):
        stated = f"{people.accuracy.k} of {people.n}"
        yield Fault(where=f"{where}, folds", printed=str(together), stated=stated, why="folds do not add up")
    mean = math.fsum(fold.correct / fold.n for fold in people.folds) / len(people.folds)
    if people.mean_fold_accuracy.value is not None and not _same(people.mean_fold_accuracy.value, mean):
        printed = repr(people.mean_fold_accuracy.value)
        yield Fault(where=f"{where}, mean of folds", printed=printed, stated="the folds' counts", why=f"that is {mean}")


def _strata(people: Population) -> dict[str, tuple[int, int]]:
    right: Counter[str] = Counter()
    images: Counter[str] = Counter()
    for stratum in people.strata:
        right[stratum.by] += stratum.accuracy.k or 0
        images[stratum.by] += stratum.accuracy.n
    return {by: (right[by], images[by]) for by in images}


def _same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= _SAME
