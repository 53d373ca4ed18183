"""A run's data is published before it gets its commit, and the commit travels where a git remote is named."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_core.errors import VersioningError
from cxr_core.params import read_params
from tasks.adapters import dvc
from tasks.adapters.git import resolve, snapshot
from tasks.adapters.ledger import LEDGER_REF
from tasks.adapters.sharing import manifest_of_commit
from tasks.adapters.workspace import open_workspace
from tasks.data import version_data
from tasks.events import LOGGER
from tasks.run import Run
from tasks.settings import Home
from tasks.stores import MODEL, registry_of, tracker_of
from tests.tasks.adapters.mlflow_stores import store_at
from tests.tasks.adapters.tiny import ROOT, git, make_checkout


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A run whose data stages are done."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    checkout = make_checkout(tmp_path / "checkout")
    home = Home(root=checkout / ".cxr")
    (home.root / "mlflow").mkdir(parents=True)
    store_at(home.root / "mlflow")
    params = read_params((ROOT / "params.yaml").read_text(encoding="utf-8"))
    with open_workspace(checkout, home.root, snapshot(checkout)) as workspace:
        dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
        yield Run(id="r1", program="test", home=home, workspace=workspace, params=params)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--bare", "team.git")
    return tmp_path / "team.git"


def _said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.name == LOGGER.name)


def test_it_says_how_much_was_verified_where_and_the_commit_names_the_manifest(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER.name)
    version = version_data.fn(run)
    remote = Path(run.workspace.remote)
    (marker,) = (remote / "cxr/complete").iterdir()
    assert version.digest == f"sha256:{marker.stem}"
    named = manifest_of_commit(run.workspace.checkout, version.commit)
    assert named is not None
    assert named in marker.read_text()
    objects = [path for path in (remote / "files").rglob("*") if path.is_file()]
    words = _said(caplog)
    assert f"{len(objects)} objects" in words
    assert f"every one verified at {remote}" in words
    assert f"refs/cxr/runs/{run.id}" in words
    # No git remote: nothing to push to, and nothing to say about it.
    assert "CXR_GIT_REMOTE" not in words
    assert version_data.fn(run) == version


def test_without_a_git_remote_named_a_clone_is_told_that_the_run_stays_here(
    run: Run, bare: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER.name)
    git(run.workspace.checkout, "remote", "add", "origin", str(bare))
    version_data.fn(run)
    assert "CXR_GIT_REMOTE is not set" in _said(caplog)
    assert git(bare, "for-each-ref") == ""


def test_run_and_ledger_are_pushed_to_the_git_remote_and_a_fresh_clone_can_fetch_them(
    run: Run, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = run.workspace.checkout
    git(checkout, "remote", "add", "origin", str(bare))
    git(checkout, "push", "--quiet", "origin", "main")
    git(checkout, "update-ref", f"{LEDGER_REF}/ours", "HEAD")
    git(checkout, "update-ref", f"{LEDGER_REF}/another", "HEAD")
    tracker_of(run.home).client.create_registered_model(MODEL)
    registry_of(run.home).set_model_tag(MODEL, "cxr.ledger", "ours")
    monkeypatch.setenv("CXR_GIT_REMOTE", "origin")
    version = version_data.fn(run)
    git(tmp_path, "clone", "--quiet", bare.as_uri(), "fresh")
    git(tmp_path / "fresh", "fetch", "--quiet", "origin", "refs/cxr/*:refs/cxr/*")
    assert resolve(tmp_path / "fresh", "refs/cxr/runs/r1") == version.commit
    assert git(bare, "for-each-ref", "--format=%(refname)", "refs/cxr/ledger").split() == [f"{LEDGER_REF}/ours"]


def test_a_git_remote_that_cannot_be_reached_or_has_another_history_stops_the_run(
    run: Run, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_GIT_REMOTE", str(bare) + "-nowhere")
    with pytest.raises(VersioningError, match="nowhere") as caught:
        version_data.fn(run)
    assert caught.value.reason == "refs_not_shared"
    assert "CXR_GIT_REMOTE" in caught.value.hint
    checkout = run.workspace.checkout
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "another history")
    git(checkout, "push", "--quiet", str(bare), "HEAD:refs/cxr/runs/r1")
    monkeypatch.setenv("CXR_GIT_REMOTE", str(bare))
    with pytest.raises(VersioningError) as caught:
        version_data.fn(run)
    assert caught.value.reason == "refs_not_shared"
