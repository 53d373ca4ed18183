from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.quota import draw
from cxr_core.digests import keyed_digest
from cxr_core.errors import CohortError
from cxr_core.params import SplitParams
from cxr_core.split.deal import deal
from cxr_core.split.folds import leak_free
from tests.cxr_core.curate.build import cohort_row

PROTOCOLS = ("paper", "grouped")


def options(protocol, folds=5, seed=2021):
    return SplitParams(protocol=protocol, folds=folds, seed=seed)


@st.composite
def cohorts(draw):
    """Cohorts with patients of several images, every class in at least ``folds`` groups."""
    folds = draw(st.integers(3, 6))
    rows = []
    for label in CLASSES:
        n = draw(st.integers(folds, 25))
        for i in range(n):
            # The first ``folds`` images have a patient each, so that the deal is always possible.
            patient = i if i < folds else draw(st.integers(0, n))
            source = draw(st.sampled_from(SOURCES))
            rows.append(cohort_row(f"{source}:{label}/{i}", label=label, group=keyed_digest(b"k", f"{label}{patient}")))
    return rows, folds, draw(st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=25)
@given(cohorts(), st.sampled_from(PROTOCOLS))
def test_every_row_stands_in_one_fold_and_every_fold_is_used(case, protocol):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds, seed))
    assert split.fold.shape == (len(rows),)
    assert set(split.fold.tolist()) == set(range(folds))
    assert split.names == tuple(row.name for row in rows)
    assert [CLASSES[label] for label in split.labels] == [row.label for row in rows]


@settings(deadline=None, max_examples=25)
@given(cohorts())
def test_grouped_never_puts_one_group_in_two_folds(case):
    rows, folds, seed = case
    split = deal(rows, options("grouped", folds, seed))
    where = defaultdict(set)
    for row, fold in zip(rows, split.fold.tolist(), strict=True):
        where[row.group].add(fold)
    assert all(len(found) == 1 for found in where.values())
    assert leak_free(split).all()


@settings(deadline=None, max_examples=25)
@given(cohorts(), st.sampled_from(PROTOCOLS), st.binary(min_size=1), st.randoms(use_true_random=False))
def test_folds_depend_on_seed_and_images_not_on_row_order_or_patient_key(case, protocol, key, random):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds, seed))
    moved = [replace(row, group=keyed_digest(key, row.group), patient=keyed_digest(key, row.patient)) for row in rows]
    random.shuffle(moved)
    again = deal(moved, options(protocol, folds, seed))
    assert dict(zip(again.sha256, again.fold.tolist(), strict=True)) == dict(
        zip(split.sha256, split.fold.tolist(), strict=True)
    )


@settings(deadline=None, max_examples=25)
@given(st.integers(15, 400), st.integers(3, 12))
def test_the_papers_folds_are_as_equal_as_can_be(n, folds):
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(max(n, 3 * folds))]
    sizes = Counter(deal(rows, options("paper", folds)).fold.tolist())
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_one_image_more_moves_few_others():
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(781)]
    before = deal(rows, options("paper"))
    after = deal([*rows, cohort_row("sirm:new")], options("paper"))
    assert int((before.fold != after.fold[:-1]).sum()) <= 4


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_seed_deals_otherwise(protocol):
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(90)]
    assert (deal(rows, options(protocol, seed=1)).fold != deal(rows, options(protocol, seed=2)).fold).any()


def test_the_papers_deal_is_random_over_classes_and_places():
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i // 300]) for i in range(900)]
    table = np.zeros((5, 3))
    for row, fold in zip(rows, deal(rows, options("paper")).fold, strict=True):
        table[fold, CLASSES.index(row.label)] += 1
    # 60 expected in each cell; binomial standard deviation 7.
    assert np.abs(table - 60).max() < 4 * 7
    assert len(set(table.ravel())) > 1


def test_the_papers_deal_does_not_follow_the_order_in_which_quotas_were_drawn():
    pool = [cohort_row(f"kaggle:{i}", label="viral") for i in range(1500)]
    drawn = draw({"kaggle": [row.sha256 for row in pool]}, wanted=250, seed=2021)
    rows = [row for row in pool if row.sha256 in drawn]
    rows += [cohort_row(f"sirm:{i}", label=("covid", "normal")[i % 2]) for i in range(500)]
    viral = Counter(deal(rows, options("paper", seed=2021)).fold[:250].tolist())
    # 50 expected in each fold; hypergeometric standard deviation 5.2.
    assert all(abs(viral[fold] - 50) < 4 * 5.2 for fold in range(5))


def test_grouped_spreads_classes_and_sources_evenly():
    strata = {
        ("covid", "sirm"): 50,
        ("covid", "github"): 190,
        ("viral", "kaggle"): 250,
        ("viral", "github"): 24,
        ("normal", "rsna"): 130,
        ("normal", "kaggle"): 130,
        ("normal", "sirm"): 1,
    }
    rows = [
        cohort_row(f"{source}:{label}/{i}", label=label, group=f"{source}{label}{i // 2}")
        for (label, source), n in strata.items()
        for i in range(n)
    ]
    folds = Counter(zip(((row.label, row.source) for row in rows), deal(rows, options("grouped")).fold, strict=True))
    for stratum, n in strata.items():
        if n >= 5:
            sizes = [folds[stratum, fold] for fold in range(5)]
            assert max(sizes) - min(sizes) <= max(4, 0.1 * n)


@pytest.mark.parametrize(
    ("protocol", "words"),
    [("grouped", "patient groups of each class: viral has 3"), ("paper", "images of each class: normal has 4")],
)
def test_too_few_for_the_folds_is_refused_with_what_would_fit(protocol, words):
    rows = [cohort_row(f"sirm:c{i}") for i in range(9)]
    rows += [cohort_row(f"kaggle:v{i}", label="viral", group=f"g{i % 3}") for i in range(9)]
    rows += [cohort_row(f"rsna:n{i}", label="normal") for i in range(4)]
    with pytest.raises(CohortError, match=words) as caught:
        deal(rows, options(protocol))
    assert caught.value.reason == "too_few_for_folds"
    assert "--set split.folds=" in caught.value.hint


def test_two_patients_are_too_few_for_any_folds():
    rows = [cohort_row(f"sirm:{label}{i}", label=label, group=f"{label}{i % 2}") for label in CLASSES for i in range(6)]
    with pytest.raises(CohortError, match="Raise the quotas"):
        deal(rows, options("grouped", folds=3))
