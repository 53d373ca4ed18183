import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cxr_core
from cxr_core.errors import ImageError, WeightsError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.model import checkpoint
from cxr_core.model.inference import Classifier
from cxr_core.model.network import build
from cxr_core.train.key import import_closure
from tests.cxr_core.model.examples import striped_images

SIZE = 32


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("served") / "model.safetensors"
    about = checkpoint.About(architecture="resnet18", size=SIZE, precision="fp32")
    return path, checkpoint.save(path, build("resnet18", seed=1), about)


def _file(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def test_a_files_bytes_and_its_row_of_the_store_have_equal_probabilities(saved: tuple[Path, str]) -> None:
    pictures, _ = striped_images(4, size=75)
    files = [_file(picture, kind) for picture, kind in zip(pictures, ["PNG", "JPEG", "PNG", "JPEG"], strict=True)]
    store = np.stack([resize(decode(data).pixels, SIZE) for data in files])
    classifier = Classifier.load(saved[0], digest=saved[1])
    found = classifier.predict(files)
    np.testing.assert_array_equal(found, classifier.predict_store(store))
    assert found.shape == (4, 3)
    assert len(np.unique(found[:, 0])) == 4


def test_no_files_give_no_rows(saved: tuple[Path, str]) -> None:
    assert Classifier.load(saved[0]).predict([]).shape == (0, 3)


def test_a_file_that_cannot_be_used_is_named_by_its_place(saved: tuple[Path, str]) -> None:
    whole = _file(striped_images(1, size=75)[0][0], "PNG")
    with pytest.raises(ImageError, match="Image 1 of 2") as caught:
        Classifier.load(saved[0]).predict([whole, b"GIF89a"])
    assert caught.value.reason == "not_an_image"


def test_another_checkpoint_than_the_one_asked_for_is_refused(saved: tuple[Path, str]) -> None:
    with pytest.raises(WeightsError) as caught:
        Classifier.load(saved[0], digest="sha256:" + "0" * 64)
    assert caught.value.reason == "digest_mismatch"


def test_the_precision_is_the_trained_one_unless_asked_otherwise(saved: tuple[Path, str]) -> None:
    assert Classifier.load(saved[0]).precision == "fp32"
    assert Classifier.load(saved[0], precision="bf16").precision == "bf16"


def test_a_temperature_divides_the_class_scores_and_one_changes_no_bit(saved: tuple[Path, str]) -> None:
    images, _ = striped_images(3, size=SIZE)
    plain = Classifier.load(saved[0]).predict_store(images)
    np.testing.assert_array_equal(Classifier.load(saved[0], temperature=1.0).predict_store(images), plain)
    softer = Classifier.load(saved[0], temperature=2.0).predict_store(images)
    roots = np.sqrt(plain)
    np.testing.assert_allclose(softer, roots / roots.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_temperature_is_refused(saved: tuple[Path, str], temperature: float) -> None:
    with pytest.raises(WeightsError) as caught:
        Classifier.load(saved[0], temperature=temperature)
    assert caught.value.reason == "bad_temperature"


def test_its_import_closure_alone_serves_without_this_repository(saved: tuple[Path, str], tmp_path: Path) -> None:
    package = Path(cxr_core.__file__).parent
    for name in import_closure(package, entry="cxr_core.model.inference"):
        target = tmp_path / "bundle" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package.parent / name, target)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "bundle")!r})
import cxr_core
from pathlib import Path
from cxr_core.model.inference import Classifier
assert cxr_core.__file__.startswith({str(tmp_path)!r}), cxr_core.__file__
heavy = {{"pydantic", "ruamel", "mlflow", "prefect", "dvc", "sklearn", "pandas", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
print(Classifier.load(Path({str(saved[0])!r})).digest)
"""
    done = subprocess.run([sys.executable, "-I", "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == saved[1]
