from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_file
from cxr_core.errors import TrackingError
from cxr_core.model.inference import Classifier
from tasks.adapters.bundle import log_model, pyfunc
from tasks.adapters.references import LoggedModelRef
from tasks.adapters.registry import WEIGHTS_FILE, ModelReference, Registry, model_folder
from tasks.adapters.tracking import Tracker
from tests.tasks.adapters.mlflow_stores import PROVENANCE, dicom, encoded, small_checkpoint, store_at

ROOT = Path(__file__).resolve().parents[3]
MODEL = "cxr-resnet34"
FILES = {"png": encoded("PNG"), "jpeg": encoded("JPEG"), "dicom": dicom()}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of a small network mostly wait for each other where tests share a machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    return store_at(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "fold-refit.safetensors"
    small_checkpoint(path)
    return path


def logged(tracker: Tracker, weights: Path, root: Path = ROOT, temperature: float | None = None) -> LoggedModelRef:
    with tracker.run("refit", kind="refit", provenance=PROVENANCE) as run:
        return log_model(
            tracker.client,
            run_id=run.id,
            name=MODEL,
            weights=weights,
            example=FILES["png"],
            tags={"cxr.commit": "a" * 40},
            temperature=temperature,
            root=root,
        )


@pytest.fixture(scope="module")
def model(tracker: Tracker, weights: Path) -> LoggedModelRef:
    return logged(tracker, weights)


@pytest.fixture(scope="module")
def folder(tracker: Tracker, model: LoggedModelRef, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tracker.client, model.model_id, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> pyfunc.PyFuncModel:
    return pyfunc.load_model(str(folder))


def test_the_model_is_an_output_of_its_run_and_ready(tracker: Tracker, model: LoggedModelRef, weights: Path) -> None:
    (output,) = tracker.client.get_run(model.run_id).outputs.model_outputs
    assert output.model_id == model.model_id
    entity = tracker.client.get_logged_model(model.model_id)
    assert (entity.name, str(entity.status), entity.source_run_id) == (MODEL, "READY", model.run_id)
    assert entity.tags["cxr.weights"] == model.weights == digest_file(weights)


def test_there_is_no_pickle_and_no_temporary_path_in_it(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".py", ".json", ".yaml", ".txt", ".safetensors"}
    for path in files:
        content = path.read_bytes()
        # How a pickle (protocol 2 and later) and a zip archive of torch.save begin.
        assert not content.startswith((b"\x80", b"PK")), path
        if path.suffix != ".safetensors":
            described = content.replace(str(folder).encode(), b"")
            assert tempfile.gettempdir().encode() not in described, path
            assert str(ROOT).encode() not in content, path


def test_it_says_what_it_takes_gives_and_needs(folder: Path, loaded: pyfunc.PyFuncModel) -> None:
    signature = loaded.metadata.signature
    assert [(one.name, one.type.name) for one in signature.inputs] == [("image", "binary")]
    assert [(one.name, one.type.name) for one in signature.outputs] == [
        *((slug, "double") for slug in CLASSES),
        ("label", "string"),
    ]
    assert loaded.input_example["image"].tolist() == [FILES["png"]]
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert set(pinned) >= {"imagecodecs", "mlflow", "numpy", "pandas", "pillow", "safetensors", "torch", "torchvision"}
    assert all(version and "+" not in version for version in pinned.values())


ISOLATED = """
import base64, importlib.abc, json, os, sys

class Absent(importlib.abc.MetaPathFinder):
    # As where the repository was never installed; an editable install would else be seen in any directory.
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cxr_core", "tasks", "flows"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/cxr-resnet34@champion")
files = {name: base64.b64decode(text) for name, text in json.load(sys.stdin).items()}
table = model.predict(pandas.DataFrame({"image": list(files.values())}))
print(json.dumps(table.to_dict("list")))
"""


def test_it_answers_where_this_repository_is_not_installed_and_pickles_are_refused(
    tracker: Tracker, model: LoggedModelRef, weights: Path, tmp_path: Path
) -> None:
    registry = Registry(tracker.client)
    version = registry.register(model, name=MODEL, commit="a", data="d", evidence="e", description="")
    registry.set_alias(MODEL, "champion", version.version)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MLFLOW"))}
    env |= {"MLFLOW_TRACKING_URI": tracker.uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", ISOLATED],
        cwd=tmp_path,
        env=env | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        input=json.dumps({name: base64.b64encode(data).decode() for name, data in FILES.items()}),
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    wanted = Classifier.load(weights).predict(list(FILES.values()))
    np.testing.assert_allclose(np.column_stack([table[slug] for slug in CLASSES]), wanted, rtol=0, atol=1e-6)
    assert table["label"] == [CLASSES[index] for index in wanted.argmax(axis=1)]


def test_beside_this_repository_it_runs_its_own_code(
    folder: Path, loaded: pyfunc.PyFuncModel, model: LoggedModelRef
) -> None:
    classifier = loaded.unwrap_python_model()._classifier
    assert type(classifier) is not Classifier
    assert type(classifier).__module__ == f"{model.package}.model.inference"
    assert Path(sys.modules[model.package].__file__).is_relative_to(folder)


def test_two_versions_in_one_process_each_run_their_own_code(
    tracker: Tracker, loaded: pyfunc.PyFuncModel, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "cxr_core", tmp_path / "cxr_core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tasks" / "adapters", tmp_path / "tasks" / "adapters")
    inference = tmp_path / "cxr_core" / "model" / "inference.py"
    inference.write_text(inference.read_text() + "\n\nClassifier.classes = property(lambda self: CLASSES[::-1])\n")
    other = model_folder(tracker.client, logged(tracker, weights, tmp_path).model_id, tmp_path)
    image = pd.DataFrame({"image": [FILES["png"]]})
    ours, theirs = loaded.predict(image), pyfunc.load_model(str(other)).predict(image)
    assert ours["covid"].tolist() == theirs["normal"].tolist() != ours["normal"].tolist()
    assert loaded.predict(image).equals(ours)


def test_the_same_sources_are_one_package_whatever_the_weights(
    tracker: Tracker, model: LoggedModelRef, loaded: pyfunc.PyFuncModel, tmp_path: Path
) -> None:
    small_checkpoint(tmp_path / "other.safetensors", seed=2)
    second = logged(tracker, tmp_path / "other.safetensors")
    assert second.package == model.package
    assert second.weights != model.weights
    image = pd.DataFrame({"image": [FILES["png"]]})
    theirs = pyfunc.load_model(str(model_folder(tracker.client, second.model_id, tmp_path))).predict(image)
    assert theirs["covid"].tolist() != loaded.predict(image)["covid"].tolist()


def test_logging_a_model_leaves_the_process_as_it_was(tracker: Tracker, weights: Path) -> None:
    path, modules = list(sys.path), {name for name in sys.modules if name.startswith("cxr_model_")}
    logged(tracker, weights)
    assert sys.path == path
    assert {name for name in sys.modules if name.startswith("cxr_model_")} == modules


@pytest.mark.parametrize("form", [list, pd.Series, lambda images: [base64.encodebytes(i).decode() for i in images]])
def test_images_are_taken_in_every_form_that_serving_sends(
    loaded: pyfunc.PyFuncModel, weights: Path, form: Callable[[list[bytes]], object]
) -> None:
    images = list(FILES.values())
    table = loaded.predict(pd.DataFrame({"image": form(images)}))
    wanted = Classifier.load(weights).predict(images)
    np.testing.assert_allclose(table[list(CLASSES)].to_numpy(), wanted, rtol=0, atol=1e-6)
    unwrapped = loaded.unwrap_python_model().predict(None, images)
    assert unwrapped["label"].tolist() == table["label"].tolist()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [(b"", "empty"), (b"no image at all", "not_an_image"), (FILES["jpeg"][:200], "truncated"), ("%%", "not_base64")],
)
def test_a_broken_image_is_refused_with_its_row_and_reason(
    loaded: pyfunc.PyFuncModel, broken: object, reason: str
) -> None:
    frame = pd.DataFrame({"image": [FILES["png"], broken, FILES["png"]]})
    with pytest.raises(MlflowException, match=f"{reason}: Image 1") as caught:
        loaded.predict(frame)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_weights_with_one_other_byte_are_refused_at_loading(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    content = bytearray((copy / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(Exception, match="sha256:") as caught:
        pyfunc.load_model(str(copy))
    assert type(caught.value).__name__ == "WeightsError"


def test_a_model_that_does_not_answer_its_example_is_never_ready(
    tracker: Tracker, weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "cxr_core", tmp_path / "cxr_core", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tasks" / "adapters", tmp_path / "tasks" / "adapters")
    inference = tmp_path / "cxr_core" / "model" / "inference.py"
    inference.write_text(
        inference.read_text() + "\n\nClassifier.predict = lambda self, images: np.full((len(images), 3), np.nan)\n"
    )
    with pytest.raises(TrackingError) as caught:
        logged(tracker, weights, tmp_path)
    assert caught.value.reason == "model_does_not_answer"
    statuses = [str(one.status) for one in tracker.client.search_logged_models([tracker.experiment_id])]
    assert statuses.count("FAILED") == 1
    (failed,) = tracker.search({"cxr.reason": "model_does_not_answer"})
    assert tracker.client.get_run(failed.run_id).outputs.model_outputs == []


def test_weights_come_back_from_the_registry_as_the_checkpoint_they_were(
    tracker: Tracker, model: LoggedModelRef, weights: Path, tmp_path: Path
) -> None:
    registry = Registry(tracker.client)
    version = registry.register(model, name="fetched", commit="a", data="d", evidence="e", description="")
    registry.fetch_weights(ModelReference(name="fetched", version=version.version), tmp_path / "back.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == weights.read_bytes()


def test_a_calibrated_model_answers_at_its_temperature_and_its_version_says_which(
    tracker: Tracker, weights: Path, loaded: pyfunc.PyFuncModel, tmp_path: Path
) -> None:
    model = logged(tracker, weights, temperature=1.5)
    frame = pd.DataFrame({"image": [FILES["png"]]})
    served = pyfunc.load_model(str(model_folder(tracker.client, model.model_id, tmp_path))).predict(frame)
    expected = Classifier.load(weights, temperature=1.5).predict([FILES["png"]])
    np.testing.assert_allclose(served[list(CLASSES)].to_numpy(), expected, rtol=1e-6)
    assert not np.allclose(served[list(CLASSES)].to_numpy(), loaded.predict(frame)[list(CLASSES)].to_numpy())
    registry = Registry(tracker.client)
    version = registry.register(
        model, name="calibrated", commit="a" * 40, data="sha256:", evidence="sha256:", description=""
    )
    assert version.temperature == 1.5
