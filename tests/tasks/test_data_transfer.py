"""A fresh clone and a pull give every byte back, or say which are missing; a remote is held against its manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cxr_core.audit.lock import read_lock
from cxr_core.audit.manifest import marker_name, parse_manifest
from cxr_core.audit.objects import Reading
from cxr_core.errors import AuditError, SettingError, TrackingError, VersioningError
from flows.transfer_views import show_pull, show_push, show_verify
from tasks.adapters import dvc
from tasks.adapters.objects import FolderStore
from tasks.adapters.receipts import Receipts
from tasks.adapters.sharing import manifest_of_commit, run_message
from tasks.adapters.workspace import commit_run, open_workspace, push
from tasks.data_transfer import pull_data, push_data, verify_data
from tests.tasks.adapters.tiny import ROOT, git, make_checkout


class Published:
    """A run whose data was published, and a fresh clone on a machine with an empty home."""

    def __init__(self, tmp_path: Path, origin: Path) -> None:
        self.origin = tmp_path / "origin"
        shutil.copytree(origin, self.origin, symlinks=True)
        self.remote = tmp_path / "remote"
        shutil.copytree(self.origin / ".cxr/dvc/remote", self.remote)
        self.commit = git(self.origin, "rev-parse", "refs/cxr/runs/r1").strip()
        self.clone = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", self.origin.as_uri(), "clone")
        git(self.clone, "fetch", "--quiet", "origin", "refs/cxr/*:refs/cxr/*")
        workspace = self.origin / ".cxr/workspaces/retrain-1"
        self.data = read_lock((workspace / "dvc.lock").read_bytes()).version
        manifest = parse_manifest((self.remote / "cxr/manifests" / f"{self.data[7:]}.json").read_bytes())
        self.manifest = manifest
        self.files = {entry.path: (workspace / entry.path).read_bytes() for entry in manifest.files}

    def object(self, path: str) -> Path:
        md5 = next(entry.md5 for entry in self.manifest.entries if entry.path == path)
        return self.remote / "files/md5" / md5[:2] / md5[2:]

    @property
    def marker(self) -> Path:
        return self.remote / marker_name(self.data)


RX = "data/raw/sirm/files/caso-1/rx.jpg"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkout = make_checkout(tmp_path_factory.mktemp("published") / "origin")
    commit = git(checkout, "rev-parse", "HEAD").strip()
    with open_workspace(checkout, checkout / ".cxr", commit) as workspace:
        dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
        published = push(workspace)
        commit_run(workspace, "r1", run_message(published.manifest.digest))
    return checkout


@pytest.fixture
def published(tmp_path: Path, origin: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    found = Published(tmp_path, origin)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("CXR_DVC_REMOTE", str(found.remote))
    monkeypatch.setenv("CXR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(found.clone)
    return found


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _shown(view: Any, report: dict[str, Any]) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    view(console, report)
    return console.export_text()


def test_a_commit_a_run_and_its_beginning_name_the_same_data(published: Published) -> None:
    for name in ("r1", published.commit, published.commit[:9], "refs/cxr/runs/r1"):
        report = verify_data(name, quick=True)
        assert (report["ok"], report["commit"], report["data"]) == (True, published.commit, published.data)


def test_verify_reads_every_object_and_quick_reads_none(published: Published) -> None:
    whole, quick = verify_data("r1", quick=False), verify_data("r1", quick=True)
    number = len(published.manifest.objects)
    assert (whole["ok"], whole["complete"], whole["read"], whole["objects"]) == (True, True, number, number)
    assert (quick["ok"], quick["complete"], quick["read"]) == (True, True, 0)
    assert json.loads(json.dumps(whole)) == whole
    assert "complete" in _shown(show_verify, whole)


def test_verify_says_by_path_what_is_missing_and_what_is_damaged(published: Published) -> None:
    table, store = "data/cohort/cohort.csv", "data/store/images.npy"
    published.object(RX).unlink()
    for path in (table, store):
        published.object(path).chmod(0o644)
    published.object(table).write_bytes(b"")
    published.object(store).write_bytes(bytes(len(published.files[store])))
    whole, quick = verify_data("r1", quick=False), verify_data("r1", quick=True)
    assert (whole["ok"], whole["missing"], whole["damaged"]) == (False, [RX], [table, store])
    # Bytes of the right size are only found by reading them.
    assert (quick["ok"], quick["missing"], quick["damaged"]) == (False, [RX], [table])
    words = _shown(show_verify, whole)
    assert RX in words
    assert store in words
    assert "1 missing, 2 damaged" in words


@pytest.mark.parametrize("quick", [False, True])
def test_without_a_marker_nothing_is_complete_and_what_is_missing_is_still_named(
    published: Published, quick: bool
) -> None:
    published.marker.unlink()
    published.object(RX).unlink()
    published.object("data/cohort").unlink()
    report = verify_data("r1", quick=quick)
    assert (report["ok"], report["complete"]) == (False, False)
    assert report["missing"] == ["data/cohort", RX]
    assert str(published.marker) in report["why"]
    assert "not complete" in _shown(show_verify, report)


def test_a_manifest_that_the_commit_does_not_name_proves_nothing(published: Published) -> None:
    path = published.remote / "cxr/manifests" / published.marker.name
    entry = next(entry for entry in published.manifest.entries if entry.path == RX)
    forged = path.read_bytes().replace(entry.sha256.encode(), b"sha256:" + b"0" * 64)
    marker = json.loads(published.marker.read_bytes()) | {"manifest": "sha256:" + hashlib.sha256(forged).hexdigest()}
    path.write_bytes(forged)
    published.marker.write_text(json.dumps(marker, sort_keys=True, separators=(",", ":")) + "\n")
    assert manifest_of_commit(published.clone, published.commit) == published.manifest.digest
    report = verify_data("r1", quick=True)
    assert (report["ok"], report["complete"]) == (False, False)
    assert "the commit was made with the manifest" in report["why"]
    assert not pull_data("r1", to=published.clone / "out")["ok"]


def test_a_pull_into_a_folder_gives_every_byte_and_nothing_else(published: Published, tmp_path: Path) -> None:
    report = pull_data("r1", to=tmp_path / "out")
    assert report["ok"]
    assert _files(tmp_path / "out") == published.files
    assert (report["downloaded"], report["copied"], report["kept"]) == (len({*published.files.values()}), 0, 0)
    again = pull_data("r1", to=tmp_path / "out")
    assert (again["downloaded"], again["kept"]) == (0, report["downloaded"])
    assert "every byte is back" in _shown(show_pull, report)


def test_a_pull_without_a_folder_is_a_workspace_that_dvc_agrees_with(published: Published, tmp_path: Path) -> None:
    report = pull_data("r1", to=None)
    assert report["ok"]
    workspace = Path(report["to"])
    assert workspace.parent == tmp_path / "home/workspaces"
    assert {path: (workspace / path).read_bytes() for path in published.files} == published.files
    assert dvc.status(workspace) == {}
    assert git(workspace, "rev-parse", "HEAD").strip() == published.commit
    assert git(workspace, "status", "--porcelain") == ""
    # What is edited there is put right by another pull, from the cache alone.
    (workspace / RX).unlink()
    (workspace / RX).write_bytes(b"edited")
    again = pull_data("r1", to=None)
    assert (again["ok"], again["downloaded"]) == (True, 0)
    assert (workspace / RX).read_bytes() == published.files[RX]
    # And a folder is then filled from that cache.
    other = pull_data("r1", to=tmp_path / "out")
    assert (other["ok"], other["downloaded"], other["copied"]) == (True, 0, report["downloaded"] - 5)
    assert _files(tmp_path / "out") == published.files


def test_where_something_is_missing_it_is_named_and_nothing_is_fetched(published: Published, tmp_path: Path) -> None:
    published.object(RX).unlink()
    for to in (tmp_path / "out", None):
        report = pull_data("r1", to=to)
        assert (report["ok"], report["complete"], report["missing"]) == (False, True, [RX])
    assert _files(tmp_path / "out") == {}
    assert RX in _shown(show_pull, report)


def test_damaged_bytes_never_get_a_name_and_the_rest_is_kept(published: Published, tmp_path: Path) -> None:
    path = published.object(RX)
    path.chmod(0o644)
    path.write_bytes(published.files[RX][::-1])
    report = pull_data("r1", to=tmp_path / "out")
    assert (report["ok"], report["missing"], report["damaged"]) == (False, [], [RX])
    placed = {name: data for name, data in _files(tmp_path / "out").items() if not name.startswith(".cxr-partial/")}
    assert placed == {name: data for name, data in published.files.items() if name != RX}
    # Repaired where the data still is, the same command goes on from there.
    path.write_bytes(published.files[RX])
    again = pull_data("r1", to=tmp_path / "out")
    assert (again["ok"], again["downloaded"]) == (True, 1)
    assert _files(tmp_path / "out") == published.files


def test_a_file_cut_short_goes_on_from_where_it_was(published: Published, tmp_path: Path) -> None:
    entry = next(entry for entry in published.manifest.entries if entry.path == "data/store/images.npy")
    data = published.files[entry.path]
    partial = tmp_path / "out/.cxr-partial" / entry.md5
    starts: list[int] = []
    opened = FolderStore.open

    def open_counted(store: FolderStore, md5: str, *, start: int = 0) -> Any:
        if md5 == entry.md5 and store.root == published.remote:
            starts.append(start)
        return opened(store, md5, start=start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStore, "open", open_counted)
        for begun, asked in (
            (data[:10], [10]),
            # A beginning of other bytes is found at the end, and all of it is fetched anew.
            (b"x" * 10, [10, 0]),
            (data + b"more", [0]),
            (data, []),
        ):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            partial.parent.mkdir(parents=True)
            partial.write_bytes(begun)
            starts.clear()
            assert pull_data("r1", to=tmp_path / "out")["ok"]
            assert starts == asked
            assert _files(tmp_path / "out") == published.files


def test_a_file_of_other_bytes_is_never_replaced(published: Published, tmp_path: Path) -> None:
    mine = tmp_path / "thesis/data/cohort/cohort.csv"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"years of work")
    with pytest.raises(SettingError, match=r"data/cohort/cohort\.csv") as caught:
        pull_data("r1", to=tmp_path / "thesis")
    assert caught.value.reason == "not_replaced"
    assert _files(tmp_path / "thesis") == {"data/cohort/cohort.csv": b"years of work"}


def test_a_folder_that_cannot_be_written_to_is_told_in_words(published: Published, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingError) as caught:
        pull_data("r1", to=tmp_path / "file")
    assert caught.value.reason == "cannot_write"


def test_killed_pulls_leave_whole_files_or_none_and_the_last_one_completes(
    published: Published, tmp_path: Path
) -> None:
    code = (
        "import sys, pathlib; from tasks.data_transfer import pull_data; pull_data('r1', to=pathlib.Path(sys.argv[1]))"
    )
    begun = time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "whole")], env=environment, check=True)
    lasts = time.monotonic() - begun
    for moment in (0.5, 0.8, 0.9, 0.97):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "out")], env=environment, start_new_session=True
        )
        time.sleep(lasts * moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        found = {name: data for name, data in _files(tmp_path / "out").items() if not name.startswith(".cxr-partial/")}
        assert found.items() <= published.files.items()
    assert pull_data("r1", to=tmp_path / "out")["ok"]
    assert _files(tmp_path / "out") == published.files


def test_a_second_pull_into_the_same_folder_is_refused(published: Published, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "out/.cxr-partial").mkdir(parents=True)
    with FileLock(str(tmp_path / "out/.cxr-partial/lock")), pytest.raises(VersioningError) as caught:
        pull_data("r1", to=tmp_path / "out")
    assert caught.value.reason == "pull_busy"


def test_a_push_repairs_a_remote_from_the_cache_of_the_machine_that_has_it(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.object(RX).unlink()
    published.object("data/cohort").unlink()
    with pytest.raises(VersioningError) as caught:
        push_data("r1")
    assert caught.value.reason == "object_lost"
    monkeypatch.chdir(published.origin)
    monkeypatch.setenv("CXR_HOME", str(published.origin / ".cxr"))
    report = push_data("r1")
    assert (report["ok"], report["restored"]) == (True, 2)
    assert verify_data("r1", quick=False)["ok"]
    assert "complete" in _shown(show_push, report)


def test_bytes_that_the_commit_does_not_name_are_not_published(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(published.origin)
    monkeypatch.setenv("CXR_HOME", str(published.origin / ".cxr"))
    # A collision of MD5, as far as this machine remembers.
    entry = next(entry for entry in published.manifest.entries if entry.path == RX)
    forged = Reading(md5=entry.md5, sha256="sha256:" + "0" * 64, size=entry.size)
    Receipts(home=published.origin / ".cxr").keep_measured({entry.md5: forged})
    before = published.marker.read_bytes()
    with pytest.raises(VersioningError, match=published.manifest.digest) as caught:
        push_data("r1")
    assert caught.value.reason == "manifest_mismatch"
    assert published.marker.read_bytes() == before


def test_a_version_from_before_there_were_manifests_is_sealed_from_the_remote_itself(published: Published) -> None:
    shutil.rmtree(published.remote / "cxr")
    assert not verify_data("r1", quick=True)["ok"]
    assert push_data("r1")["ok"]
    assert verify_data("r1", quick=False)["ok"]


def test_what_this_clone_does_not_know_is_told_with_how_to_fetch_it(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over a URL: a clone of a path takes every object along, whether a ref names it or not.
    git(tmp_path, "clone", "--quiet", published.origin.as_uri(), "fresh")
    monkeypatch.chdir(tmp_path / "fresh")
    with pytest.raises(AuditError, match=published.commit) as caught:
        pull_data(published.commit, to=None)
    assert (caught.value.reason, caught.value.hint) == ("no_commit", "git fetch origin 'refs/cxr/*:refs/cxr/*'")
    with pytest.raises(TrackingError, match="'r1' is none") as missing:
        pull_data("r1", to=None)
    assert missing.value.reason == "no_version"
    assert "git fetch origin" in missing.value.hint
    with pytest.raises(AuditError) as dataless:
        verify_data("HEAD", quick=True)
    assert dataless.value.reason == "no_lock"


def test_a_remote_that_only_dvc_can_read_is_refused_with_the_way_that_works(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_DVC_REMOTE", "ssh://host/data")
    with pytest.raises(VersioningError) as caught:
        verify_data("r1", quick=True)
    assert caught.value.reason == "remote_not_readable"
    assert "dvc pull" in caught.value.hint
