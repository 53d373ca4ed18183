"""Whole groups in parts: balance that can be proved, balance that is measured, and what one image more moves."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES
from cxr_core.split.stratified import groups_by_class, into_folds, set_aside
from tests.cxr_core.curate.build import cohort_row
from tests.cxr_core.split.cohorts import PAPERS, cohorts, one_more, papers_cohort

few = settings(max_examples=15)


def table(rows, part, parts):
    """Images by class and part."""
    counts = np.zeros((len(CLASSES), parts), dtype=int)
    np.add.at(counts, ([CLASSES.index(row.label) for row in rows], part), 1)
    return counts


@few
@given(cohorts(mixed=False), st.integers(2, 12))
def test_each_fold_has_its_share_of_a_class_give_or_take_the_largest_group(case, folds):
    rows, _, seed = case
    counts = table(rows, into_folds(rows, folds=folds, words=str(seed)), folds)
    for index, slug in enumerate(CLASSES):
        largest = max(Counter(row.group for row in rows if row.label == slug).values())
        assert np.abs(counts[index] - counts[index].sum() / folds).max() <= largest


@few
@given(cohorts(), st.integers(2, 12))
def test_a_class_with_a_group_a_fold_is_in_every_fold(case, folds):
    rows, _, seed = case
    counts = table(rows, into_folds(rows, folds=folds, words=str(seed)), folds)
    for index, slug in enumerate(CLASSES):
        if groups_by_class(rows)[slug] >= folds:
            assert (counts[index] > 0).all()


def test_a_few_large_patients_do_not_leave_a_fold_without_the_class():
    rows = [cohort_row(f"sirm:{label}{i}", label=label) for label in CLASSES for i in range(2)]
    rows += [cohort_row(f"sirm:{label}/large{i}", label=label, group=label) for label in CLASSES for i in range(20)]
    for seed in range(20):
        assert (table(rows, into_folds(rows, folds=3, words=str(seed)), 3) > 0).all()


@pytest.mark.parametrize(("n", "folds", "tolerance"), [(300, 5, 0.03), (781, 5, 0.01), (781, 10, 0.02)])
def test_the_classes_shares_in_a_fold_are_those_of_the_cohort_within_a_tolerance(n, folds, tolerance):
    for seed in range(4):
        rows = papers_cohort(n, seed=seed)
        counts = table(rows, into_folds(rows, folds=folds, words=f"grouped:{seed}"), folds)
        shares = counts / counts.sum(axis=0)
        assert np.abs(shares - (counts.sum(axis=1) / len(rows))[:, None]).max() <= tolerance


def test_sources_are_spread_evenly_too():
    rows = papers_cohort()
    fold = into_folds(rows, folds=5, words="grouped:2021")
    found = Counter(zip(((row.label, row.source) for row in rows), fold.tolist(), strict=True))
    for stratum, images in PAPERS.items():
        assert max(abs(found[stratum, number] - images / 5) for number in range(5)) <= 5


@pytest.mark.parametrize("share", [Fraction(1, 10), Fraction(1, 5), Fraction(3, 10)])
def test_what_is_set_aside_is_its_share_of_every_class(share):
    for seed in range(4):
        rows = papers_cohort(seed=seed)
        counts = table(rows, set_aside(rows, share=share, words=str(seed)).astype(int), 2)
        wanted = counts.sum(axis=1) * float(share)
        assert np.abs(counts[:, 1] - wanted).max() <= 3


@few
@given(cohorts(), st.sampled_from([Fraction(1, 10), Fraction(1, 5), Fraction(1, 3)]))
def test_a_class_of_enough_groups_has_one_set_aside_and_one_left(case, share):
    rows, _, seed = case
    counts = table(rows, set_aside(rows, share=share, words=str(seed)).astype(int), 2)
    for index, slug in enumerate(CLASSES):
        if groups_by_class(rows)[slug] * share >= 1:
            assert (counts[index] > 0).all()


@few
@given(cohorts(), st.sampled_from([Fraction(1, 10), Fraction(1, 5)]))
def test_groups_are_never_cut(case, share):
    rows, folds, seed = case
    aside = set_aside(rows, share=share, words=str(seed)).astype(int)
    for part in (aside, into_folds(rows, folds=folds, words=str(seed))):
        pairs = {(row.group, int(where)) for row, where in zip(rows, part, strict=True)}
        assert len(pairs) == len({row.group for row in rows})


def test_different_words_set_others_aside():
    rows = papers_cohort()
    one, other = (set_aside(rows, share=Fraction(1, 5), words=words) for words in ("a:1", "b:1"))
    assert 0 < (one & other).sum() < one.sum()


@pytest.mark.parametrize(("n", "folds", "worst"), [(300, 5, 0.08), (300, 3, 0.06), (781, 5, 0.04), (3000, 5, 0.01)])
def test_one_image_more_changes_few_folds(n, folds, worst):
    rows = papers_cohort(n)
    before = into_folds(rows, folds=folds, words="grouped:1")
    for seed in range(20):
        after = into_folds([*rows, one_more(rows, seed=seed)], folds=folds, words="grouped:1")
        assert (before != after[:-1]).mean() <= worst


def test_patients_who_turn_out_to_be_one_move_alone_but_for_a_few():
    rows = papers_cohort()
    first, other = rows[0].group, rows[200].group
    joined = [cohort_row(row.name, label=row.label, group=first if row.group == other else row.group) for row in rows]
    before, after = (into_folds(each, folds=5, words="grouped:1") for each in (rows, joined))
    assert (before != after).mean() <= 0.04
