import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cxr_core
from cxr_core.params import TrainParams
from cxr_core.train.key import MACHINE, TrainKey, explain_difference, identity_of, import_closure, train_key
from tests.cxr_core.train.examples import params_of

PACKAGE = Path(cxr_core.__file__).parent
PARAMS = params_of(
    architecture="resnet34",
    weights="imagenet",
    epochs=10,
    batch_size=16,
    learning_rate=0.001,
    device="auto",
    precision="auto",
    threads=2,
    seed=2021,
)
ASKED: dict[str, Any] = {
    "images": [f"sha256:{row:064x}" for row in range(6)],
    "labels": [0, 1, 2, 0, 1, 2],
    "train_idx": [0, 1, 2],
    "val_idx": [3],
    "test_idx": [4, 5],
    "fold": 0,
    "params": PARAMS,
    "size": 224,
    "device": "cpu",
    "precision": "fp32",
    "weights": "imagenet:resnet34-b627a593.pth",
    "constraints": "sha256:" + "c" * 64,
}


def _key(**changes: Any) -> TrainKey:
    return train_key(**(ASKED | changes))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's source, to change."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "cxr_core", ignore=shutil.ignore_patterns("__pycache__")))


def test_equal_inputs_have_equal_keys() -> None:
    assert _key() == _key()
    assert explain_difference(_key().parts, _key().parts) == []


def _set(**changes: Any) -> TrainParams:
    return PARAMS.replace(**changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": [1, 1, 2, 0, 1, 2]}, "training images or labels: 3 images (sha256:"),
        ({"images": ["sha256:ff", *ASKED["images"][1:]]}, "training images or labels: 3 images (sha256:"),
        ({"train_idx": [0, 1]}, "training images or labels: 3 images (sha256:"),
        ({"train_idx": [1, 0, 2]}, "training images or labels: 3 images (sha256:"),
        ({"val_idx": []}, "validation images or labels: 1 images (sha256:"),
        ({"test_idx": [5, 4]}, "test images or labels: 2 images (sha256:"),
        ({"fold": 1}, "fold: 0 → 1"),
        ({"fold": None}, "fold: 0 → refit"),
        ({"params": _set(epochs=3)}, "train.epochs: 10 → 3"),
        ({"params": _set(batch_size=8)}, "train.batch_size: 16 → 8"),
        ({"params": _set(learning_rate=0.01)}, "train.learning_rate: 0.001 → 0.01"),
        ({"params": _set(architecture="resnet18")}, "train.architecture: resnet34 → resnet18"),
        ({"params": _set(threads=4)}, "train.threads: 2 → 4"),
        ({"params": _set(seed=1)}, "train.seed: 2021 → 1"),
        ({"params": _set(schedule="cosine")}, "train.schedule: constant → cosine"),
        ({"params": _set(weight_decay=0.01)}, "train.weight_decay: 0.0 → 0.01"),
        ({"params": _set(class_weights="balanced")}, "train.class_weights: none → balanced"),
        ({"params": _set(frozen_epochs=2)}, "train.frozen_epochs: 0 → 2"),
        ({"params": _set(patience=3)}, "train.patience: absent → 3"),
        ({"params": _set(cuda_graphs=True)}, "train.cuda_graphs: False → True"),
        ({"device": "cuda"}, "device used: cpu → cuda"),
        ({"follows": ["sha256:" + "e" * 64]}, "folds that the number of epochs follows from: []"),
        ({"size": 96}, "prepare.size: 224 → 96"),
        ({"precision": "bf16"}, "precision used: fp32 → bf16"),
        ({"weights": "none"}, "initial weights: imagenet:resnet34-b627a593.pth → none"),
        ({"constraints": "sha256:" + "d" * 64}, "dependency lock: sha256:cccccccccccc → sha256:dddddddddddd"),
    ],
)
def test_whatever_changes_a_weight_changes_the_key_and_is_named(changes: dict[str, Any], sentence: str) -> None:
    before, after = _key(), _key(**changes)
    assert after.digest != before.digest
    (found,) = explain_difference(after.parts, before.parts)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"labels": [1, 1, 2, 0, 1, 2]}, "data"),
        ({"test_idx": [5, 4]}, "data"),
        ({"fold": None}, "fold"),
        ({"params": _set(epochs=3)}, "configuration"),
        ({"follows": ["sha256:e"]}, "configuration"),
        ({"params": _set(seed=1)}, "seed"),
        ({"params": _set(threads=4)}, "threads"),
        ({"precision": "bf16"}, "precision"),
        ({"weights": "none"}, "weights"),
        ({"constraints": "sha256:" + "d" * 64}, "libraries"),
    ],
)
def test_whose_a_state_is_tells_by_name_what_has_changed(changes: dict[str, Any], name: str) -> None:
    before = identity_of(_key(), device_name="cpu AVX512")
    after = identity_of(_key(**changes), device_name="cpu AVX512")
    assert [each for each in before if before[each] != after[each]] == [name]
    assert set(MACHINE) < set(before)
    elsewhere = identity_of(_key(), device_name="cpu AVX2")
    assert [each for each in before if before[each] != elsewhere[each]] == ["device"]


