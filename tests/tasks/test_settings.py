"""This machine's settings: read when called, and wrong ones named."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cxr_core.errors import SettingError
from tasks.settings import Home, checkout, home, patient_key, prefect_environment


def make_checkout(folder: Path) -> Path:
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).write_text("", encoding="utf-8")
    return folder


def test_a_checkout_is_found_from_any_folder_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_checkout(tmp_path)
    (tmp_path / "docs/adr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "docs/adr")
    assert checkout() == tmp_path
    assert home().root == tmp_path / ".cxr"


def test_the_environment_says_where_home_and_store_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "h"))
    assert home().tracking_uri == f"sqlite:///{tmp_path}/h/mlflow/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.hospital.example")
    assert home().tracking_uri == "http://mlflow.hospital.example"
    # Asking is no reason to make anything.
    assert not (tmp_path / "h").exists()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h").write_text("", encoding="utf-8")
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "h"))
    with pytest.raises(SettingError, match="CXR_HOME"):
        home()


def test_the_patient_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    where = Home(root=tmp_path / "h")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: patient_key(where), range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) == 64
    assert (where.root / "patient.key").stat().st_mode & 0o777 == 0o600


def test_a_short_patient_key_is_refused_without_repeating_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXR_PATIENT_KEY", "hunter2")
    with pytest.raises(SettingError, match="CXR_PATIENT_KEY") as refused:
        patient_key(Home(root=tmp_path))
    assert "hunter2" not in str(refused.value)


def test_what_the_user_has_set_for_prefect_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    assert prefect_environment(Home(root=tmp_path))["PREFECT_HOME"] == str(tmp_path / "prefect")
    monkeypatch.setenv("PREFECT_HOME", "/elsewhere")
    assert "PREFECT_HOME" not in prefect_environment(Home(root=tmp_path))
