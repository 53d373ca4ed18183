"""A miniature checkout a test, and one finished run a session that tests copy before they damage it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.adapters import dvc
from tasks.adapters.git import snapshot
from tasks.adapters.workspace import commit_run, open_workspace, push
from tests.tasks.adapters.tiny import make_checkout


@dataclass(frozen=True, kw_only=True)
class Run:
    checkout: Path
    home: Path
    commit: str
    base: str

    @property
    def workspace(self) -> Path:
        return self.home / "workspaces" / "retrain-1"


@contextmanager
def _no_user_configuration() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_"))]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


@pytest.fixture(autouse=True)
def _fresh_machine() -> Iterator[None]:
    """Git without an identity."""
    with _no_user_configuration():
        yield


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    checkout = make_checkout(tmp_path_factory.mktemp("finished") / "checkout")
    home = checkout / ".cxr"
    base = snapshot(checkout)
    with _no_user_configuration(), open_workspace(checkout, home, base) as workspace:
        dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
        push(workspace)
        commit = commit_run(workspace, "r1", "run r1")
    return Run(checkout=checkout, home=home, commit=commit, base=base)


@pytest.fixture
def run(_finished: Run, tmp_path: Path) -> Run:
    """A finished run of one's own."""
    checkout = tmp_path / "checkout"
    shutil.copytree(_finished.checkout, checkout, symlinks=True)
    return Run(checkout=checkout, home=checkout / ".cxr", commit=_finished.commit, base=_finished.base)
