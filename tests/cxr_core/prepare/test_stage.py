import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_core.curate.cohort import COHORT_PATH, read_cohort, write_cohort
from cxr_core.digests import digest_bytes, digest_value
from cxr_core.errors import CohortError
from cxr_core.files import write_bytes
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.memo import Memo, code_files
from cxr_core.prepare import stage
from cxr_core.prepare.pack import SHARD_IMAGES, Original, shards
from cxr_core.prepare.stage import run
from cxr_core.prepare.store import IMAGES_PATH, INDEX_PATH, RowFile, open_store
from cxr_core.train.key import import_closure
from tests.cxr_core.curate.build import cohort_row, params
from tests.cxr_core.prepare import work

PACKAGE = Path(stage.__file__).parents[1]

SMALL = params("prepare.size=32")
N = 70


def encoded(i):
    pixels = np.random.default_rng(i).integers(0, 256, (90 + i, 80), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG" if i % 2 else "JPEG")
    return out.getvalue()


@pytest.fixture
def workspace(tmp_path):
    rows = []
    for i in range(N):
        data = encoded(i)
        source = ("sirm", "kaggle")[i % 2]
        write_bytes(tmp_path / "data/raw" / source / "files" / f"deep/folder/{i}.img", data)
        rows.append(cohort_row(f"{source}:deep/folder/{i}.img", sha256=digest_bytes(data)))
    write_cohort(tmp_path / COHORT_PATH, sorted(rows, key=lambda row: row.sha256))
    return tmp_path


def test_row_i_is_cohort_row_i_at_the_network_s_size(workspace):
    summary = run(workspace=workspace, params=SMALL, workers=1)
    store = open_store(workspace)
    assert store.images.shape == (N, 32, 32)
    for row in store.index:
        number = int(row.name.rsplit("/", 1)[1].removesuffix(".img"))
        expected = resize(decode(encoded(number)).pixels, 32)
        np.testing.assert_array_equal(store.images[row.row], expected)
    digest = digest_value([row.tensor_sha256 for row in store.index])
    assert summary == {"images": N, "size": 32, "digest": digest}


def test_any_number_of_processes_gives_the_same_bytes_and_every_step_is_told(workspace):
    told = []
    run(workspace=workspace, params=SMALL, workers=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, N) for i in range(1, N + 1)]
    spread = stored(workspace)
    run(workspace=workspace, params=SMALL, workers=1)
    assert stored(workspace) == spread


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Names of the images that were decoded since this was last asked, whichever process did it."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told.txt"))
    monkeypatch.setattr(stage, "pack", work.told)

    def names() -> list[str]:
        file = tmp_path / "told.txt"
        said = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return said

    return names


def stored(workspace):
    return [(workspace / path).read_bytes() for path in (IMAGES_PATH, INDEX_PATH)]


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_that_a_memo_knows_are_not_decoded_and_the_store_is_the_same(workspace, told, workers):
    summary = run(workspace=workspace, params=SMALL, workers=1)
    without = stored(workspace)
    assert len(told()) == N
    for decoded in (N, 0):
        with Memo(workspace / "cache") as memo:
            assert run(workspace=workspace, params=SMALL, workers=workers, memo=memo) == summary
            assert (memo.reused, memo.added) == (N - decoded, decoded)
        assert len(told()) == decoded
        assert stored(workspace) == without


def test_one_image_more_is_one_image_decoded(workspace, told):
    with Memo(workspace / "cache") as memo:
        run(workspace=workspace, params=SMALL, memo=memo)
    told()
    data = encoded(1000)
    write_bytes(workspace / "data/raw/rsna/files/new.dcm", data)
    rows = read_cohort(workspace / COHORT_PATH)
    rows.insert(10, cohort_row("rsna:new.dcm", sha256=digest_bytes(data)))
    write_cohort(workspace / COHORT_PATH, rows)
    with Memo(workspace / "cache") as memo:
        run(workspace=workspace, params=SMALL, memo=memo)
    assert told() == ["rsna:new.dcm"]
    with_memo = stored(workspace)
    run(workspace=workspace, params=SMALL)
    assert stored(workspace) == with_memo


