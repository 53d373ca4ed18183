"""``cxr data verify`` and ``pull``: what serves, a run or a commit, held against the remote and brought back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.walk import Ended, Place, Retrained


@pytest.fixture
def own(promoted: Retrained, tmp_path: Path) -> Place:
    """A copy to break."""
    return promoted.place.copy(tmp_path)


def _files(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_the_data_of_what_serves_is_complete_at_the_remote(promoted: Retrained, verb: Callable[..., Ended]) -> None:
    for name in (
        (),
        ("champion",),
        ("models:/cxr-resnet34/2",),
        (promoted.report["run"],),
        (promoted.report["run"][:8],),
    ):
        done = verb(promoted.place, "data", "verify", *name, "--json")
        assert done.code == 0, done.err
        assert done.report["commit"] == promoted.report["commit"]
        assert (done.report["complete"], done.report["read"]) == (True, done.report["objects"])


def test_a_pull_brings_back_the_files_that_the_run_had(
    promoted: Retrained, verb: Callable[..., Ended], tmp_path: Path
) -> None:
    done = verb(promoted.place, "data", "pull", "--to", str(tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    workspace = promoted.place.workspace
    found = _files(tmp_path / "out")
    assert len(found) == done.report["files"]
    assert found == {path: hashlib.sha256((workspace / path).read_bytes()).hexdigest() for path in found}


def test_what_the_remote_has_lost_is_named_with_exit_code_1(own: Place, verb: Callable[..., Ended]) -> None:
    workspace = own.workspace
    path = next(path for path in sorted((workspace / "data/raw/github/files").rglob("*")) if path.is_file())
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    (own.home / "dvc/remote/files/md5" / md5[:2] / md5[2:]).unlink()
    done = verb(own, "data", "verify")
    assert done.code == 1
    assert path.relative_to(workspace).as_posix() in done.out
    report = verb(own, "data", "verify", "--quick", "--json").report
    assert report["missing"] == [path.relative_to(workspace).as_posix()]


def test_a_name_that_nothing_has_is_refused_in_words(promoted: Retrained, verb: Callable[..., Ended]) -> None:
    done = verb(promoted.place, "data", "pull", "no-such-run", "--json")
    assert done.code == 1
    assert json.loads(done.out)["error"]["reason"] == "no_version"
