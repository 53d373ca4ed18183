from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.errors import TrackingError
from tasks.adapters.travelling_code import collect, requirements

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = "def load():\n    from cxr_core.room.entry import answer\n    return answer\n"

SOURCES = {
    "__init__.py": '"""cxr_core."""\n',
    "errors.py": "import os\n",
    "unused.py": "import prefect\n",
    "room/__init__.py": '"""A room."""\n',
    "room/entry.py": (
        "from __future__ import annotations\nimport numpy as np\n"
        "from cxr_core.errors import os\nfrom . import beside\nfrom .. import above\n\n\n"
        "def answer():\n    from PIL import Image\n    import cxr_core.late\n    return 'cxr_core my_cxr_core_x'\n"
    ),
    "room/beside.py": "X = 1\n",
    "above.py": "from .errors import os\n",
    "late.py": "import pydicom.dataset\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / "cxr_core" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_module_that_is_imported_anywhere_travels_and_no_other(root: Path) -> None:
    code = collect(root, "cxr_core.room.entry", SCRIPT)
    assert set(code.files) == set(SOURCES) - {"unused.py"}
    assert code.imports == ("PIL", "numpy", "pydicom")


def test_every_mention_of_the_package_becomes_the_new_name(root: Path, tmp_path: Path) -> None:
    code = collect(root, "cxr_core.room.entry", SCRIPT)
    entry = code.files["room/entry.py"]
    assert f"from {code.name}.errors import os" in entry
    assert f"'{code.name} my_cxr_core_x'" in entry
    assert f"from {code.name}.room.entry import answer" in code.script
    assert (code.write(tmp_path / "out") / "room" / "entry.py").read_text() == entry


def test_equal_sources_have_equal_names_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    twin = tmp_path / "elsewhere"
    for name, text in SOURCES.items():
        (twin / "cxr_core" / name).parent.mkdir(parents=True, exist_ok=True)
        (twin / "cxr_core" / name).write_text(text)
    assert collect(root, "cxr_core.room.entry", SCRIPT) == collect(twin, "cxr_core.room.entry", SCRIPT)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"unused.py"}))
def test_one_changed_character_in_any_file_changes_the_name(root: Path, name: str) -> None:
    before = collect(root, "cxr_core.room.entry", SCRIPT).name
    (root / "cxr_core" / name).write_text(SOURCES[name] + "#")
    assert collect(root, "cxr_core.room.entry", SCRIPT).name != before


def test_a_changed_script_changes_the_name_and_an_unused_module_does_not(root: Path) -> None:
    before = collect(root, "cxr_core.room.entry", SCRIPT).name
    assert collect(root, "cxr_core.room.entry", SCRIPT + "#").name != before
    (root / "cxr_core" / "unused.py").write_text("X = 2\n")
    assert collect(root, "cxr_core.room.entry", SCRIPT).name == before


def test_a_module_that_is_not_there_is_named(root: Path) -> None:
    (root / "cxr_core" / "late.py").unlink()
    with pytest.raises(TrackingError, match=r"cxr_core\.late") as caught:
        collect(root, "cxr_core.room.entry", SCRIPT)
    assert caught.value.reason == "module_missing"


def test_a_served_model_carries_no_trainer_tracker_or_orchestrator() -> None:
    script = (ROOT / "tasks" / "adapters" / "model_script.py").read_text()
    code = collect(ROOT, "cxr_core.model.inference", script)
    assert {name.partition("/")[0] for name in code.files if "/" in name} == {"imaging", "model"}
    assert set(code.imports) == {
        "PIL",
        "imagecodecs",
        "mlflow",
        "numpy",
        "pandas",
        "safetensors",
        "torch",
        "torchvision",
    }


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=30, max_size=40))
def test_an_import_that_nothing_installed_provides_is_refused(name: str) -> None:
    with pytest.raises(TrackingError, match=name) as caught:
        requirements(("numpy", name))
    assert caught.value.reason == "unknown_requirement"
