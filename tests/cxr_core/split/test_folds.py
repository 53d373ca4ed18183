"""Folds as values and on disk: roles, who leaks, what is counted, and what is refused."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.curate.cohort import COHORT_PATH, read_cohort, write_cohort
from cxr_core.errors import CohortError
from cxr_core.files import read_json
from cxr_core.split.folds import (
    SPLIT_PATH,
    SUMMARY_PATH,
    Role,
    Split,
    Verdict,
    leak_free,
    members,
    read_split,
    summary,
    write_split,
)
from cxr_core.split.stage import run
from tests.cxr_core.curate.build import cohort_row, params
from tests.cxr_core.split.cohorts import PROTOCOLS

_SEEN = (Role.NONE, Role.TRAIN, Role.VALIDATION)


@st.composite
def splits(draw):
    """Any roles that a split may hold, whichever protocol it says it is of."""
    folds, n = draw(st.integers(1, 5)), draw(st.integers(0, 20))
    groups = draw(st.lists(st.sampled_from("abcdef"), min_size=n, max_size=n))
    held = draw(st.sets(st.sampled_from("abcdef"), max_size=2))
    roles = np.empty((folds, n), dtype=np.int8)
    for row in range(n):
        roles[:, row] = draw(st.lists(st.sampled_from(_SEEN), min_size=folds, max_size=folds))
        tested_by = draw(st.none() | st.integers(0, folds - 1))
        if tested_by is not None:
            roles[tested_by, row] = Role.TEST
        if groups[row] in held:
            roles[:, row] = Role.HOLDOUT
    verdicts = tuple(
        Verdict(source=source, fold=None if why else 0, why=why)
        for source, why in draw(st.dictionaries(st.sampled_from(SOURCES), st.sampled_from(["", "Too few."]))).items()
    )
    return Split(
        protocol=draw(st.sampled_from(PROTOCOLS)),
        seed=draw(st.integers(0, 2**32 - 1)),
        names=tuple(f"sirm:{i}" for i in range(n)),
        sha256=tuple(f"sha256:{i}" for i in range(n)),
        groups=tuple(groups),
        labels=np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=np.int64),
        roles=roles,
        verdicts=verdicts,
    )


def small(roles, groups="abc"):
    n = len(groups)
    return Split(
        protocol="paper",
        seed=0,
        names=tuple(f"sirm:{i}" for i in range(n)),
        sha256=tuple(f"sha256:{i}" for i in range(n)),
        groups=tuple(groups),
        labels=np.zeros(n, dtype=np.int64),
        roles=np.array(roles, dtype=np.int8).reshape(-1, n),
    )


@given(splits())
def test_a_fold_has_three_parts_that_share_nothing_and_hold_no_held_out_row(split):
    tested = []
    for fold in range(split.folds):
        part = members(split, fold)
        everybody = [*part.train, *part.validation, *part.test]
        assert len(set(everybody)) == len(everybody)
        assert not split.holdout[everybody].any()
        assert (split.fold[part.test] == fold).all()
        tested += part.test.tolist()
    assert sorted(tested) == np.flatnonzero(split.fold >= 0).tolist()


@given(splits())
def test_the_refit_trains_on_all_that_is_not_held_out_and_tests_what_is(split):
    part = members(split, None)
    assert sorted([*part.train, *part.test]) == list(range(len(split.names)))
    assert (part.test == np.flatnonzero(split.holdout)).all()
    assert len(part.validation) == 0


@pytest.mark.parametrize("fold", [-1, 2])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        members(small([[Role.TRAIN] * 3] * 2), fold)


@pytest.mark.parametrize(
    ("roles", "groups", "words"),
    [
        ([[3, 1, 1], [3, 1, 1]], "abc", "sirm:0 is tested by 2 folds"),
        ([[4, 1, 1], [1, 1, 1]], "abc", "held out of some folds and not of others"),
        ([[4, 1, 1], [4, 1, 1]], "aab", "group a is held out in part"),
    ],
)
def test_roles_that_break_a_law_are_no_split(roles, groups, words):
    with pytest.raises(ValueError, match=words):
        small(roles, groups)


def test_roles_of_other_rows_are_no_split():
    with pytest.raises(ValueError, match=r"\(folds, 3\)"):
        replace(small([[1, 1, 1]]), roles=np.ones((2, 4), dtype=np.int8))


@given(splits())
def test_leak_free_is_what_the_definition_says(split):
    for row, free in enumerate(leak_free(split).tolist()):
        fold = int(split.fold[row])
        part = members(split, fold if fold >= 0 else None)
        seen = {split.groups[other] for other in (*part.train, *part.validation)}
        tested = fold >= 0 or split.holdout[row]
        assert free == (tested and split.groups[row] not in seen)


def cohort_of(split):
    columns = zip(split.names, split.sha256, split.labels.tolist(), split.groups, strict=True)
    return [cohort_row(name, sha256=sha256, label=CLASSES[i], group=group) for name, sha256, i, group in columns]


@settings(max_examples=15)
@given(splits())
def test_a_split_survives_the_disk(tmp_path_factory, split):
    workspace = tmp_path_factory.mktemp("split")
    write_cohort(workspace / COHORT_PATH, cohort_of(split))
    write_split(workspace, split)
    again = read_split(workspace)
    for name in ("protocol", "folds", "seed", "names", "sha256", "groups", "verdicts"):
        assert getattr(again, name) == getattr(split, name)
    np.testing.assert_array_equal(again.labels, split.labels)
    np.testing.assert_array_equal(again.roles, split.roles)
    assert read_json(workspace / SUMMARY_PATH) == summary(split)


@given(splits())
def test_the_summary_counts_every_row_once_a_fold(split):
    found = summary(split)
    for part in found["parts"]:
        counts = [part[role] for role in ("train", "validation", "test", "none")]
        assert sum(count["n"] for count in counts) + found["holdout"]["n"] == len(split.names)
        assert all(count["n"] == sum(count[slug] for slug in CLASSES) for count in counts)
    assert found["tested"] == {"n": sum(part["test"]["n"] for part in found["parts"]), "of": len(split.names)}


@pytest.fixture
def workspace(tmp_path):
    rows = [
        cohort_row(f"{source}:{label}/{i}", label=label, group=f"{label}{i // 2}")
        for label, source in (("covid", "sirm"), ("viral", "kaggle"), ("normal", "rsna"))
        for i in range(24)
    ]
    write_cohort(tmp_path / COHORT_PATH, rows)
    return tmp_path


def test_the_stage_writes_the_protocol_asked_for_and_counts_its_leaks(workspace):
    paper = run(workspace=workspace, params=params())
    leaks = paper["leak"]["images_sharing_a_group_with_training"]
    assert leaks > 0
    assert paper["leak"] == {"images_sharing_a_group_with_training": leaks, "n": 72, "share": leaks / 72}
    assert sum(part["test"]["n"] for part in paper["parts"]) == 72
    grouped = run(workspace=workspace, params=params("split.protocol=grouped"))
    assert grouped["leak"] == {"images_sharing_a_group_with_training": 0, "n": 72, "share": 0.0}
    assert read_split(workspace).protocol == "grouped"


def test_the_table_says_in_words_what_each_row_is_to_each_fold(workspace):
    run(workspace=workspace, params=params("split.protocol=batches", "split.holdout=0.2"))
    header, *lines = (workspace / SPLIT_PATH).read_text(encoding="utf-8").splitlines()
    assert header == "name,sha256,label,group,fold,fold_0"
    assert {tuple(line.split(",")[-2:]) for line in lines} == {
        *(("holdout", "holdout"), ("0", "test"), ("none", "train"), ("none", "validation"))
    }


def test_absent_folds_name_the_stage_that_makes_them(tmp_path):
    with pytest.raises(CohortError, match="dvc repro split") as caught:
        read_split(tmp_path)
    assert caught.value.reason == "no_split"


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (SPLIT_PATH, ",viral,", ",covid,"),
        (SPLIT_PATH, ",viral,", ",flu,"),
        (SPLIT_PATH, ",viral0,", ",viral11,"),
        (SPLIT_PATH, "name,sha256", "sha256,name"),
        (SPLIT_PATH, ",holdout,", ",none,"),
        (SPLIT_PATH, ",train", ",validation"),
        (SPLIT_PATH, ",train", ",test"),
        (SPLIT_PATH, ",train", ",teach"),
        (SPLIT_PATH, ",train", ","),
        (SUMMARY_PATH, '"folds": 5', '"folds": 4'),
        (SUMMARY_PATH, '"folds": 5', '"fold": 5'),
        (SUMMARY_PATH, "{", "["),
    ],
)
def test_folds_that_were_changed_by_hand_are_refused(workspace, path, old, new):
    run(workspace=workspace, params=params("split.protocol=grouped", "split.holdout=0.2"))
    text = (workspace / path).read_text(encoding="utf-8")
    assert old in text
    (workspace / path).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CohortError) as caught:
        read_split(workspace)
    assert caught.value.reason == "damaged_split"


@pytest.mark.parametrize("change", [{"label": "normal"}, {"group": "other"}, {"sha256": "sha256:other"}])
def test_the_folds_of_another_cohort_are_refused(workspace, change):
    run(workspace=workspace, params=params())
    first, *others = read_cohort(workspace / COHORT_PATH)
    for cohort in ([replace(first, **change), *others], others, [*others, first]):
        write_cohort(workspace / COHORT_PATH, cohort)
        with pytest.raises(CohortError) as caught:
            read_split(workspace)
        assert caught.value.reason == "foreign_split"


def test_the_data_stages_load_neither_torch_nor_until_needed_scikit_learn():
    code = (
        "import sys, cxr_core.curate.stage, cxr_core.prepare.stage, cxr_core.split.stage; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'sklearn', 'mlflow', 'prefect')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
