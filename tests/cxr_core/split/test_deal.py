"""The four protocols: who trains, validates, tests and is held out; what every deal obeys, and what it refuses."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES
from cxr_core.curate.quota import draw
from cxr_core.digests import keyed_digest
from cxr_core.errors import CohortError
from cxr_core.split.deal import deal
from cxr_core.split.folds import Role, leak_free, members
from tests.cxr_core.curate.build import cohort_row
from tests.cxr_core.split.cohorts import PROTOCOLS, cohorts, one_more, options, papers_cohort

HOLDOUTS = (0.0, 0.2)
few = settings(max_examples=25)


def roles_by_image(split):
    return dict(zip(split.sha256, map(tuple, split.roles.T.tolist()), strict=True))


@few
@given(cohorts(), st.sampled_from(["paper", "grouped"]), st.sampled_from(HOLDOUTS))
def test_paper_and_grouped_test_every_row_once_that_is_not_held_out(case, protocol, holdout):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds=folds, seed=seed, holdout=holdout))
    assert split.folds == folds
    assert ((split.roles == Role.TEST).sum(axis=0) == ~split.holdout).all()
    assert split.holdout.any() == (holdout > 0)
    for fold in range(folds):
        part, after = members(split, fold), members(split, (fold + 1) % folds)
        assert part.validation.tolist() == after.test.tolist()
        assert len(part.train) + len(part.validation) + len(part.test) == (~split.holdout).sum()


@few
@given(cohorts(), st.sampled_from(PROTOCOLS), st.sampled_from(HOLDOUTS))
def test_a_split_speaks_of_its_rows_in_their_order(case, protocol, holdout):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds=folds, seed=seed, holdout=holdout))
    assert split.names == tuple(row.name for row in rows)
    assert split.groups == tuple(row.group for row in rows)
    assert [CLASSES[label] for label in split.labels] == [row.label for row in rows]


@few
@given(cohorts(), st.sampled_from(["grouped", "loso"]), st.sampled_from(HOLDOUTS))
def test_no_group_is_tested_by_a_network_that_has_seen_it(case, protocol, holdout):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds=folds, seed=seed, holdout=holdout))
    for fold in range(split.folds):
        part = members(split, fold)
        tested = {rows[row].group for row in part.test}
        assert not tested & {rows[row].group for row in (*part.train, *part.validation)}
    assert leak_free(split)[split.fold >= 0].all()


@few
@given(cohorts(), st.integers(3, 5))
def test_grouped_never_puts_one_group_in_two_folds(case, folds):
    rows, _, seed = case
    split = deal(rows, options(folds=folds, seed=seed))
    assert len(set(zip(split.groups, split.fold.tolist(), strict=True))) == len(set(split.groups))


@few
@given(cohorts(), st.sampled_from(PROTOCOLS))
def test_what_is_held_out_is_whole_groups_and_the_same_under_every_protocol(case, protocol):
    rows, folds, seed = case
    split = deal(rows, options(protocol, folds=folds, seed=seed, holdout=0.2))
    held = {rows[row].group for row in np.flatnonzero(split.holdout)}
    assert not held & {rows[row].group for row in np.flatnonzero(~split.holdout)}
    assert {rows[row].label for row in np.flatnonzero(split.holdout)} == set(CLASSES)
    assert (split.holdout == deal(rows, options("paper", folds=3, seed=seed, holdout=0.2)).holdout).all()
    refit = members(split, None)
    assert refit.test.tolist() == np.flatnonzero(split.holdout).tolist()
    assert sorted([*refit.train, *refit.test]) == list(range(len(rows)))


@few
@given(
    cohorts(),
    st.sampled_from(PROTOCOLS),
    st.sampled_from(HOLDOUTS),
    st.binary(min_size=1),
    st.randoms(use_true_random=False),
)
def test_folds_depend_on_seed_and_images_not_on_row_order_or_patient_key(case, protocol, holdout, key, random):
    rows, folds, seed = case
    chosen = options(protocol, folds=folds, seed=seed, holdout=holdout)
    moved = [replace(row, group=keyed_digest(key, row.group), patient=keyed_digest(key, row.patient)) for row in rows]
    random.shuffle(moved)
    assert roles_by_image(deal(moved, chosen)) == roles_by_image(deal(rows, chosen))


@pytest.mark.parametrize("holdout", HOLDOUTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_seed_deals_otherwise(protocol, holdout):
    rows = papers_cohort(200)
    one, other = (deal(rows, options(protocol, seed=seed, holdout=holdout)) for seed in (1, 2))
    assert (one.roles != other.roles).any()


# Share of images whose role changes in any fold when one image is added, over 40 additions: the worst, and the mean.
# Under `batches` a batch more moves both cuts by a batch of 16.
@pytest.mark.parametrize(
    ("protocol", "holdout", "worst", "mean"),
    [
        ("paper", 0.0, 0.02, 0.01),
        ("paper", 0.2, 0.10, 0.02),
        ("grouped", 0.0, 0.10, 0.02),
        ("grouped", 0.2, 0.12, 0.02),
        ("batches", 0.0, 0.12, 0.02),
        ("loso", 0.0, 0.12, 0.02),
    ],
)
def test_one_image_more_of_300_changes_few_assignments(protocol, holdout, worst, mean):
    changed = []
    for seed in range(4):
        rows = papers_cohort(300, seed=seed)
        chosen = options(protocol, seed=seed, holdout=holdout)
        before = deal(rows, chosen)
        for number in range(10):
            after = deal([*rows, one_more(rows, seed=f"{seed} {number}")], chosen)
            changed.append((before.roles != after.roles[:, :-1]).any(axis=0).mean())
    assert max(changed) <= worst
    assert np.mean(changed) <= mean


def test_one_image_more_of_the_papers_cohort_moves_at_most_one_over_each_cut():
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(781)]
    before = deal(rows, options("paper"))
    after = deal([*rows, cohort_row("sirm:new")], options("paper"))
    assert int((before.fold != after.fold[:-1]).sum()) <= 4


@few
@given(st.integers(15, 400), st.integers(3, 12))
def test_the_papers_folds_are_as_equal_as_can_be(n, folds):
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(max(n, 3 * folds))]
    sizes = Counter(deal(rows, options("paper", folds=folds)).fold.tolist())
    assert max(sizes.values()) - min(sizes.values()) <= 1


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


def test_the_papers_batches_are_464_160_and_157_of_781():
    split = deal(papers_cohort(), options("batches"))
    part = members(split, 0)
    assert (len(part.train), len(part.validation), len(part.test)) == (464, 160, 157)
    assert split.folds == 1
    assert (split.fold == -1).sum() == 464 + 160


@pytest.mark.parametrize(
    ("n", "batches"), [(48, (1, 1, 1)), (49, (2, 1, 1)), (98, (5, 1, 1)), (784, (29, 10, 10)), (1568, (58, 20, 20))]
)
def test_batches_of_other_cohorts_have_the_papers_shares_and_the_short_one_tests(n, batches):
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(n)]
    part = members(deal(rows, options("batches")), 0)
    train, validation, test = batches
    assert (len(part.train), len(part.validation)) == (16 * train, 16 * validation)
    assert 16 * (test - 1) < len(part.test) <= 16 * test


def test_folds_are_not_read_where_the_protocol_names_their_number():
    rows = papers_cohort(300)
    for protocol in ("batches", "loso"):
        assert (deal(rows, options(protocol, folds=3)).roles == deal(rows, options(protocol, folds=9)).roles).all()


@pytest.mark.parametrize("n", [0, 20, 32])
def test_too_few_images_for_batches_are_refused_with_the_classes_that_nothing_would_teach(n):
    rows = [cohort_row(f"sirm:{i}", label=CLASSES[i % 3]) for i in range(n)]
    with pytest.raises(CohortError, match="lack covid, viral, normal") as caught:
        deal(rows, options("batches"))
    assert caught.value.reason == "too_few_for_batches"


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


def test_what_is_held_out_may_leave_too_few_and_the_message_says_so():
    rows = [cohort_row(f"sirm:{label}{i}", label=label) for label in CLASSES for i in range(5)]
    assert deal(rows, options("grouped")).folds == 5
    with pytest.raises(CohortError, match="covid has 3, viral has 3, normal has 3, 40% held out"):
        deal(rows, options("grouped", holdout=0.4))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_share_that_keeps_nobody_out_is_refused(protocol):
    # Of two groups of each class and source neither can be left out of a part that wants a hundredth of them.
    rows = [
        cohort_row(f"sirm:{label}{i}", label=label, group=f"{label}{i % 6}") for label in CLASSES for i in range(18)
    ]
    with pytest.raises(CohortError, match="keeps no patient group out") as caught:
        deal(rows, options(protocol, holdout=0.001))
    assert caught.value.reason == "empty_holdout"
