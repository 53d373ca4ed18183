"""A remote calls itself complete only where every object was verified there; whatever happens is repaired."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from cxr_core.audit.lock import Lock, read_lock
from cxr_core.audit.manifest import marker_name, parse_manifest, parse_marker
from cxr_core.errors import VersioningError
from tasks.adapters.claims import read_claim
from tasks.adapters.dvc_config import cache_folder
from tasks.adapters.objects import FolderStore, open_store
from tasks.adapters.publish import Published, in_workspace, publish
from tasks.adapters.receipts import Receipts
from tasks.adapters.workspace import open_workspace, push
from tests.tasks.adapters.conftest import Run


@dataclass(frozen=True, kw_only=True)
class Place:
    """A finished run's data, and a remote to bring it to."""

    run: Run
    remote: Path

    @property
    def lock(self) -> Lock:
        return read_lock((self.run.workspace / "dvc.lock").read_bytes())

    @property
    def cache(self) -> FolderStore:
        return FolderStore(root=cache_folder(self.run.home))

    @property
    def receipts(self) -> Receipts:
        return Receipts(home=self.run.home)

    def publish(self, store: FolderStore | None = None, copy: Callable[[], None] | None = None) -> Published:
        return publish(
            self.lock,
            local=in_workspace(self.run.workspace, self.cache),
            store=store or FolderStore(root=self.remote),
            receipts=self.receipts,
            copy=copy or (lambda: None),
        )

    def objects(self) -> dict[str, Path]:
        files = self.remote / "files/md5"
        return {path.parent.name + path.name: path for path in files.rglob("*") if path.is_file()}

    @property
    def marker(self) -> Path:
        return self.remote / marker_name(self.lock.version)

    def claims_to_be_complete(self) -> bool:
        """Read without any of our code: marker, manifest, and every object's bytes."""
        if not self.marker.is_file():
            return False
        marker = json.loads(self.marker.read_bytes())
        manifest = self.remote / "cxr/manifests" / self.marker.name
        assert marker["manifest"] == "sha256:" + hashlib.sha256(manifest.read_bytes()).hexdigest()
        for entry in json.loads(manifest.read_bytes())["entries"]:
            data = (self.remote / "files/md5" / entry["md5"][:2] / entry["md5"][2:]).read_bytes()
            assert len(data) == entry["size"]
            assert "sha256:" + hashlib.sha256(data).hexdigest() == entry["sha256"]
            assert hashlib.md5(data).hexdigest() == entry["md5"].removesuffix(".dir")
        return True


@pytest.fixture
def place(run: Run, tmp_path: Path) -> Place:
    return Place(run=run, remote=tmp_path / "remote")


def _overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_retrains_push_leaves_manifest_and_marker_beside_the_objects(run: Run) -> None:
    remote = run.home / "dvc/remote"
    place = Place(run=run, remote=remote)
    assert place.claims_to_be_complete()
    manifest = parse_manifest((remote / "cxr/manifests" / place.marker.name).read_bytes())
    files = {path: path.read_bytes() for path in (run.workspace / "data").rglob("*") if path.is_file()}
    assert {entry.path for entry in manifest.files} == {
        path.relative_to(run.workspace).as_posix() for path in files if path.name not in (".gitignore", ".gitkeep")
    } - {"data/sources.lock.yaml"}
    assert parse_marker(place.marker.read_bytes()).manifest == manifest.digest


def test_a_publish_that_changes_nothing_calls_no_dvc_and_reads_no_object(place: Place) -> None:
    first = place.publish()
    assert (first.standing, first.restored) == (False, len(first.manifest.objects))
    assert first.read == len(first.manifest.objects)

    def never() -> None:
        raise AssertionError("nothing was missing")

    before = {path: path.stat().st_mtime_ns for path in place.remote.rglob("*")}
    again = place.publish(copy=never)
    assert (again.standing, again.read, again.restored) == (True, 0, 0)
    assert again.manifest == first.manifest
    assert {path: path.stat().st_mtime_ns for path in place.remote.rglob("*")} == before


