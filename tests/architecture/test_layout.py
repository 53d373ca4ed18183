"""The layout's own laws: names that must not be shadowed, rooms that hold no code, errors that travel."""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_core import errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("cxr_core", "tasks", "flows")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ERRORS = [getattr(errors, name) for name in errors.__all__]


def test_import_mlflow_is_the_library_also_from_the_root() -> None:
    code = "import mlflow; print(mlflow.__version__, mlflow.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert "site-packages" in result.stdout


@pytest.mark.parametrize("folder", ["mlflow", "infra"])
def test_text_folders_hold_no_python(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=str)
def test_an_init_holds_a_docstring_and_nothing_else(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(module)
    assert len(module.body) == 1


def test_files_stay_under_three_hundred_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert not long


def test_every_module_says_what_is_public() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.name not in ("__init__.py", "__main__.py") and "__all__" not in path.read_text(encoding="utf-8")
    ]
    assert not silent


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_reason_and_hint(kind: type[errors.CxrError]) -> None:
    error = pickle.loads(pickle.dumps(kind("expected a, found b", reason="named", hint="Run c.")))
    assert type(error) is kind
    assert error.as_dict() == {
        "kind": kind.__name__,
        "reason": "named",
        "message": "expected a, found b",
        "hint": "Run c.",
    }


def test_the_drawn_tree_names_every_error() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in ERRORS} - {"CxrError"}


def test_importing_the_command_line_does_not_import_the_heavy_libraries() -> None:
    heavy = ("torch", "mlflow", "prefect", "dvc", "pandas", "sklearn", "matplotlib")
    code = f"import sys, flows.cli; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"
