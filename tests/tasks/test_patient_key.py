"""Another patient key makes every source be read again, by the real DVC; the same key never does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cxr_core.ingest.key import key_identity
from cxr_core.ingest.pins import PINS_PATH
from cxr_core.ingest.record import read_records
from cxr_core.params import override_params, read_params
from tasks.adapters.dvc_config import write_local_config
from tasks.adapters.workspace import Workspace
from tasks.reproduce import reproduce
from tasks.run import Run
from tasks.settings import Home
from tests.cxr_core.imaging.pictures import png, ramp
from tests.cxr_core.ingest.build import fill, pinned_workspace

ROOT = Path(__file__).parents[2]
CASES = "case,file,finding,view,sex,age,url,license\n1,a/1.png,COVID-19,PA,M,60,,\n2,a/2.png,COVID-19,PA,F,50,,\n"
KEYS = ("the first key of a hospital", "another key, years later")


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A workspace of one source, with this tree's stages, as a retrain would have it."""
    fill(tmp_path / "sources" / "sirm", {"cases.csv": CASES, "a/1.png": png(ramp()), "a/2.png": b"no picture"})
    monkeypatch.setenv("CXR_SOURCES", str(tmp_path / "sources"))
    path = tmp_path / "workspace"
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", ".dvc/config"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, path / name)
    shutil.copytree(ROOT / "cxr_core", path / "cxr_core", ignore=shutil.ignore_patterns("__pycache__"))
    pinned_workspace(path, tmp_path / "sources")
    # As the checkout ships it: no key named yet.
    (path / PINS_PATH).write_text((path / PINS_PATH).read_text() + "patient_key: null\n")
    subprocess.run(["git", "init", "--quiet", str(path)], check=True, timeout=60)
    home = Home(root=tmp_path / "home")
    write_local_config(path, checkout=path, home=home.root, remote=str(home.dvc_remote))
    text = override_params((path / "params.yaml").read_text(), ("ingest.sources=[sirm]",))
    (path / "params.yaml").write_text(text)
    workspace = Workspace(name="w", path=path, checkout=path, home=home.root, commit="", remote=str(home.dvc_remote))
    return Run(id="r", program="test", home=home, workspace=workspace, params=read_params(text))


def patients(run: Run) -> set[str]:
    return {record.patient for record in read_records(run.path / "data/raw/sirm/records.jsonl")}


@pytest.mark.timeout(300)
def test_another_key_reads_the_sources_again_and_the_first_one_finds_its_own(run, monkeypatch):
    seen = []
    for key in (KEYS[0], KEYS[0], KEYS[1], KEYS[0]):
        monkeypatch.setenv("CXR_PATIENT_KEY", key)
        outcomes = reproduce(run, "ingest", ["ingest@sirm"])
        seen.append((outcomes["ingest@sirm"], patients(run)))
    assert [outcome for outcome, _ in seen] == ["ran", "unchanged", "ran", "restored"]
    assert seen[0][1] == seen[1][1] == seen[3][1]
    assert not seen[0][1] & seen[2][1]
    lock = YAML(typ="safe").load(run.path / "dvc.lock")
    assert lock["stages"]["ingest@sirm"]["params"][PINS_PATH]["patient_key"] == key_identity(KEYS[0].encode())
    assert not any(key in path.read_text("utf-8", "replace") for key in KEYS for path in run.path.glob("d*/*.yaml"))


@pytest.mark.timeout(300)
def test_what_could_not_be_looked_at_is_no_output_of_dvc(run, monkeypatch):
    monkeypatch.setenv("CXR_PATIENT_KEY", KEYS[0])
    reproduce(run, "ingest", ["ingest@sirm"])
    [held] = (run.home.root / "quarantine" / "sirm").iterdir()
    assert held.read_bytes() == b"no picture"
    cached = [path for path in (run.home.dvc_cache).rglob("*") if path.is_file()]
    assert cached
    assert not any(path.read_bytes() == b"no picture" for path in cached)


@pytest.mark.timeout(300)
def test_by_hand_a_stage_refuses_a_key_that_the_workspace_does_not_name(run, monkeypatch, capsys):
    monkeypatch.setenv("CXR_PATIENT_KEY", KEYS[0])
    reproduce(run, "ingest", ["ingest@sirm"])
    before = patients(run)
    from cxr_core.cli import main

    monkeypatch.setenv("CXR_PATIENT_KEY", KEYS[1])
    with pytest.raises(SystemExit) as ended:
        main(["ingest", "sirm", "--workspace", str(run.path), "--json"])
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert '"reason": "patient_key_differs"' in said
    assert KEYS[1] not in said
    assert patients(run) == before
