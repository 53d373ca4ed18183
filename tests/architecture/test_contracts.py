"""The import contracts hold, and each one notices when it is broken."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# One breach a contract: the file it is written to, the line, and the contract that must name it.
BREACHES = {
    "sides": ("tasks/settings.py", "import flows.cli"),
    "rooms": ("cxr_core/stats/samplesize.py", "import cxr_core.curate.labels"),
    "pure-core": ("cxr_core/digests.py", "import subprocess"),
    "deciding-without-torch": ("cxr_core/promote/decide.py", "import torch"),
    "mlflow": ("tasks/adapters/git.py", "import mlflow"),
    "dvc": ("tasks/adapters/dvc.py", "import dvc.api"),
}


def _lint(root: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)


def _contracts() -> dict[str, str]:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    prefix = "importlinter:contract:"
    return {name.removeprefix(prefix): config[name]["name"] for name in config.sections() if name.startswith(prefix)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("cxr_core", "tasks", "flows"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_every_contract_is_kept() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_every_contract_has_a_breach_to_notice() -> None:
    assert set(BREACHES) == set(_contracts())


@pytest.mark.parametrize("contract", sorted(BREACHES))
def test_a_breach_is_caught_by_its_contract(contract: str, copy: Path) -> None:
    file, line = BREACHES[contract]
    target = copy / file
    target.write_text(target.read_text(encoding="utf-8") + f"\n{line}\n", encoding="utf-8")
    result = _lint(copy)
    assert result.returncode == 1
    assert f"{_contracts()[contract]} BROKEN" in " ".join(result.stdout.split())


def test_a_room_without_a_place_is_caught(copy: Path) -> None:
    (copy / "cxr_core" / "utils.py").write_text('"""Anything."""\n', encoding="utf-8")
    result = _lint(copy)
    assert result.returncode == 1
    assert "utils" in result.stdout
