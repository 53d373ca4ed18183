"""Catalogues are compared by bytes, then by path: every image stands once, and no label moves unseen."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.ingest.catalogue import CatalogueRow
from cxr_core.ingest.changes import Changes, compare_catalogues

WORDS = {"COVID-19": "covid", "COVID-19, ARDS": "covid", "Pneumonia/Viral/COVID-19": "covid", "SARS": "viral"}
KINDS = ("added", "removed", "relabelled", "reworded", "replaced", "renamed")


def label(row: CatalogueRow) -> str:
    return row.excluded or WORDS.get(row.finding or "", "not_labelled")


def image(path: str, data: str, finding: str = "COVID-19", excluded: str = "") -> CatalogueRow:
    return CatalogueRow(path=path, bytes=1, sha256=f"sha256:{data}", finding=finding, excluded=excluded)


def table(path: str, data: str) -> CatalogueRow:
    return CatalogueRow(path=path, bytes=1, sha256=f"sha256:{data}", finding=None)


def compare(before: Iterable[CatalogueRow], after: Iterable[CatalogueRow]) -> Changes:
    return compare_catalogues(before, after, label=label)


def paths(changes: Changes) -> dict[str, list[str]]:
    found = {kind: [change.path for change in getattr(changes, kind)] for kind in KINDS}
    return {kind: names for kind, names in found.items() if names}


ROWS = st.lists(
    st.builds(image, st.sampled_from("abcdef"), st.sampled_from("123"), st.sampled_from(sorted([*WORDS, "todo"]))),
    unique_by=lambda row: row.path,
)


@given(before=ROWS, after=ROWS)
def test_every_image_stands_once_and_the_two_sides_add_up(before, after):
    changes = compare(before, after)
    kept = changes.unchanged + sum(len(getattr(changes, kind)) for kind in KINDS[2:])
    assert changes.images_before == len(before) == kept + len(changes.removed)
    assert changes.images_after == len(after) == kept + len(changes.added)
    back = compare(after, before)
    assert [change.path for change in back.added] == [change.path for change in changes.removed]
    assert [change.path for change in back.removed] == [change.path for change in changes.added]


@given(rows=ROWS, again=st.randoms())
def test_equal_catalogues_differ_in_nothing_whatever_their_order(rows, again):
    shuffled = again.sample(rows, len(rows))
    changes = compare(rows, shuffled)
    assert (paths(changes), changes.unchanged, changes.contradicted) == ({}, len(rows), ())


@given(before=ROWS, after=ROWS)
def test_bytes_whose_labels_all_changed_are_never_passed_over(before, after):
    changes = compare(before, after)
    known = {(row.sha256, label(row)) for row in before}
    said_otherwise = {
        row.path
        for row in after
        if row.finding and (row.sha256, label(row)) not in known and any(row.sha256 == old.sha256 for old in before)
    }
    assert said_otherwise <= {change.path for change in changes.contradicted}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([], [image("a", "1")], {"added": ["a"]}),
        ([image("a", "1")], [], {"removed": ["a"]}),
        ([image("a", "1")], [image("a", "1", "SARS")], {"relabelled": ["a"]}),
        # A schema that says the same class in other words relabels nothing.
        ([image("a", "1", "COVID-19, ARDS")], [image("a", "1", "Pneumonia/Viral/COVID-19")], {"reworded": ["a"]}),
        ([image("a", "1")], [image("a", "2")], {"replaced": ["a"]}),
        ([image("a", "1")], [image("b", "1")], {"renamed": ["b"]}),
        # Kaggle's class is in the path: a file that moves between classes is relabelled.
        ([image("a", "1")], [image("b", "1", "SARS")], {"relabelled": ["b"]}),
        # Two files trade bytes, and the table stays as it was.
        (
            [image("a", "1"), image("b", "2", "SARS")],
            [image("a", "2"), image("b", "1", "SARS")],
            {"relabelled": ["a", "b"]},
        ),
        # Numbered files shift by one.
        ([image("1", "x"), image("2", "y")], [image("2", "x"), image("3", "y")], {"renamed": ["2", "3"]}),
        # Of two equal pictures the one whose label stands is the one that moved.
        (
            [image("a", "1"), image("b", "1", "SARS")],
            [image("c", "1", "SARS"), image("d", "1")],
            {"renamed": ["c", "d"]},
        ),
        ([image("a", "1", "todo")], [image("a", "1", "COVID-19")], {"relabelled": ["a"]}),
        ([image("a", "1")], [image("a", "1", "", "no_metadata")], {"relabelled": ["a"]}),
    ],
)
def test_what_happened_to_an_image_has_a_name(before, after, found):
    assert paths(compare(before, after)) == found


def test_a_relabelled_image_says_from_what_to_what_and_where_it_lay():
    (change,) = compare([image("a", "1")], [image("b", "1", "SARS")]).relabelled
    assert (change.was, change.before, change.after) == ("a", "covid", "viral")
    assert (change.finding_before, change.finding_after) == ("COVID-19", "SARS")


def test_a_picture_encoded_anew_or_copied_under_another_label_counts_as_relabelled():
    before = [image("a", "1"), image("b", "2"), image("c", "3"), image("d", "4")]
    after = [image("a", "9", "SARS"), image("b", "2"), image("c", "3"), image("d", "4"), image("e", "2", "SARS")]
    changes = compare(before, after)
    assert paths(changes) == {"replaced": ["a"], "added": ["e"]}
    assert [change.path for change in changes.contradicted] == ["a", "e"]
    assert changes.relabelled_share == 0.5
    assert changes.moves == [("covid", "viral", 2)]


def test_a_copy_of_which_nothing_is_said_contradicts_nothing():
    changes = compare([image("a", "1")], [image("a", "1"), image("nested/a", "1", "", "nested_copy")])
    assert (paths(changes), changes.contradicted) == ({"added": ["nested/a"]}, ())


def test_the_share_is_of_the_images_before_and_there_may_be_none():
    assert compare([], [image("a", "1")]).relabelled_share == 0
    assert compare([image("a", "1"), image("b", "2")], [image("a", "1", "SARS")]).relabelled_share == 0.5


def test_files_that_are_no_images_are_told_apart_from_them():
    before = [table("metadata.csv", "1"), table("old.txt", "2"), image("a", "1")]
    after = [table("metadata.csv", "3"), table("README", "4"), image("a", "1")]
    changes = compare(before, after)
    assert changes.other_files == (("added", "README"), ("changed", "metadata.csv"), ("removed", "old.txt"))
    assert (changes.images_before, changes.unchanged, paths(changes)) == (1, 1, {})
