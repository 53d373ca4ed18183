"""A bucket as remote: real DVC and boto3 against an S3 server in a process of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cxr_core.audit.lock import read_lock
from cxr_core.audit.manifest import marker_name
from cxr_core.errors import VersioningError
from tasks.adapters import dvc
from tasks.adapters.copies import trace_run
from tasks.adapters.dvc_config import write_local_config
from tasks.adapters.objects import open_store
from tasks.adapters.objects_s3 import S3Store, connect
from tasks.adapters.workspace import open_workspace, push
from tests.tasks.adapters.conftest import Run
from tests.tasks.adapters.s3_server import BUCKET, client, s3_environment, serve_s3
from tests.tasks.adapters.tiny import git

ADDRESS = f"s3://{BUCKET}/cxr/data"
PREFIX = "cxr/data/"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with serve_s3() as address:
        yield address


@dataclass(frozen=True, kw_only=True)
class Bucket:
    plain: Any
    run: Run

    @property
    def keys(self) -> dict[str, bytes]:
        """Every object, read by a plain client."""
        return {key: self.plain.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in self.names()}

    def names(self) -> list[str]:
        pages = self.plain.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX)
        return [row["Key"] for page in pages for row in page.get("Contents", [])]

    @property
    def marker(self) -> str:
        return PREFIX + marker_name(read_lock((self.run.workspace / "dvc.lock").read_bytes()).version)

    def workspace(self) -> Any:
        return open_workspace(self.run.checkout, self.run.home, self.run.base, remote=ADDRESS)

    def claims_to_be_complete(self) -> bool:
        keys = self.keys
        if self.marker not in keys:
            return False
        manifest = keys[self.marker.replace("/complete/", "/manifests/")]
        assert json.loads(keys[self.marker])["manifest"] == "sha256:" + hashlib.sha256(manifest).hexdigest()
        for entry in json.loads(manifest)["entries"]:
            data = keys[f"{PREFIX}files/md5/{entry['md5'][:2]}/{entry['md5'][2:]}"]
            assert ("sha256:" + hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["size"])
        return True


@pytest.fixture
def bucket(endpoint: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name, value in s3_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    plain = client(endpoint)
    plain.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    found = Bucket(plain=plain, run=run)
    yield found
    names = found.names()
    for start in range(0, len(names), 1000):
        some = [{"Key": key} for key in names[start : start + 1000]]
        plain.delete_objects(Bucket=BUCKET, Delete={"Objects": some})
    plain.delete_bucket(Bucket=BUCKET)


def test_a_publish_is_complete_and_dvc_itself_pulls_it_into_a_fresh_clone(bucket: Bucket, tmp_path: Path) -> None:
    run = bucket.run
    with bucket.workspace() as workspace:
        published = push(workspace)
        assert (published.verified, published.standing) == (True, False)
        # S3 itself took the MD5 of what it received: nothing had to be read back.
        assert published.read == 0
        assert bucket.claims_to_be_complete()
        again = push(workspace)
        assert (again.standing, again.read, again.restored) == (True, 0, 0)
    git(tmp_path, "clone", "--quiet", str(run.checkout), "auditor")
    auditor = tmp_path / "auditor"
    git(auditor, "fetch", "--quiet", "origin", "refs/cxr/runs/r1")
    git(auditor, "checkout", "--quiet", run.commit)
    write_local_config(auditor, checkout=auditor, home=tmp_path / "empty", remote=ADDRESS)
    dvc.pull(auditor)
    assert (auditor / "data/raw/sirm/files/caso-1/rx.jpg").read_bytes() == b"first"
    assert dvc.status(auditor) == {}
    assert trace_run(auditor, tmp_path / "empty", run.commit, remote=ADDRESS).ok


def test_a_bucket_that_the_checkouts_own_dvc_configuration_names_needs_no_setting(
    bucket: Bucket, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    options = {"url": ADDRESS, "endpointurl": endpoint, "region": "eu-central-1"}
    options |= {"access_key_id": "me", "secret_access_key": "secret"}
    lines = "".join(f"    {name} = {value}\n" for name, value in options.items())
    (bucket.run.checkout / ".dvc/config.local").write_text(f"['remote \"store\"']\n{lines}")
    with open_workspace(bucket.run.checkout, bucket.run.home, bucket.run.base) as workspace:
        assert workspace.remote == ADDRESS
        assert push(workspace).verified
    assert bucket.claims_to_be_complete()


def test_what_is_missing_or_damaged_in_the_bucket_is_found_and_repaired(bucket: Bucket) -> None:
    with bucket.workspace() as workspace:
        push(workspace)
        wanted = bucket.keys
        members = sorted(key for key in wanted if "/files/md5/" in key and not key.endswith(".dir"))
        bucket.plain.delete_object(Bucket=BUCKET, Key=members[0])
        bucket.plain.put_object(Bucket=BUCKET, Key=members[1], Body=wanted[members[1]][:-1])
        bucket.plain.put_object(Bucket=BUCKET, Key=members[2], Body=bytes(len(wanted[members[2]])))
        found = push(workspace)
        # The listings stand, so DVC believed that nothing was missing.
        assert (found.standing, found.restored) == (False, 3)
        assert bucket.keys == wanted
        assert bucket.claims_to_be_complete()


def test_an_object_whose_etag_is_no_md5_is_read_back_once_and_then_known_by_it(bucket: Bucket) -> None:
    with bucket.workspace() as workspace:
        push(workspace)
        key, data = next((key, data) for key, data in bucket.keys.items() if data == b"first")
        # As every upload in several parts: the ETag is the MD5 of MD5s, with a dash.
        upload = bucket.plain.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        part = bucket.plain.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=1, Body=data)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        bucket.plain.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload=parts)
        assert "-" in bucket.plain.head_object(Bucket=BUCKET, Key=key)["ETag"]
        first, second = push(workspace), push(workspace)
        assert [(found.standing, found.read) for found in (first, second)] == [(True, 1), (True, 0)]


def test_no_marker_stands_where_an_object_is_lost(bucket: Bucket) -> None:
    with bucket.workspace() as workspace:
        push(workspace)
        key, _ = next((key, data) for key, data in bucket.keys.items() if data == b"first")
        bucket.plain.delete_object(Bucket=BUCKET, Key=key)
        for path in (*(bucket.run.home / "dvc/cache").rglob("*"), *(workspace.path / "data").rglob("*")):
            if path.is_file() and path.read_bytes() == b"first":
                path.unlink()
        with pytest.raises(VersioningError, match=r"caso-1/rx\.jpg.*s3://hospital/cxr/data/files/md5") as caught:
            push(workspace)
        assert caught.value.reason == "remote_incomplete"
        assert bucket.marker not in bucket.keys


def test_a_bucket_that_is_not_there_or_does_not_answer_is_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VersioningError, match="s3://nowhere/x/files/md5") as caught:
        connect("nowhere", "x", {}).standing(["0" * 32])
    assert caught.value.reason == "remote_unreadable"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(VersioningError) as caught:
        connect(BUCKET, "x", {}).read_note("cxr/complete/0.json")
    assert caught.value.reason == "remote_unreadable"


def test_a_store_reads_writes_and_lists_more_than_one_page(bucket: Bucket) -> None:
    store = open_store(ADDRESS)
    assert isinstance(store, S3Store)
    assert store.address == ADDRESS
    for number in range(1005):
        bucket.plain.put_object(Bucket=BUCKET, Key=f"{PREFIX}files/md5/ab/{number:030x}", Body=b"x" * (number % 7))
    md5s = [f"ab{number:030x}" for number in range(1005)]
    standing = store.standing([*md5s, "cd" + "0" * 30])
    assert {md5: found.size for md5, found in standing.items()} == {md5: number % 7 for number, md5 in enumerate(md5s)}
    assert store.standing([]) == {}
    assert store.read_note("cxr/a") is None
    store.write_note("cxr/a", b"note")
    assert store.read_note("cxr/a") == b"note"
    store.remove_note("cxr/a")
    store.remove_note("cxr/a")
    assert store.read_note("cxr/a") is None
    stream = store.open(md5s[6], start=4)
    assert stream is not None
    with stream:
        assert stream.read() == b"xx"
    assert store.open("0" * 32) is None


def test_dvcs_own_options_of_the_remote_reach_the_client() -> None:
    store = connect(
        "b",
        "p",
        {
            "endpointurl": "http://127.0.0.1:1",
            "region": "eu-west-3",
            "access_key_id": "me",
            "secret_access_key": "secret",
            "ssl_verify": "false",
        },
    )
    assert store.client.meta.endpoint_url == "http://127.0.0.1:1"
    assert store.client.meta.region_name == "eu-west-3"
    with pytest.raises(VersioningError) as caught:
        connect("b", "p", {"profile": "nobody-has-this-profile"})
    assert caught.value.reason == "remote_unreadable"