def test_bytes_are_hashed_once_and_remembered_by_their_md5(place: Place) -> None:
    first = place.publish()
    # With the memory kept, the manifest needs no local bytes any more but the listings.
    for entry in first.manifest.files:
        Path(place.cache.where(entry.md5)).unlink()
        (place.run.workspace / entry.path).unlink()
    assert place.publish().standing
    # Without it, the bytes at the remote serve, since they have the MD5 that dvc.lock states.
    for file in (place.run.home / "dvc").glob("receipts.sqlite*"):
        file.unlink()
    assert place.publish().manifest == first.manifest


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="missing"),
        pytest.param(lambda path: _overwrite(path, path.read_bytes()[:-1]), id="cut-short"),
        pytest.param(lambda path: _overwrite(path, b""), id="empty"),
        pytest.param(lambda path: _overwrite(path, bytes(b ^ 1 for b in path.read_bytes())), id="flipped"),
    ],
)
def test_damage_under_a_standing_marker_is_found_and_repaired(place: Place, damage: Callable[[Path], None]) -> None:
    place.publish()
    wanted = {md5: path.read_bytes() for md5, path in place.objects().items()}
    for md5 in wanted:
        damage(place.objects()[md5])
        marked: list[bool] = []
        found = place.publish(copy=lambda marked=marked: marked.append(place.marker.exists()))
        assert marked == [False], "the marker is taken back before anything is repaired"
        assert (found.standing, found.restored) == (False, 1)
        assert {name: path.read_bytes() for name, path in place.objects().items()} == wanted
        assert place.claims_to_be_complete()


def test_bytes_changed_with_size_and_modification_time_kept_are_found(place: Place) -> None:
    place.publish()
    path = max(place.objects().values(), key=lambda path: path.stat().st_size)
    state, right = path.stat(), path.read_bytes()
    _overwrite(path, bytes(len(right)))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert place.publish().restored == 1
    assert path.read_bytes() == right


@pytest.mark.parametrize("note", ["complete", "manifests"])
@pytest.mark.parametrize("text", [b"", b"{}", None])
def test_a_damaged_note_is_no_claim_and_is_written_anew(place: Place, note: str, text: bytes | None) -> None:
    place.publish()
    path = place.remote / "cxr" / note / place.marker.name
    right = path.read_bytes()
    path.unlink() if text is None else path.write_bytes(text)
    assert read_claim(FolderStore(root=place.remote), place.lock.version).manifest is None
    assert not place.publish().standing
    assert path.read_bytes() == right
    assert place.claims_to_be_complete()


def test_a_forged_manifest_with_its_own_marker_is_replaced(place: Place) -> None:
    place.publish()
    path = place.remote / "cxr/manifests" / place.marker.name
    right = path.read_bytes()
    entry = parse_manifest(right).entries[0]
    forged = right.replace(entry.sha256.encode(), b"sha256:" + b"0" * 64)
    marker = json.loads(place.marker.read_bytes()) | {"manifest": "sha256:" + hashlib.sha256(forged).hexdigest()}
    path.write_bytes(forged)
    place.marker.write_text(json.dumps(marker, sort_keys=True, separators=(",", ":")) + "\n")
    assert read_claim(FolderStore(root=place.remote), place.lock.version).why == ""
    assert not place.publish().standing
    assert path.read_bytes() == right


def test_an_object_that_is_whole_nowhere_is_named_and_no_marker_stands(place: Place) -> None:
    entry = next(entry for entry in place.publish().manifest.files if entry.path.endswith("caso-1/rx.jpg"))
    place.objects()[entry.md5].unlink()
    for path in (Path(place.cache.where(entry.md5)), place.run.workspace / entry.path):
        path.unlink()
        path.write_bytes(b"frist")
    with pytest.raises(VersioningError, match=r"caso-1/rx\.jpg") as caught:
        place.publish()
    assert caught.value.reason == "remote_incomplete"
    assert place.cache.where(entry.md5) in caught.value.hint
    assert not place.marker.exists()
    # Nor can a machine that never hashed it make a manifest.
    for file in (place.run.home / "dvc").glob("receipts.sqlite*"):
        file.unlink()
    with pytest.raises(VersioningError, match=r"caso-1/rx\.jpg") as caught:
        place.publish()
    assert caught.value.reason == "object_lost"


