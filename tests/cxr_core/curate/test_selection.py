from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES, ClassSlug
from cxr_core.curate.duplicates import Pair
from cxr_core.curate.reasons import ExclusionReason
from cxr_core.curate.selection import select
from cxr_core.errors import CohortError
from tests.cxr_core.curate.build import params, record

ALL = ("curate.quota.covid=null", "curate.quota.viral=null", "curate.quota.normal=null")
# One image a class, so that no test's own rows are the only ones.
BASE = (
    record("github:covid.png"),
    record("kaggle:viral.jpeg", finding="virus"),
    record("rsna:normal.dcm", finding="Normal"),
)


def pair(first, second):
    return Pair(first=first, second=second, kind="near", hamming=0, correlation=1.0)


def reasons(selection):
    return {row.name: row.reason for row in selection.exclusions}


def chosen(records, pairs=(), *overrides):
    return select([*records, *BASE], list(pairs), params(*(overrides or ALL)).curate)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modality": "CT", "view": "L", "finding": "todo"}, "not_xray"),
        ({"view": "L", "finding": "Streptococcus"}, "lateral_view"),
        ({"view": "oblique", "finding": "todo"}, "view_not_frontal"),
        ({"view": "", "finding": "todo"}, "view_unknown"),
        ({"finding": "todo"}, "not_labelled"),
        ({"finding": "Streptococcus"}, "bacterial"),
    ],
)
def test_a_row_gets_the_first_reason_that_holds(changes, reason):
    assert reasons(chosen([record("github:x.png", **changes)])) == {"github:x.png": reason}


def test_an_exclusion_keeps_the_label_where_there_is_one():
    (row,) = chosen([record("github:x.png", view="L")]).exclusions
    assert (row.label, row.detail) == ("covid", "modality X-ray, view L")


def test_of_duplicates_the_preferred_source_is_kept_then_the_larger_then_the_first_by_name():
    records = [record(name) for name in ("github:a.png", "sirm:c.jpg", "sirm:b.jpg", "sirm:d.jpg")]
    records[3] = replace(records[3], width=10)
    pairs = [pair(0, 1), pair(1, 2), pair(0, 3)]
    selection = chosen(records, pairs)
    assert reasons(selection) == dict.fromkeys(("github:a.png", "sirm:c.jpg", "sirm:d.jpg"), "duplicate")
    assert {row.detail for row in selection.exclusions} == {"same X-ray as sirm:b.jpg"}
    assert selection.clusters == (("github:a.png", "sirm:b.jpg", "sirm:c.jpg", "sirm:d.jpg"),)
    larger = [*records[:1], replace(records[1], width=641), *records[2:]]
    assert "sirm:c.jpg" not in reasons(chosen(larger, pairs))
    other = chosen(records, pairs, *ALL, "curate.preference=[github, sirm, rsna, kaggle]")
    assert "github:a.png" not in reasons(other)


def test_an_excluded_row_never_stands_for_its_cluster():
    records = [record("sirm:lateral.jpg", view="L"), record("github:frontal.png")]
    assert reasons(chosen(records, [pair(0, 1)])) == {"sirm:lateral.jpg": "lateral_view"}


@pytest.mark.parametrize(
    ("finding", "other_reason"), [("No Finding", "label_conflict"), ("Streptococcus", "bacterial")]
)
def test_duplicates_that_disagree_are_all_left_out(finding, other_reason):
    records = [record("sirm:a.jpg"), record("github:b.png", finding=finding)]
    selection = chosen(records, [pair(0, 1)])
    assert reasons(selection) == {"sirm:a.jpg": "label_conflict", "github:b.png": other_reason}
    assert f"github:b.png: {finding}; sirm:a.jpg: COVID-19" in {row.detail for row in selection.exclusions}


