"""Ingest again over what an earlier run left: unchanged files stay where they are, and nothing else shows of it."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from cxr_core.digests import digest_file
from cxr_core.ingest import stage, standing
from cxr_core.ingest.standing import Standing, begun
from cxr_core.memo import Memo
from tests.cxr_core.imaging.pictures import ramp
from tests.cxr_core.ingest.build import fill, ingest, pinned_workspace

PLACE = "chest_xray/train/PNEUMONIA"
FIRST, SECOND, THIRD = (f"{PLACE}/person{n}_virus_1.jpeg" for n in (1, 2, 3))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources, a workspace that they were read into, and its memo; in a pytest folder, never touched again."""
    root = tmp_path_factory.mktemp("left")
    fill(root / "sources" / "kaggle", {name: plain_png(n) for n, name in enumerate((FIRST, SECOND, THIRD))})
    ingest_again(root / "w", root / "sources")
    return root


@pytest.fixture
def sources(left: Path, tmp_path: Path) -> Path:
    return shutil.copytree(left / "sources", tmp_path / "sources")


@pytest.fixture
def workspace(left: Path, tmp_path: Path) -> Path:
    """Where a first run left its files."""
    shutil.copytree(left / "cache", tmp_path / "cache")
    return shutil.copytree(left / "w", tmp_path / "w")


def plain_png(number: int) -> bytes:
    """A picture whose file has the same size whatever it shows."""
    out = io.BytesIO()
    Image.fromarray(np.roll(ramp(), number, axis=1)).save(out, format="PNG", compress_level=0)
    return out.getvalue()


def ingest_again(workspace: Path, sources: Path) -> Path:
    pinned_workspace(workspace, sources)
    with Memo(workspace.parent / "cache") as memo:
        ingest("kaggle", workspace=workspace, sources=sources, memo=memo)
    return workspace / "data/raw/kaggle"


def content(folder: Path) -> dict[str, str]:
    """Every name under a folder, and what is there."""

    def kind(path: Path) -> str:
        return f"link to {path.readlink()}" if path.is_symlink() else "" if path.is_dir() else digest_file(path)

    return {path.relative_to(folder).as_posix(): kind(path) for path in folder.rglob("*")}


def as_if_new(tmp_path: Path, sources: Path) -> dict[str, str]:
    return content(ingest_again(tmp_path / "new", sources))


def node(place: Path) -> tuple[int, int]:
    return place.stat().st_ino, place.stat().st_mtime_ns


def test_files_that_did_not_change_are_not_written_again(tmp_path: Path, sources: Path, workspace: Path) -> None:
    files = workspace / "data/raw/kaggle/files"
    before = {name: node(files / name) for name in (FIRST, SECOND, THIRD)}
    fill(sources / "kaggle", {f"{PLACE}/person9_virus_1.jpeg": plain_png(8)})
    assert content(ingest_again(workspace, sources)) == as_if_new(tmp_path, sources)
    assert {name: node(files / name) for name in before} == before


