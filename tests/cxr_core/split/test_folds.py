import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import COHORT_PATH, read_cohort, write_cohort
from cxr_core.errors import CohortError
from cxr_core.files import read_json
from cxr_core.split.folds import SPLIT_PATH, SUMMARY_PATH, Split, leak_free, members, read_split, summary, write_split
from cxr_core.split.stage import run
from tests.cxr_core.curate.build import cohort_row, params


@st.composite
def splits(draw):
    folds = draw(st.integers(3, 6))
    n = draw(st.integers(0, 20))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731  (three columns of one length)
    return Split(
        protocol=draw(st.sampled_from(["paper", "grouped"])),
        folds=folds,
        seed=draw(st.integers(0, 2**32 - 1)),
        names=tuple(f"sirm:{i}" for i in range(n)),
        sha256=tuple(f"sha256:{i}" for i in range(n)),
        groups=tuple(column(st.sampled_from("abcd"))),
        labels=np.array(column(st.integers(0, 2)), dtype=np.int64),
        fold=np.array(column(st.integers(0, folds - 1)), dtype=np.int64),
    )


@settings(deadline=None)
@given(splits())
def test_a_fold_has_three_parts_that_share_nothing_and_miss_nothing(split):
    tested = []
    for fold in range(split.folds):
        part = members(split, fold)
        everybody = np.concatenate([part.train, part.validation, part.test])
        assert sorted(everybody.tolist()) == list(range(len(split.fold)))
        assert (split.fold[part.validation] == (fold + 1) % split.folds).all()
        tested += part.test.tolist()
    assert sorted(tested) == list(range(len(split.fold)))


@settings(deadline=None)
@given(splits())
def test_the_refit_trains_on_everything(split):
    part = members(split, None)
    assert part.train.tolist() == list(range(len(split.fold)))
    assert len(part.validation) == len(part.test) == 0


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_is_not_there_is_refused(fold):
    split = Split(
        protocol="paper",
        folds=5,
        seed=0,
        names=(),
        sha256=(),
        groups=(),
        labels=np.empty(0, int),
        fold=np.empty(0, int),
    )
    with pytest.raises(ValueError, match=r"\[0, 5\)"):
        members(split, fold)


@settings(deadline=None)
@given(splits())
def test_leak_free_is_what_the_definition_says(split):
    for row, free in enumerate(leak_free(split).tolist()):
        part = members(split, int(split.fold[row]))
        seen = {split.groups[other] for other in (*part.train, *part.validation)}
        assert free == (split.groups[row] not in seen)


def cohort_of(split):
    columns = zip(split.names, split.sha256, split.labels.tolist(), split.groups, strict=True)
    return [cohort_row(name, sha256=sha256, label=CLASSES[i], group=group) for name, sha256, i, group in columns]


@settings(max_examples=40, deadline=None)
@given(splits())
def test_a_split_survives_the_disk(tmp_path_factory, split):
    workspace = tmp_path_factory.mktemp("split")
    write_cohort(workspace / COHORT_PATH, cohort_of(split))
    write_split(workspace, split)
    again = read_split(workspace)
    for name in ("protocol", "folds", "seed", "names", "sha256", "groups"):
        assert getattr(again, name) == getattr(split, name)
    np.testing.assert_array_equal(again.labels, split.labels)
    np.testing.assert_array_equal(again.fold, split.fold)
    assert read_json(workspace / SUMMARY_PATH) == summary(split)


@pytest.fixture
def workspace(tmp_path):
    rows = [
        cohort_row(f"{source}:{label}/{i}", label=label, group=f"{label}{i // 2}")
        for label, source in (("covid", "sirm"), ("viral", "kaggle"), ("normal", "rsna"))
        for i in range(12)
    ]
    write_cohort(tmp_path / COHORT_PATH, rows)
    return tmp_path


def test_the_stage_writes_the_protocol_asked_for_and_counts_its_leaks(workspace):
    paper = run(workspace=workspace, params=params())
    assert paper["leak"]["images_sharing_a_group_with_training"] > 0
    assert paper["leak"]["share"] == paper["leak"]["images_sharing_a_group_with_training"] / 36
    assert sum(size["n"] for size in paper["sizes"]) == 36
    assert all(size["n"] == size["covid"] + size["viral"] + size["normal"] for size in paper["sizes"])
    grouped = run(workspace=workspace, params=params("split.protocol=grouped"))
    assert grouped["leak"] == {"images_sharing_a_group_with_training": 0, "n": 36, "share": 0.0}
    assert read_split(workspace).protocol == "grouped"


def test_absent_folds_name_the_stage_that_makes_them(tmp_path):
    with pytest.raises(CohortError, match="dvc repro split") as caught:
        read_split(tmp_path)
    assert caught.value.reason == "no_split"


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (SPLIT_PATH, ",viral,", ",covid,"),
        (SPLIT_PATH, ",viral,", ",flu,"),
        (SPLIT_PATH, ",viral0,", ",viral5,"),
        (SPLIT_PATH, "name,sha256", "sha256,name"),
        (SUMMARY_PATH, '"folds": 5', '"folds": 4'),
        (SUMMARY_PATH, '"folds": 5', '"fold": 5'),
        (SUMMARY_PATH, "{", "["),
    ],
)
def test_folds_that_were_changed_by_hand_are_refused(workspace, path, old, new):
    run(workspace=workspace, params=params("split.protocol=grouped"))
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
