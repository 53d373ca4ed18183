import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.curate.cohort import COHORT_PATH, write_cohort
from cxr_core.errors import CohortError
from cxr_core.prepare.store import IMAGES_PATH, INDEX_PATH, damaged_rows, new_store, open_store
from tests.cxr_core.curate.build import cohort_row
from tests.cxr_core.prepare.build import write_rows, write_store

ROWS = [cohort_row(f"sirm:caso-0{i}/rx-1.jpg") for i in range(3)]


def pictures(n=3, size=8):
    return list(np.random.default_rng(1).integers(0, 256, (n, size, size), dtype=np.uint8))


@pytest.fixture
def workspace(tmp_path):
    write_cohort(tmp_path / COHORT_PATH, ROWS)
    write_store(tmp_path, ROWS, iter(pictures()), size=8)
    return tmp_path


def test_a_store_opens_as_a_read_only_map_of_what_was_written(workspace):
    store = open_store(workspace)
    assert isinstance(store.images, np.memmap)
    assert not store.images.flags.writeable
    np.testing.assert_array_equal(store.images, np.stack(pictures()))
    assert [(row.row, row.name, row.sha256) for row in store.index] == [
        (i, row.name, row.sha256) for i, row in enumerate(ROWS)
    ]
    assert damaged_rows(store) == []


@pytest.mark.parametrize("n", [0, 1, 50])
def test_the_file_is_what_numpy_itself_writes(tmp_path, n):
    rows, images = [cohort_row(f"rsna:{i}.dcm") for i in range(n)], pictures(n)
    write_store(tmp_path, rows, images, size=8)
    np.save(tmp_path / "numpy.npy", np.array(images, dtype=np.uint8).reshape(n, 8, 8))
    assert (tmp_path / IMAGES_PATH).read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 3 * 64 - 1), st.integers(1, 255))
def test_one_changed_pixel_is_found_and_named(tmp_path_factory, position, change):
    workspace = tmp_path_factory.mktemp("store")
    write_cohort(workspace / COHORT_PATH, ROWS)
    write_store(workspace, ROWS, iter(pictures()), size=8)
    path = workspace / IMAGES_PATH
    data = bytearray(path.read_bytes())
    data[len(data) - 3 * 64 + position] ^= change
    path.write_bytes(data)
    assert damaged_rows(open_store(workspace)) == [ROWS[position // 64].name]


def test_an_absent_store_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(CohortError, match="dvc repro prepare") as caught:
        open_store(tmp_path)
    assert caught.value.reason == "no_store"


@pytest.mark.parametrize(
    "cohort",
    [
        ROWS[:2],
        [*ROWS, cohort_row("rsna:x.dcm")],
        ROWS[::-1],
        [*ROWS[:2], cohort_row(ROWS[2].name, sha256="sha256:other")],
    ],
)
def test_the_store_of_another_cohort_is_refused(workspace, cohort):
    write_cohort(workspace / COHORT_PATH, cohort)
    with pytest.raises(CohortError) as caught:
        open_store(workspace)
    assert caught.value.reason == "foreign_store"


@pytest.mark.parametrize("cut", [1, 100, 250])
def test_a_shortened_store_is_refused(workspace, cut):
    path = workspace / IMAGES_PATH
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CohortError) as caught:
        open_store(workspace)
    assert caught.value.reason == "damaged_store"


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8), np.uint8), np.zeros((3, 8, 9), np.uint8), np.zeros((3, 8, 8), np.float32), np.uint8(3)],
)
def test_an_array_of_another_shape_or_kind_is_refused(workspace, images):
    np.save(workspace / IMAGES_PATH, images)
    with pytest.raises(CohortError) as caught:
        open_store(workspace)
    assert caught.value.reason == "damaged_store"


def test_a_pickled_array_is_never_loaded(workspace):
    np.save(workspace / IMAGES_PATH, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CohortError) as caught:
        open_store(workspace)
    assert caught.value.reason == "damaged_store"


def test_rows_may_be_written_in_any_order(workspace):
    before = [(workspace / path).read_bytes() for path in (IMAGES_PATH, INDEX_PATH)]
    write_rows(workspace, ROWS, [(row, pictures()[row]) for row in (2, 0, 1)], size=8)
    assert [(workspace / path).read_bytes() for path in (IMAGES_PATH, INDEX_PATH)] == before


def test_a_write_that_stops_leaves_no_store_and_no_rest(workspace):
    def stops():
        yield pictures()[0]
        raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        write_store(workspace, ROWS, stops(), size=8)
    assert list((workspace / IMAGES_PATH).parent.iterdir()) == []


def test_a_row_that_nobody_wrote_is_no_store(workspace):
    with pytest.raises(ValueError, match="row 1 of 3 was not written"):
        write_rows(workspace, ROWS, [(row, pictures()[row]) for row in (0, 2)], size=8)
    assert list((workspace / IMAGES_PATH).parent.iterdir()) == []


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_row_of_another_length_is_refused_before_it_spoils_its_neighbour(workspace, length):
    with (
        pytest.raises(ValueError, match=f"expected 64 bytes, found {length}"),
        new_store(workspace, ROWS, size=8) as it,
    ):
        it.file.write(1, bytes(length))


def test_a_store_larger_than_the_disk_is_refused_before_a_byte_is_written(tmp_path):
    side = math.isqrt(shutil.disk_usage(tmp_path).total) + 1
    with (
        pytest.raises(CohortError, match=f"needs {3 * side * side} bytes") as caught,
        new_store(tmp_path, ROWS, size=side),
    ):
        raise AssertionError("nobody is asked for rows")
    assert caught.value.reason == "disk_full"
    assert list((tmp_path / IMAGES_PATH).parent.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_disk_that_fills_up_meanwhile_is_an_error_too(workspace):
    (workspace / IMAGES_PATH).with_name(".images.npy.partial").symlink_to("/dev/full")
    with pytest.raises(CohortError) as caught:
        write_store(workspace, ROWS, pictures(), size=8)
    assert caught.value.reason == "disk_full"
    assert list((workspace / IMAGES_PATH).parent.iterdir()) == []
