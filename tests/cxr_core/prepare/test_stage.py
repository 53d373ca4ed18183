import io

import numpy as np
import pytest
from PIL import Image

from cxr_core.curate.cohort import COHORT_PATH, write_cohort
from cxr_core.digests import digest_bytes
from cxr_core.errors import CohortError
from cxr_core.files import write_bytes
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.prepare.stage import run
from cxr_core.prepare.store import IMAGES_PATH, INDEX_PATH, open_store
from tests.cxr_core.curate.build import cohort_row, params

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
    assert summary == {"images": N, "size": 32, "digest": digest_bytes((workspace / IMAGES_PATH).read_bytes())}


def test_any_number_of_processes_gives_the_same_bytes_and_every_step_is_told(workspace):
    told = []
    run(workspace=workspace, params=SMALL, workers=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, N) for i in range(1, N + 1)]
    spread = [(workspace / path).read_bytes() for path in (IMAGES_PATH, INDEX_PATH)]
    run(workspace=workspace, params=SMALL, workers=1)
    assert [(workspace / path).read_bytes() for path in (IMAGES_PATH, INDEX_PATH)] == spread


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