def test_a_damaged_cache_is_passed_over_for_the_workspaces_own_file(place: Place) -> None:
    path = next(path for path in (place.run.workspace / "data/raw").rglob("rx.jpg"))
    data = path.read_bytes()
    cached = Path(place.cache.where(hashlib.md5(data).hexdigest()))
    # Linked or not, from here on they are two files.
    path.unlink()
    path.write_bytes(data)
    _overwrite(cached, data[::-1])
    place.publish(copy=lambda: shutil.copytree(place.cache.root, place.remote))
    assert place.claims_to_be_complete()


class _Stopped(BaseException):
    """As a kill: nothing of ours handles it."""


class _StoppingStore(FolderStore):
    """A folder whose user dies before, or in the middle of, its n-th change."""

    def __init__(self, root: Path, changes: int) -> None:
        super().__init__(root=root)
        object.__setattr__(self, "left", [changes])

    def _change(self) -> None:
        if not self.left[0]:
            raise _Stopped
        self.left[0] -= 1

    def put(self, md5: str, stream: BinaryIO) -> None:
        self._change()
        super().put(md5, stream)

    def write_note(self, name: str, data: bytes) -> None:
        self._change()
        super().write_note(name, data)

    def remove_note(self, name: str) -> None:
        self._change()
        super().remove_note(name)

    def settle(self) -> None:
        self._change()
        super().settle()


def test_stopped_before_each_single_change_it_claims_nothing_false_and_the_next_publish_completes(place: Place) -> None:
    number = len(place.publish().manifest.objects)
    whole = {md5: path.read_bytes() for md5, path in place.objects().items()}
    stops = 0
    for damaged in (False, True):
        for changes in range(number + 10):
            shutil.rmtree(place.remote)
            if damaged:
                # As DVC's killed push leaves it: the listings, half of the files, and a marker from before.
                place.publish()
                for md5 in sorted(whole)[::2]:
                    if not md5.endswith(".dir"):
                        place.objects()[md5].unlink()
            store = _StoppingStore(place.remote, changes)
            try:
                place.publish(store)
            except _Stopped:
                stops += 1
                # Under a standing marker that was wrong before we came, nothing has been changed yet.
                if not (damaged and changes == 0):
                    assert not place.claims_to_be_complete()
            else:
                assert place.claims_to_be_complete()
            place.publish()
            assert place.claims_to_be_complete()
            assert {md5: path.read_bytes() for md5, path in place.objects().items()} == whole
    assert stops > number


def test_what_only_dvc_can_read_is_pushed_and_said_to_be_unverified(place: Place) -> None:
    called: list[bool] = []
    found = publish(
        place.lock,
        local=in_workspace(place.run.workspace, place.cache),
        store=open_store("ssh://host/data"),
        receipts=place.receipts,
        copy=lambda: called.append(True),
    )
    assert called == [True]
    assert not found.verified


def test_a_remote_that_cannot_be_written_to_is_told_in_words(place: Place) -> None:
    place.remote.parent.mkdir(exist_ok=True)
    place.remote.write_text("a file where a folder should be")
    with pytest.raises(VersioningError) as caught:
        place.publish()
    assert caught.value.reason in ("object_unreadable", "remote_unwritable")


def test_a_used_up_memory_file_is_told_with_what_to_do(place: Place) -> None:
    (place.run.home / "dvc/receipts.sqlite").write_bytes(b"not a database at all, whatever its name says")
    with pytest.raises(VersioningError) as caught:
        place.publish()
    assert caught.value.reason == "receipts_unusable"
    assert "receipts.sqlite" in caught.value.hint


def test_two_publishes_of_two_workspaces_share_the_remote(run: Run) -> None:
    with open_workspace(run.checkout, run.home, run.commit, name="second") as workspace:
        from tasks.adapters import dvc

        dvc.checkout(workspace.path)
        assert push(workspace).standing


def test_the_same_bytes_written_anew_have_another_stamp(place: Place) -> None:
    place.publish()
    store = FolderStore(root=place.remote)
    before = store.standing(place.objects())
    assert set(before) == set(place.objects())
    for md5, path in place.objects().items():
        store.put(md5, io.BytesIO(path.read_bytes()))
    after = store.standing([*place.objects(), "0" * 32])
    assert {md5: found.size for md5, found in after.items()} == {md5: found.size for md5, found in before.items()}
    assert all(after[md5].stamp != before[md5].stamp for md5 in before)
