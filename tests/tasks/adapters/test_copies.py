"""A run's commit is walked back to its images over the real layout of DVC; one changed byte in any copy is named."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cxr_core.audit.chain import Trace
from cxr_core.audit.lock import read_lock
from cxr_core.errors import AuditError, VersioningError
from tasks.adapters.copies import find_copies, trace_run
from tasks.adapters.git import read_committed
from tasks.adapters.objects import FolderStore, open_store
from tasks.adapters.publish import in_store, missing_of
from tasks.adapters.workspace import open_workspace
from tests.cxr_core.audit.build import IMAGES, md5
from tests.tasks.adapters.conftest import Run
from tests.tasks.adapters.tiny import git

IMAGE = "sirm:caso-2/rx.jpg"
OBJECT = f"files/md5/{md5(IMAGES[IMAGE])[:2]}/{md5(IMAGES[IMAGE])[2:]}"
COPIES = {
    "copies: workspace retrain-1": "workspaces/retrain-1/data/raw/sirm/files/caso-2/rx.jpg",
    "copies: cache": f"dvc/cache/{OBJECT}",
    "copies: remote": f"dvc/remote/{OBJECT}",
}


def _trace(run: Run, **options: object) -> Trace:
    return trace_run(run.checkout, run.home, run.commit, **options)  # type: ignore[arg-type]


def _failing(trace: Trace) -> dict[str, str]:
    return {check.name: check.detail for check in trace.checks if not check.ok}


def _flip(path: Path, byte: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    # DVC's cache is read-only and may share its inode with the workspace.
    path.unlink()
    path.write_bytes(bytes(data))


def test_an_untouched_run_traces_to_every_image_through_every_copy(run: Run) -> None:
    trace = _trace(run)
    assert _failing(trace) == {}
    assert [image.name for image in trace.images] == list(IMAGES)
    assert set(COPIES) <= {check.name for check in trace.checks}


@pytest.mark.parametrize("check", sorted(COPIES))
def test_one_flipped_byte_names_the_image_and_the_file(check: str, run: Run) -> None:
    path = run.home / COPIES[check]
    _flip(path)
    failing = _failing(_trace(run))
    assert list(failing) == [check]
    assert failing[check].startswith(f"{IMAGE}: {path} has MD5 ")


@pytest.mark.parametrize("store", ["cache", "remote"])
def test_one_flipped_byte_in_a_listing_is_found(store: str, run: Run) -> None:
    listing = next((run.home / "dvc" / store / "files").rglob("*.dir"))
    _flip(listing, 5)
    failing = _failing(_trace(run))
    assert list(failing) == [f"copies: {store}"]
    assert str(listing) in failing[f"copies: {store}"]


def test_an_object_that_is_nowhere_is_lost(run: Run) -> None:
    for path in COPIES.values():
        (run.home / path).unlink()
    failing = _failing(_trace(run))
    assert failing["nothing lost"] == f"{IMAGE}: no unchanged copy anywhere"
    assert str(run.home / COPIES["copies: remote"]) in failing["copies: remote"]


def test_a_workspace_with_other_data_is_no_copy_and_a_busy_one_is_said_not_to_be_read(run: Run) -> None:
    with open_workspace(run.checkout, run.home, run.base):
        details = {check.name: check.detail for check in _trace(run).checks}
        assert details["copies: workspace retrain-1"] == "not read: another run is using it"
        details = {check.name: check.detail for check in _trace(run, workspaces=[run.workspace]).checks}
        assert "unchanged" in details["copies: workspace retrain-1"]
    lock = run.workspace / "dvc.lock"
    lock.write_text(lock.read_text().replace(".dir", "").replace("md5: ", "md5: 0"))
    details = {check.name: check.detail for check in _trace(run).checks}
    assert "dvc.lock" in details["copies: workspace retrain-1"]
    lock.write_text("schema: '2.0'\nstages: {}\n")
    assert "copies: workspace retrain-1" not in {check.name for check in _trace(run).checks}


def test_a_commit_that_is_not_here_or_has_no_lock_is_refused(run: Run) -> None:
    with pytest.raises(AuditError) as caught:
        trace_run(run.checkout, run.home, "1" * 40)
    assert caught.value.reason == "no_commit"
    with pytest.raises(AuditError) as caught:
        trace_run(run.checkout, run.home, run.base)
    assert caught.value.reason == "no_lock"


def test_a_remote_that_only_dvc_reads_is_said_not_to_be_read(run: Run) -> None:
    details = {check.name: check.detail for check in _trace(run, remote="ssh://host/data").checks}
    assert details["copies: remote"] == "not read: only DVC can read ssh://host/data"


def test_a_replaced_object_in_git_does_not_deceive_the_trace(run: Run) -> None:
    blob = git(run.checkout, "rev-parse", f"{run.commit}:dvc.lock").strip()
    other = git(run.checkout, "hash-object", "-w", "params.yaml").strip()
    git(run.checkout, "replace", blob, other)
    assert _trace(run).ok


def test_what_a_remote_lacks_is_named_by_file_and_address(run: Run) -> None:
    remote = run.home / "dvc/remote"
    lock = read_lock(read_committed(run.checkout, run.commit, "dvc.lock") or b"")
    store = open_store(str(remote))
    assert store is not None
    assert missing_of(lock, store, []) == []
    (remote / OBJECT).unlink()
    (fault,) = missing_of(lock, store, [])
    assert fault.words == f"data/raw/sirm/files/caso-2/rx.jpg: not at {remote / OBJECT}"
    # Without its listing, nobody knows what a folder consists of; elsewhere it may still be known.
    listing = next(part for part in lock.outputs if part.path == "data/raw/sirm")
    (remote / "files/md5" / listing.md5[:2] / listing.md5[2:]).unlink()
    assert [fault.path for fault in missing_of(lock, store, [])] == ["data/raw/sirm"]
    cache = in_store("cache", FolderStore(root=run.home / "dvc/cache"), complete=False)
    assert [fault.path for fault in missing_of(lock, store, [cache])] == [
        "data/raw/sirm",
        "data/raw/sirm/files/caso-2/rx.jpg",
    ]


@pytest.fixture
def bucket(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder remote behind S3's GET and HEAD, as boto3 asks for them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            path = run.home / "dvc/remote" / self.path.removeprefix("/bucket/deep/prefix/")
            data = path.read_bytes() if path.is_file() else b"<Error><Code>NoSuchKey</Code></Error>"
            refused = "Authorization" not in self.headers
            self.send_response(403 if refused else 200 if path.is_file() else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    yield "s3://bucket/deep/prefix"
    server.shutdown()
    server.server_close()


def test_an_s3_remote_is_read_like_a_folder(bucket: str, run: Run) -> None:
    assert _failing(_trace(run, remote=bucket)) == {}
    _flip(run.home / "dvc/remote" / OBJECT)
    assert _failing(_trace(run, remote=bucket))["copies: remote"].startswith(f"{IMAGE}: {bucket}/{OBJECT} has MD5")
    (run.home / "dvc/remote" / OBJECT).unlink()
    assert "not there" in _failing(_trace(run, remote=bucket))["copies: remote"]


def test_an_s3_remote_that_refuses_is_an_error_and_not_an_empty_remote(
    bucket: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    lock = read_lock(read_committed(run.checkout, run.commit, "dvc.lock") or b"")
    remote = find_copies(lock, run.checkout, run.home, remote=bucket)[0]
    with pytest.raises(VersioningError) as caught:
        _trace(run, remote=bucket)
    assert caught.value.reason == "remote_unreadable"
    assert remote.name == "remote"