def test_a_source_s_file_changed_in_place_with_its_size_and_time_is_taken_anew(
    tmp_path: Path, sources: Path, workspace: Path
) -> None:
    source = sources / "kaggle" / SECOND
    was = source.stat()
    source.write_bytes(plain_png(9))
    os.utime(source, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert source.stat().st_size == was.st_size
    found = content(ingest_again(workspace, sources))
    assert found[f"files/{SECOND}"] == digest_file(source)
    assert found == as_if_new(tmp_path, sources)


def test_a_file_that_is_gone_or_renamed_leaves_no_trace(tmp_path: Path, sources: Path, workspace: Path) -> None:
    (sources / "kaggle" / FIRST).unlink()
    (sources / "kaggle" / SECOND).rename(sources / "kaggle" / PLACE / "person8_virus_1.jpeg")
    (sources / "kaggle/chest_xray/val/NORMAL").mkdir(parents=True)
    (sources / "kaggle" / THIRD).rename(sources / "kaggle/chest_xray/val/NORMAL/IM-0001-0001.jpeg")
    assert content(ingest_again(workspace, sources)) == as_if_new(tmp_path, sources)


def test_a_folder_that_became_a_file_and_a_file_that_became_a_folder(
    tmp_path: Path, sources: Path, workspace: Path
) -> None:
    files = workspace / "data/raw/kaggle/files"
    (files / SECOND).unlink()
    fill(files, {f"{SECOND}/inside/x.jpeg": "x"})
    shutil.rmtree(files.parent / "thumbnails.npy", ignore_errors=True)
    fill(sources / "kaggle", {"chest_xray/val/PNEUMONIA/person7_virus_1.jpeg": plain_png(8)})
    fill(files, {"chest_xray/val": "a file"})
    assert content(ingest_again(workspace, sources)) == as_if_new(tmp_path, sources)


def same_size(file: Path) -> None:
    """Other bytes, with the old size and times."""
    was = file.stat()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def linked(file: Path) -> None:
    """A link to the very same bytes."""
    elsewhere = file.parents[6] / "elsewhere.jpeg"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def folder_linked(file: Path) -> None:
    elsewhere = file.parents[6] / "elsewhere"
    file.parent.rename(elsewhere)
    file.parent.symlink_to(elsewhere)


TAMPERINGS: list[Callable[[Path], object]] = [
    same_size,
    linked,
    folder_linked,
    Path.unlink,
    lambda file: file.write_bytes(b""),
    lambda file: fill(file.parent, {".hidden": "x", "more/person5_virus_1.jpeg": "x"}),
    lambda file: (file.parent / "dangling").symlink_to("nowhere"),
    lambda file: shutil.rmtree(file.parents[3]),
    lambda file: fill(file.parents[4], {"notes.txt": "x", "records.jsonl": "{}"}),
]


@pytest.mark.parametrize("tamper", TAMPERINGS)
def test_what_somebody_did_to_the_folder_is_undone(
    tamper: Callable[[Path], object], tmp_path: Path, sources: Path, workspace: Path
) -> None:
    tamper(workspace / "data/raw/kaggle/files" / SECOND)
    assert content(ingest_again(workspace, sources)) == as_if_new(tmp_path, sources)


def test_a_file_shared_with_a_cache_by_a_hard_link_is_never_written_into(
    tmp_path: Path, sources: Path, workspace: Path
) -> None:
    kept = workspace / "data/raw/kaggle/files" / SECOND
    cached = tmp_path / "object"
    os.link(kept, cached)
    cached.chmod(0o444)
    digest = digest_file(cached)
    (sources / "kaggle" / SECOND).write_bytes(plain_png(8))
    ingest_again(workspace, sources)
    assert digest_file(cached) == digest
    assert digest_file(kept) == digest_file(sources / "kaggle" / SECOND) != digest


def test_a_run_that_fails_leaves_the_last_result(
    sources: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(workspace / "data/raw/kaggle")
    fill(sources / "kaggle", {f"{PLACE}/person9_virus_1.jpeg": plain_png(8)})

    def fails(*_args: object, **_more: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(stage, "write_rows", fails)
    with pytest.raises(OSError, match="full"):
        ingest_again(workspace, sources)
    assert content(workspace / "data/raw/kaggle") == before


@pytest.mark.parametrize("step", ["_clear", "_move", "rename 1", "rename 2", "rename 3", "rmtree"])
def test_a_run_that_is_killed_while_it_changes_places_is_made_good_by_the_next(
    step: str, tmp_path: Path, sources: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = workspace / "data/raw"
    before = content(raw / "kaggle")
    fill(sources / "kaggle", {f"{PLACE}/person9_virus_1.jpeg": plain_png(8)})
    (sources / "kaggle" / FIRST).unlink()
    after = as_if_new(tmp_path, sources)
    with monkeypatch.context() as patch:
        _kill_at(step, patch)
        with pytest.raises(KeyboardInterrupt):
            ingest_again(workspace, sources)
    assert not (raw / "kaggle").exists() or content(raw / "kaggle") in (before, after)
    assert content(ingest_again(workspace, sources)) == after
    assert [path.name for path in raw.iterdir()] == ["kaggle"]


# begun removes two folders, _move one.
LAST_REMOVAL = 4


def _kill_at(step: str, patch: pytest.MonkeyPatch) -> None:
    def killed(*_args: object, **_more: object) -> NoReturn:
        raise KeyboardInterrupt

    if step == "rmtree":
        # The last thing that is done, and the first: `begun` removes what lies there, too.
        rmtree = shutil.rmtree
        calls: list[Path] = []

        def removed(path: Path, *, ignore_errors: bool = False) -> None:
            calls.append(path)
            return killed() if len(calls) == LAST_REMOVAL else rmtree(path, ignore_errors=ignore_errors)

        patch.setattr(shutil, "rmtree", removed)
    elif step.startswith("rename"):
        rename, last = Path.rename, int(step.split()[1])
        renames: list[Path] = []

        def counted(path: Path, target: Path) -> Path:
            renames.append(path)
            return killed() if len(renames) == last else rename(path, target)

        patch.setattr(Path, "rename", counted)
    else:
        patch.setattr(standing, step, killed)


def test_nothing_stands_where_there_is_no_folder_or_a_link_to_one(tmp_path: Path) -> None:
    folder = fill(tmp_path / "real", {"files/a.png": "x"})
    (tmp_path / "link").symlink_to(folder)
    for place in (tmp_path / "absent", tmp_path / "link"):
        assert not Standing(place).keeps("a.png", digest_file(folder / "files/a.png"))
    assert Standing(folder).keeps("a.png", digest_file(folder / "files/a.png"))


def test_what_is_begun_is_empty(tmp_path: Path) -> None:
    fill(tmp_path, {".kaggle.partial/files/half": "x", ".kaggle.aside/files/old": "x"})
    assert list(begun(tmp_path / "kaggle").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == [".kaggle.partial"]
