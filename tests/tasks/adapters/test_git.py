"""A snapshot is the working tree exactly, and taking one leaves no trace in the checkout."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_core.errors import SettingError, VersioningError
from tasks.adapters.git import (
    commit_files,
    find_checkout,
    move_ref,
    read_committed,
    resolve,
    run_git,
    snapshot,
    tracked_changes,
)
from tests.tasks.adapters.tiny import git

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8
)


def _files(root: Path, commit: str) -> dict[str, bytes]:
    names = run_git(root, "ls-tree", "-r", "-z", "--name-only", commit).split(b"\0")
    found = {os.fsdecode(name): read_committed(root, commit, os.fsdecode(name)) for name in names if name}
    return {name: data for name, data in found.items() if data is not None}


def test_a_clean_tree_is_head(checkout: Path) -> None:
    assert snapshot(checkout) == git(checkout, "rev-parse", "HEAD").strip()


def test_a_snapshot_holds_edits_deletions_and_new_files_and_nothing_ignored(checkout: Path) -> None:
    (checkout / "params.yaml").write_text("changed: 1\n")
    (checkout / "dvc.yaml").unlink()
    (checkout / "new file.py").write_text("x = 1\n")
    (checkout / "data/raw").mkdir()
    (checkout / "data/raw/x").write_text("ignored")
    before = (checkout / ".git/index").read_bytes(), git(checkout, "status", "--porcelain"), (checkout / ".git/HEAD")
    commit = snapshot(checkout)
    files = _files(checkout, commit)
    assert files["params.yaml"] == b"changed: 1\n"
    assert files["new file.py"] == b"x = 1\n"
    assert not {"dvc.yaml", "data/raw/x"} & set(files)
    assert git(checkout, "rev-parse", f"{commit}^", "HEAD").split() == [git(checkout, "rev-parse", "HEAD").strip()] * 2
    after = (checkout / ".git/index").read_bytes(), git(checkout, "status", "--porcelain"), (checkout / ".git/HEAD")
    assert after == before


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES.filter(lambda name: name not in (".", "..")), st.binary(max_size=20), max_size=4))
def test_any_names_and_bytes_come_back_from_a_snapshot(checkout: Path, files: dict[str, bytes]) -> None:
    folder = checkout / "any"
    git(checkout, "config", "core.precomposeunicode", "false")
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    wanted = {name: data for name, data in files.items() if name not in (".git", ".gitignore", ".gitattributes")}
    for name, data in wanted.items():
        (folder / name).write_bytes(data)
    found = _files(checkout, snapshot(checkout))
    assert {name[4:]: data for name, data in found.items() if name.startswith("any/")} == wanted


def test_the_same_dirty_tree_gives_the_same_commit(checkout: Path) -> None:
    (checkout / "new.py").write_text("x = 1\n")
    first = snapshot(checkout)
    os.utime(checkout / "new.py", (1, 1))
    assert snapshot(checkout) == first


def test_a_staged_file_that_is_ignored_stays_and_a_nested_repository_does_not_enter(checkout: Path) -> None:
    (checkout / "data/raw").mkdir()
    (checkout / "data/raw/kept").write_text("staged")
    git(checkout, "add", "--force", "data/raw/kept")
    (checkout / "nested").mkdir()
    git(checkout / "nested", "init", "--quiet")
    (checkout / "nested/file").write_text("foreign")
    files = _files(checkout, snapshot(checkout))
    assert files["data/raw/kept"] == b"staged"
    assert not [name for name in files if name.startswith("nested")]


def test_variables_of_a_git_hook_do_not_lead_to_another_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert resolve(checkout, "HEAD") == snapshot(checkout)


def test_a_folder_without_git_is_refused_with_the_next_command(tmp_path: Path, checkout: Path) -> None:
    (tmp_path / "plain").mkdir()
    (checkout / "inner").mkdir()
    git(tmp_path, "init", "--quiet", "empty")
    for folder, reason in (
        (tmp_path / "plain", "no_git"),
        (checkout / "inner", "no_git"),
        (tmp_path / "empty", "no_commit"),
        (tmp_path / "absent", "no_folder"),
    ):
        with pytest.raises(SettingError) as caught:
            find_checkout(folder)
        assert caught.value.reason == reason
        assert caught.value.hint
    assert "git init" in _refused(tmp_path / "plain").hint


def _refused(folder: Path) -> SettingError:
    with pytest.raises(SettingError) as caught:
        snapshot(folder)
    return caught.value


def test_no_git_program_is_a_setting_error(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    with pytest.raises(SettingError) as caught:
        snapshot(checkout)
    assert caught.value.reason == "no_git_program"


def test_a_refusal_of_git_is_told_in_its_words(checkout: Path) -> None:
    with pytest.raises(VersioningError, match=r"git cat-file failed.*Not a valid object name nothing") as caught:
        run_git(checkout, "cat-file", "-p", "nothing")
    assert pickle.loads(pickle.dumps(caught.value)).reason == "git_failed"


def test_a_ref_moves_only_from_where_it_was_thought_to_be(checkout: Path) -> None:
    head = snapshot(checkout)
    other = commit_files(checkout, parent=head, files={"a/b": b"1"}, message="other")
    assert move_ref(checkout, "refs/cxr/x", new=head, old=None)
    assert not move_ref(checkout, "refs/cxr/x", new=other, old=None)
    assert not move_ref(checkout, "refs/cxr/x", new=other, old=other)
    assert move_ref(checkout, "refs/cxr/x", new=other, old=head)
    assert resolve(checkout, "refs/cxr/x") == other
    with pytest.raises(VersioningError, match="cannot be moved"):
        move_ref(checkout, "refs/cxr/x", new="1" * 40, old=other)


def test_commits_need_no_configured_identity(checkout: Path) -> None:
    commit = commit_files(checkout, parent=None, files={"a": b"1"}, message="first")
    assert run_git(checkout, "show", "--no-patch", "--format=%an %ae %P", commit) == b"cxr cxr@localhost \n"
    assert _files(checkout, commit) == {"a": b"1"}


def test_changes_against_a_commit_are_listed(checkout: Path) -> None:
    head = snapshot(checkout)
    assert tracked_changes(checkout, head) == []
    (checkout / "make.py").write_text("pass\n")
    (checkout / "extra.py").write_text("pass\n")
    assert tracked_changes(checkout, head) == ["extra.py", "make.py"]
