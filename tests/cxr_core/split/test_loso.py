"""Leave one source out: what a fold may see, and when a source cannot be judged."""

import pytest
from hypothesis import given, settings

from cxr_core.classes import SOURCES
from cxr_core.errors import CohortError
from cxr_core.split.deal import deal
from cxr_core.split.folds import Role, leak_free, members, summary
from tests.cxr_core.curate.build import cohort_row
from tests.cxr_core.split.cohorts import cohorts, options, papers_cohort


def strata(**counts):
    """Rows by ``source_class=number``, each of a patient of its own."""
    pairs = [(key.split("_"), n) for key, n in counts.items()]
    return [cohort_row(f"{source}:{label}/{i}", label=label) for (source, label), n in pairs for i in range(n)]


@settings(max_examples=25)
@given(cohorts())
def test_a_fold_tests_one_source_whole_and_sees_nothing_of_its_groups(case):
    rows, folds, seed = case
    split = deal(rows, options("loso", folds=folds, seed=seed))
    assert [each.source for each in split.verdicts] == list(SOURCES)
    for verdict in split.verdicts:
        if verdict.fold is None:
            continue
        part = members(split, verdict.fold)
        assert {row for row, each in enumerate(rows) if each.source == verdict.source} == set(part.test.tolist())
        groups = {rows[row].group for row in part.test}
        others = {row for row, each in enumerate(rows) if each.group not in groups}
        assert set(part.train.tolist()) | set(part.validation.tolist()) == others
        assert (split.roles[verdict.fold] == Role.NONE).sum() == len(rows) - len(part.test) - len(others)
        assert not {rows[row].group for row in part.train} & {rows[row].group for row in part.validation}
    assert leak_free(split)[split.fold >= 0].all()


def test_a_fifth_of_the_others_validates_and_every_class_of_the_source_both_trains_and_validates():
    rows = papers_cohort()
    split = deal(rows, options("loso"))
    assert split.folds == 4
    for verdict in split.verdicts:
        part = members(split, verdict.fold)
        assert len(part.validation) == pytest.approx((len(part.train) + len(part.validation)) / 5, abs=3)
        tested = set(split.labels[part.test].tolist())
        assert tested <= set(split.labels[part.train].tolist())
        assert tested <= set(split.labels[part.validation].tolist())


def test_five_groups_elsewhere_are_enough_and_four_are_not():
    for elsewhere in (5, 4):
        rows = strata(sirm_covid=9, github_covid=elsewhere, kaggle_viral=9, rsna_normal=9, kaggle_normal=9)
        split = deal(rows, options("loso"))
        verdicts = {each.source: each for each in split.verdicts}
        assert (verdicts["sirm"].fold is None) == (elsewhere == 4)
        if elsewhere == 4:
            assert verdicts["sirm"].why == (
                "To test sirm each of its classes needs 5 patient groups elsewhere: covid has 4."
            )
            assert (split.fold[:9] == -1).all()


def test_a_source_without_its_class_elsewhere_is_not_identifiable_and_the_summary_says_so():
    rows = strata(sirm_covid=9, github_covid=9, kaggle_viral=9, rsna_normal=9, kaggle_normal=9)
    split = deal(rows, options("loso"))
    found = summary(split)
    assert [(each["source"], each["verdict"], each["fold"]) for each in found["verdicts"]] == [
        ("sirm", "identifiable", 0),
        ("github", "identifiable", 1),
        ("rsna", "identifiable", 2),
        ("kaggle", "not identifiable", None),
    ]
    assert "viral has 0" in found["verdicts"][3]["why"]
    assert found["tested"] == {"n": 27, "of": 45}
    assert found["folds"] == 3
    # What cannot be tested may well teach.
    assert (split.roles[0][-18:] != Role.NONE).all()


def test_twins_of_the_tested_source_are_left_out_and_counted_where_that_leaves_too_few():
    rows = strata(sirm_covid=9, kaggle_viral=9, rsna_normal=9, kaggle_normal=9)
    twins = [cohort_row(f"github:covid/{i}", group=rows[i].group) for i in range(9)]
    others = strata(github_covid=4)
    verdicts = {each.source: each for each in deal([*rows, *twins, *others], options("loso")).verdicts}
    assert verdicts["sirm"].fold is None
    assert "covid has 4, 9 images of its own patients and duplicates there left out" in verdicts["sirm"].why


@pytest.mark.parametrize("sources", [{"sirm_covid": 9}, {"sirm_covid": 9, "kaggle_viral": 9, "rsna_normal": 9}, {}])
def test_where_no_source_can_be_tested_the_cohort_is_refused_with_every_reason(sources):
    with pytest.raises(CohortError, match="No source can be left out") as caught:
        deal(strata(**sources), options("loso"))
    assert caught.value.reason == "not_identifiable"
    assert all(f"To test {key.split('_')[0]} " in caught.value.message for key in sources)
    assert "split.protocol=grouped" in caught.value.hint
