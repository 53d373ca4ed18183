"""dvc.yaml depends on what a stage runs: its entry point's import closure, and the outputs of the stages before it.

Code that a stage imports but does not list never triggers a rerun; code that it lists but does not import triggers
needless ones. Both are faults. The packages' ``__init__`` files are left out: they hold a docstring and nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grimp
import pytest
from ruamel.yaml import YAML

from cxr_core.classes import SOURCES
from cxr_core.params import Params

ROOT = Path(__file__).parents[2]
DVC: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
STAGES = ("ingest", "curate", "prepare", "split")
RAW = [f"data/raw/{source}" for source in SOURCES]
DATA = {"ingest": [], "curate": RAW, "prepare": [*RAW, "data/cohort"], "split": ["data/cohort"]}
OUTPUTS = {"curate": "data/cohort", "prepare": "data/store", "split": "data/split"}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("cxr_core", cache_dir=None)


def _closure(graph: grimp.ImportGraph, stage: str) -> set[str]:
    entry = f"cxr_core.{stage}.stage"
    modules = graph.find_upstream_modules(entry) | {entry}
    paths = {module.replace(".", "/") + ".py" for module in modules}
    return {path for path in paths if (ROOT / path).is_file()}


def test_the_stages_are_the_four_words() -> None:
    assert tuple(DVC) == STAGES
    assert DVC["ingest"]["matrix"] == {"source": list(SOURCES)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(stage: str, graph: grimp.ImportGraph) -> None:
    listed = [dep for dep in DVC[stage]["deps"] if dep.endswith(".py")]
    closure = _closure(graph, stage)
    missing = "".join(f"\n      - {path}" for path in sorted(closure - set(listed)))
    needless = "".join(f"\n      - {path}" for path in sorted(set(listed) - closure))
    assert set(listed) == closure, f"{stage}.deps in dvc.yaml lacks:{missing}\nand does not need:{needless}"
    assert listed == sorted(listed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_data_before_it(stage: str) -> None:
    assert [dep for dep in DVC[stage]["deps"] if not dep.endswith(".py")] == DATA[stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_its_own_section_of_the_parameters(stage: str) -> None:
    sections = [name for name in DVC[stage]["params"] if isinstance(name, str)]
    assert sections == [stage]
    assert stage in Params.__struct_fields__


@pytest.mark.parametrize("stage", sorted(OUTPUTS))
def test_a_stage_writes_its_own_folder(stage: str) -> None:
    assert DVC[stage]["outs"] == [OUTPUTS[stage]]
    assert DVC[stage]["cmd"] == f"python -m cxr_core {stage}"


def test_dvc_reads_the_file_and_expands_the_sources(tmp_path: Path) -> None:
    for name in ("dvc.yaml", "params.yaml", "data/sources.lock.yaml", ".dvcignore", ".gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=60)
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "stage", "list", "--name-only"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert listed.stdout.split() == [*(f"ingest@{source}" for source in SOURCES), *STAGES[1:]]