def test_how_weights_device_and_precision_were_asked_for_does_not_matter_only_what_they_came_to() -> None:
    asked = _set(weights="registry:cxr-resnet34@champion", device="cpu", precision="fp32")
    assert _key(params=asked) == _key()


def test_parts_survive_json() -> None:
    key = _key()
    assert explain_difference(key.parts, json.loads(json.dumps(key.parts))) == []


def test_the_codes_closure_holds_what_trains_and_nothing_of_other_rooms() -> None:
    names = set(_key().parts["code"])
    assert {
        "cxr_core/__init__.py",
        "cxr_core/classes.py",
        "cxr_core/digests.py",
        "cxr_core/errors.py",
        "cxr_core/files.py",
        "cxr_core/params.py",
        "cxr_core/model/__init__.py",
        "cxr_core/model/checkpoint.py",
        "cxr_core/model/network.py",
        "cxr_core/model/vision.py",
        "cxr_core/model/weights.py",
        "cxr_core/train/__init__.py",
        "cxr_core/train/fold.py",
        "cxr_core/train/loop.py",
    } <= names
    rooms = {name.split("/")[1] for name in names if name.count("/") == 2}
    assert rooms == {"model", "train"}
    assert "cxr_core/train/key.py" not in names


def test_the_closure_covers_every_module_that_training_really_imports() -> None:
    program = (
        "import json, sys, cxr_core.train.fold as _; from cxr_core.model.network import build; "
        "build('resnet18', seed=0); "
        "print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'cxr_core']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    loaded = {Path(name).relative_to(PACKAGE.parent).as_posix() for name in json.loads(done.stdout)}
    assert loaded == set(_key().parts["code"])


def test_a_changed_byte_in_any_file_of_the_closure_changes_the_key_and_is_named(copy: Path) -> None:
    before = _key(package=copy)
    assert before == _key()
    for name in before.parts["code"]:
        path = copy.parent / name
        original = path.read_bytes()
        path.write_bytes(original + b"#")
        after = _key(package=copy)
        assert after.digest != before.digest
        (found,) = explain_difference(after.parts, before.parts)
        assert found.startswith(f"code {name}: sha256:")
        path.write_bytes(original)


def test_a_change_in_another_room_does_not_change_the_key(copy: Path) -> None:
    before = _key(package=copy)
    for name in ("promote/__init__.py", "curate/__init__.py", "train/key.py"):
        path = copy / name
        path.write_bytes(path.read_bytes() + b"# changed\n")
    (copy / "evaluate" / "novel.py").write_text("import cxr_core.train.fold\n")
    assert _key(package=copy) == before


def test_imports_are_followed_in_every_form(tmp_path: Path) -> None:
    package = tmp_path / "cxr_core"
    sources = {
        "__init__.py": "",
        "train/__init__.py": "from cxr_core.deep import *",
        "train/fold.py": "import os\nfrom . import near\nfrom ..plain import value\nimport cxr_core.dotted as d\n",
        "train/near.py": "def late():\n    from cxr_core import lazy\n",
        "plain.py": "if False:\n    from cxr_core.room.module import name\n",
        "dotted.py": "import json, cxr_core.room.other\n",
        "deep.py": "",
        "lazy.py": "import cxr_core.train.fold\n",
        "room/__init__.py": "",
        "room/module.py": "",
        "room/other.py": "from cxr_core.nowhere import nothing\n",
        "room/unused.py": "",
        "unused.py": "import cxr_core.room.unused\n",
    }
    for name, text in sources.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    expected = {f"cxr_core/{name}" for name in sources} - {"cxr_core/room/unused.py", "cxr_core/unused.py"}
    assert set(import_closure(package)) == expected


def test_naming_a_training_needs_no_torch() -> None:
    closure = import_closure(PACKAGE, entry="cxr_core.train.key")
    text = "".join((PACKAGE.parent / name).read_text() for name in closure)
    assert "import torch" not in text
