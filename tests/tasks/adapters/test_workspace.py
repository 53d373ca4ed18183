"""A retrain has a clone of its own, and what it used becomes one commit that brings everything back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_core.errors import SettingError, VersioningError
from tasks.adapters import dvc
from tasks.adapters.dvc_config import remote_address, remote_options, write_local_config
from tasks.adapters.git import resolve, snapshot
from tasks.adapters.workspace import commit_run, is_busy, known_workspaces, open_workspace, push
from tests.tasks.adapters.conftest import Run
from tests.tasks.adapters.tiny import git


def test_two_retrains_at_once_have_two_workspaces(checkout: Path, tmp_path: Path) -> None:
    home, commit = tmp_path / "home", snapshot(checkout)
    with open_workspace(checkout, home, commit) as first:
        assert is_busy(first.path)
        with open_workspace(checkout, home, commit) as second:
            assert [first.name, second.name] == ["retrain-1", "retrain-2"]
        with (
            pytest.raises(VersioningError, match="in use by another run") as caught,
            open_workspace(checkout, home, commit, name="retrain-1"),
        ):
            pass
        assert caught.value.reason == "workspace_busy"
    assert not is_busy(first.path)
    with open_workspace(checkout, home, commit) as again:
        assert again.path == first.path
    assert [path.name for path in known_workspaces(home)] == ["retrain-1", "retrain-2"]


def test_a_used_workspace_is_reset_and_keeps_its_data(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with open_workspace(checkout, home, snapshot(checkout), name="demo") as workspace:
        (workspace.path / "make.py").write_text("broken")
        (workspace.path / "stray.py").write_text("stray")
        (workspace.path / "dvc.lock").write_text("kept")
        (workspace.path / "data/raw").mkdir()
        (workspace.path / "data/raw/kept").write_text("kept")
        # What a killed git leaves behind.
        (workspace.path / ".git/index.lock").touch()
    (checkout / "make.py").write_text("print('newer')\n")
    with open_workspace(checkout, home, snapshot(checkout), name="demo") as workspace:
        assert (workspace.path / "make.py").read_text() == "print('newer')\n"
        assert not (workspace.path / "stray.py").exists()
        assert (workspace.path / "dvc.lock").read_text() == "kept"
        assert (workspace.path / "data/raw/kept").read_text() == "kept"
        (workspace.path / "make.py").unlink()
    with open_workspace(checkout, home, snapshot(checkout), name="demo") as workspace:
        assert (workspace.path / "make.py").read_text() == "print('newer')\n"


def test_a_clone_that_was_killed_half_way_is_made_whole(checkout: Path, tmp_path: Path) -> None:
    home, commit = tmp_path / "home", snapshot(checkout)
    with open_workspace(checkout, home, commit, name="demo") as workspace:
        git_folder = workspace.path / ".git"
    blob = git(checkout, "rev-parse", f"{commit}:make.py").strip()
    # The commit has arrived, a file of it has not; and what else a killed git leaves behind.
    (git_folder / "objects" / blob[:2] / blob[2:]).unlink()
    (git_folder / "refs/cxr/base").unlink()
    (workspace.path / "make.py").unlink()
    for name in ("refs/cxr/base.lock", "config.lock", "index.lock", "shallow.lock"):
        (git_folder / name).touch()
    with open_workspace(checkout, home, commit, name="demo") as workspace:
        assert (workspace.path / "make.py").read_bytes() == (checkout / "make.py").read_bytes()
    (git_folder / "HEAD").unlink()
    with open_workspace(checkout, home, commit, name="demo") as workspace:
        assert resolve(workspace.path, "HEAD") == commit


def test_shallow_clones_and_linked_worktrees_serve_as_checkouts(checkout: Path, tmp_path: Path) -> None:
    (checkout / "second").write_text("2")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "second")
    git(tmp_path, "clone", "--quiet", "--depth=1", checkout.as_uri(), "shallow")
    git(checkout, "worktree", "add", "--quiet", str(tmp_path / "linked"), "HEAD~1")
    for folder in (tmp_path / "shallow", tmp_path / "linked"):
        (folder / "dirty.py").write_text(folder.name)
        commit = snapshot(folder)
        with open_workspace(folder, tmp_path / "home", commit) as workspace:
            assert (workspace.path / "dirty.py").read_text() == folder.name
            assert resolve(workspace.path, "HEAD") == commit


def test_a_folder_that_holds_something_else_is_never_reset(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("years of work")
    git(tmp_path, "init", "--quiet", "other")
    commit = snapshot(checkout)
    for folder in (tmp_path / "thesis", tmp_path / "other", checkout, tmp_path / "thesis/chapter.tex"):
        with (
            pytest.raises(SettingError) as caught,
            open_workspace(checkout, tmp_path / "home", commit, path=folder),
        ):
            pass
        assert caught.value.reason == "not_a_workspace"
    assert (tmp_path / "thesis/chapter.tex").read_text() == "years of work"
    with open_workspace(checkout, tmp_path / "home", commit, path=tmp_path / "mine") as workspace:
        assert (workspace.path / "make.py").is_file()


def test_a_home_inside_the_checkout_is_hidden_from_git(checkout: Path) -> None:
    with open_workspace(checkout, checkout / "elsewhere", snapshot(checkout)):
        pass
    assert git(checkout, "status", "--porcelain") == ""


def test_a_run_is_one_commit_on_the_code_it_ran(run: Run) -> None:
    assert resolve(run.checkout, "refs/cxr/runs/r1") == run.commit
    assert git(run.checkout, "rev-parse", f"{run.commit}^").strip() == run.base
    assert git(run.checkout, "diff", "--name-only", run.base, run.commit).split() == ["dvc.lock"]
    assert git(run.checkout, "status", "--porcelain") == ""
    assert git(run.workspace, "status", "--porcelain").split() == ["??", "dvc.lock"]


def test_a_runs_commit_and_a_pull_bring_everything_back(run: Run, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(run.checkout), "auditor")
    auditor = tmp_path / "auditor"
    git(auditor, "fetch", "--quiet", "origin", "refs/cxr/runs/r1")
    git(auditor, "checkout", "--quiet", run.commit)
    write_local_config(auditor, checkout=auditor, home=tmp_path / "empty", remote=str(run.home / "dvc/remote"))
    dvc.pull(auditor)
    assert (auditor / "data/raw/sirm/files/caso-1/rx.jpg").read_bytes() == b"first"
    assert dvc.status(auditor) == {}
    assert git(auditor, "status", "--porcelain") == ""


def test_the_shipped_configuration_lets_dvc_pull_in_the_checkout_itself(run: Run) -> None:
    git(run.checkout, "checkout", "--quiet", run.commit)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "pull"], cwd=run.checkout, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (run.checkout / "data/split/split.csv").is_file()
    assert git(run.checkout, "status", "--porcelain") == ""


def test_a_second_run_restores_from_the_cache_and_the_same_content_is_the_same_commit(run: Run) -> None:
    with open_workspace(run.checkout, run.home, run.base, name="fresh") as workspace:
        outcomes = dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
        assert set(outcomes.values()) == {"restored"}
        assert commit_run(workspace, "r1", "run r1 again") == run.commit
        assert commit_run(workspace, "r2", "run r1") == run.commit
        (workspace.path / "make.py").write_text("pass\n")
        (workspace.path / "sneaked.py").write_text("pass\n")
        with pytest.raises(VersioningError, match=r"make\.py, sneaked\.py") as caught:
            commit_run(workspace, "r3", "run r3")
        assert caught.value.reason == "code_changed"
    assert resolve(run.checkout, "refs/cxr/runs/r3") is None


def test_parameters_without_a_rerun_make_no_commit(run: Run) -> None:
    with open_workspace(run.checkout, run.home, run.base) as workspace:
        params = workspace.path / "params.yaml"
        params.write_text(params.read_text().replace("folds: 3", "folds: 4"))
        with pytest.raises(VersioningError, match="split") as caught:
            commit_run(workspace, "r2", "a lie")
        assert caught.value.reason == "data_not_clean"
        dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
        with pytest.raises(VersioningError, match="other content"):
            commit_run(workspace, "r1", "another content under a taken name")
        commit = commit_run(workspace, "r2", "run r2")
        assert git(run.checkout, "diff", "--name-only", run.base, commit).split() == ["dvc.lock", "params.yaml"]


def _objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "files").rglob("*") if path.is_file())


def test_a_push_heals_a_remote_that_calls_itself_up_to_date(run: Run) -> None:
    remote = run.home / "dvc/remote"
    wanted = {path: path.read_bytes() for path in _objects(remote)}
    members = [path for path in wanted if path.suffix != ".dir"]
    # The listings stay, so DVC takes the remote for complete; one object is cut short.
    for path in members[1:]:
        path.unlink()
    members[0].chmod(0o644)
    members[0].write_bytes(b"")
    with open_workspace(run.checkout, run.home, run.base) as workspace:
        push(workspace)
        assert {path: path.read_bytes() for path in _objects(remote)} == wanted
        # Where this machine has lost the object as well, the push says so.
        members[0].unlink()
        digest = hashlib.md5(wanted[members[0]]).hexdigest()
        for path in (run.home / "dvc/cache" / members[0].relative_to(remote), *(workspace.path / "data").rglob("*")):
            if path.is_file() and hashlib.md5(path.read_bytes()).hexdigest() == digest:
                path.unlink()
        with pytest.raises(VersioningError) as caught:
            push(workspace)
        assert caught.value.reason == "remote_incomplete"


@pytest.mark.parametrize(
    ("config", "local", "asked", "wanted"),
    [
        (None, None, None, "{home}/dvc/remote"),
        (None, None, "s3://bucket/data", "s3://bucket/data"),
        (None, None, "/shared/data", "/shared/data"),
        ("[core]\n    remote = team\n['remote \"team\"']\n    url = s3://team/x\n", None, None, "s3://team/x"),
        (None, "['remote \"store\"']\nurl = ../../shared\n", None, "{parent}/shared"),
        ("[core]\n    remote = team\n", '[\'remote "team"\']\n    url = "/a,b"\n', None, "/a,b"),
    ],
)
def test_the_remote_is_the_one_asked_for_then_the_checkouts_then_the_homes(
    config: str | None, local: str | None, asked: str | None, wanted: str, checkout: Path, tmp_path: Path
) -> None:
    if config:
        (checkout / ".dvc/config").write_text(config)
    if local:
        (checkout / ".dvc/config.local").write_text(local)
    found = remote_address(checkout, tmp_path / "home", asked=asked)
    assert found == wanted.format(home=tmp_path / "home", parent=checkout.parent)


def test_credentials_of_the_checkout_reach_the_workspace_and_stay_private(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".dvc/config.local").write_text("['remote \"store\"']\n    access_key_id = me\n    url = s3://b/p\n")
    with open_workspace(checkout, tmp_path / "home", snapshot(checkout)) as workspace:
        assert workspace.remote == "s3://b/p"
        assert remote_options(workspace.path) == {"access_key_id": "me"}
        assert (workspace.path / ".dvc/config.local").stat().st_mode & 0o077 == 0


def test_a_configuration_that_cannot_be_read_is_named(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".dvc/config").write_text("not a configuration")
    with pytest.raises(SettingError) as caught:
        remote_address(checkout, tmp_path)
    assert caught.value.reason == "bad_dvc_config"
    (checkout / ".dvc/config").write_text("[core]\nremote = nowhere\n")
    with pytest.raises(SettingError) as caught:
        remote_address(checkout, tmp_path)
    assert caught.value.reason == "no_remote_address"


@pytest.mark.parametrize("run_id", ["../x", "", "a b", ".hidden", "x..y", "x.lock"])
def test_a_run_id_that_cannot_be_a_ref_is_refused(run_id: str, run: Run) -> None:
    with (
        open_workspace(run.checkout, run.home, run.base) as workspace,
        pytest.raises(VersioningError) as caught,
    ):
        commit_run(workspace, run_id, "x")
    assert caught.value.reason == "bad_run_id"