def test_what_a_large_cluster_says_is_told_in_part_so_that_a_thousand_rows_do_not_each_name_the_others():
    records = [record(f"sirm:{i:03}.jpg", finding="COVID-19" if i else "No Finding") for i in range(1000)]
    selection = chosen(records, [pair(0, i) for i in range(1, 1000)])
    (said,) = {row.detail for row in selection.exclusions}
    assert said.startswith("sirm:000.jpg: No Finding; sirm:001.jpg: COVID-19; ")
    assert said.endswith("; and 992 more")


def test_a_duplicate_without_a_label_contradicts_nobody():
    records = [record("sirm:a.jpg"), record("github:b.png", finding="Pneumonia")]
    assert reasons(chosen(records, [pair(0, 1)])) == {"github:b.png": "not_labelled"}


def test_a_duplicate_joins_the_patients_of_two_sources_even_where_it_is_left_out():
    records = [
        record("sirm:case/1.jpg", patient="bbbb"),
        record("github:copy.png", patient="aaaa"),
        record("github:second.png", patient="aaaa"),
        record("github:lateral.png", patient="cccc", view="L"),
        record("sirm:lateral.jpg", patient="bbbb", view="L"),
    ]
    rows = chosen(records, [pair(0, 1), pair(3, 4)]).rows
    assert {row.name: row.group for row in rows if row.name not in {r.name for r in BASE}} == {
        "sirm:case/1.jpg": "aaaa",
        "github:second.png": "aaaa",
    }


def test_a_quota_that_cannot_be_filled_names_class_numbers_and_override():
    with pytest.raises(CohortError) as caught:
        chosen([], [], "curate.quota.covid=2", "curate.quota.viral=1", "curate.quota.normal=5")
    assert caught.value.reason == "quota_too_large"
    assert "covid: wanted 2, found 1, normal: wanted 5, found 1" in str(caught.value)
    assert "--set curate.quota.covid=1 --set curate.quota.normal=1" in str(caught.value)


def test_a_class_without_any_image_is_refused_even_where_all_are_wanted():
    with pytest.raises(CohortError, match="viral: wanted at least 1, found 0"):
        select([BASE[0], BASE[2]], [], params(*ALL).curate)


def test_reasons_are_checked_in_the_order_in_which_they_are_listed():
    assert list(ExclusionReason)[-3:] == ["label_conflict", "duplicate", "over_quota"]
    assert list(ExclusionReason)[:4] == ["not_xray", "lateral_view", "view_not_frontal", "view_unknown"]


@st.composite
def collections(draw):
    n = draw(st.integers(3, 16))
    records = []
    for i in range(n):
        source = draw(st.sampled_from(SOURCES))
        records.append(
            record(
                f"{source}:{i:02}.png",
                finding=draw(st.sampled_from(["COVID-19", "virus", "Normal", "todo", "bacteria"])),
                view=draw(st.sampled_from(["PA", "AP", "AP", "L"])),
                patient=draw(st.sampled_from("abcdef")),
                width=draw(st.integers(100, 102)),
            )
        )
    row = st.integers(0, n - 1)
    edges = draw(st.sets(st.tuples(row, row).filter(lambda edge: edge[0] < edge[1]), max_size=5))
    return records, [pair(*edge) for edge in sorted(edges)]


@settings(deadline=None, max_examples=25)
@given(collections(), st.randoms(use_true_random=False))
def test_every_record_is_kept_or_has_one_reason_and_no_cluster_is_kept_twice(case, random):
    records, pairs = case
    everybody = [*records, *BASE]
    quota = params("curate.quota.covid=1", "curate.quota.viral=1", "curate.quota.normal=1").curate
    selection = select(everybody, pairs, quota)
    kept, left_out = {row.name for row in selection.rows}, [row.name for row in selection.exclusions]
    assert sorted([*kept, *left_out]) == sorted(record.name for record in everybody)
    assert all(len(kept & set(cluster)) <= 1 for cluster in selection.clusters)
    assert {row.label for row in selection.rows} == set(get_args(ClassSlug)) == set(CLASSES)
    order = list(range(len(everybody)))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = [pair(*sorted((place[p.first], place[p.second]))) for p in pairs]
    assert select([everybody[old] for old in order], moved, quota) == selection