def test_another_size_or_other_code_knows_no_picture(workspace, told, monkeypatch):
    def decoded(parameters=SMALL):
        with Memo(workspace / "cache") as memo:
            run(workspace=workspace, params=parameters, memo=memo)
        return len(told())

    assert decoded() == N
    assert decoded(params("prepare.size=33")) == N
    monkeypatch.setattr(stage, "CODE", (*stage.CODE, "files.py"))
    assert decoded() == N
    assert decoded() == 0


def test_a_ruined_memo_changes_nothing_but_the_time(workspace, told):
    with Memo(workspace / "cache") as memo:
        run(workspace=workspace, params=SMALL, memo=memo)
    right = stored(workspace)
    file = workspace / "cache" / "memo-1.sqlite"
    data = bytearray(file.read_bytes())
    for place in range(20_000, len(data), 7_000):
        data[place] ^= 255
    file.write_bytes(data)
    told()
    with Memo(workspace / "cache") as memo:
        run(workspace=workspace, params=SMALL, memo=memo)
    assert told()
    assert stored(workspace) == right


def test_the_code_that_names_a_picture_is_all_that_makes_it():
    closure = import_closure(PACKAGE, entry="cxr_core.prepare.pack")
    named = {path.relative_to(PACKAGE.parent).as_posix() for path in code_files(stage.CODE)}
    # These bring a picture into the store and say what is wrong; they have no part in its pixels.
    beside = {"classes", "curate/cohort", "errors", "files", "prepare/store"}
    modules = {path for path in closure if not path.endswith("__init__.py")}
    assert modules - named == {f"cxr_core/{name}.py" for name in beside}


@pytest.mark.timeout(120)
def test_an_image_that_ends_its_worker_stops_the_stage_by_name(workspace, monkeypatch):
    monkeypatch.setattr(stage, "pack", work.dies_at_69)
    with pytest.raises(CohortError, match=r"kaggle:deep/folder/69\.img.*decoder_died") as caught:
        run(workspace=workspace, params=SMALL, workers=2)
    assert caught.value.reason == "worker_killed"
    assert not (workspace / IMAGES_PATH).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_disk_that_fills_up_in_a_worker_is_our_error(workspace, monkeypatch):
    monkeypatch.setattr(stage, "pack", work.fills_the_disk)
    with pytest.raises(CohortError) as caught:
        run(workspace=workspace, params=SMALL, workers=2)
    assert caught.value.reason == "disk_full"


def test_shards_hold_every_image_once_in_order_and_end_small():
    images = [Original(row=i, name=f"{i}", path=Path(f"{i}"), sha256="") for i in range(3000)]
    file = RowFile(path=Path("x"), start=0, row_bytes=4)
    made = list(shards(images, file, size=2, workers=2))
    assert [each for shard in made for each in shard.originals] == images
    sizes = [len(shard.originals) for shard in made]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (SHARD_IMAGES, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_original_that_changed_is_named_and_no_store_is_left(workspace, workers):
    run(workspace=workspace, params=SMALL, workers=1)
    path = workspace / "data/raw/kaggle/files/deep/folder/69.img"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    with pytest.raises(CohortError, match=r"kaggle:deep/folder/69\.img: expected sha256:") as caught:
        run(workspace=workspace, params=SMALL, workers=workers)
    assert caught.value.reason == "original_changed"
    assert not (workspace / IMAGES_PATH).exists()


def test_an_original_that_is_gone_is_named(workspace):
    (workspace / "data/raw/sirm/files/deep/folder/0.img").unlink()
    with pytest.raises(CohortError, match=r"sirm:deep/folder/0\.img") as caught:
        run(workspace=workspace, params=SMALL, workers=1)
    assert caught.value.reason == "original_missing"


def test_no_cohort_no_store(tmp_path):
    with pytest.raises(CohortError, match="dvc repro curate"):
        run(workspace=tmp_path, params=SMALL)
