"""The whole way over S3: published from one machine, verified and pulled on another that has nothing but a clone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.adapters import dvc
from tasks.adapters.git import snapshot
from tasks.adapters.sharing import run_message
from tasks.adapters.workspace import commit_run, open_workspace, push
from tasks.data_transfer import pull_data, verify_data
from tests.tasks.adapters.s3_server import BUCKET, client, s3_environment, serve_s3
from tests.tasks.adapters.tiny import git, make_checkout

ADDRESS = f"s3://{BUCKET}/cxr"


def test_a_fresh_clone_gets_every_byte_from_a_bucket_or_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("CXR_DVC_REMOTE", ADDRESS)
    checkout = make_checkout(tmp_path / "checkout")
    with serve_s3() as endpoint:
        for name, value in s3_environment(endpoint).items():
            monkeypatch.setenv(name, value)
        plain = client(endpoint)
        plain.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        with open_workspace(checkout, checkout / ".cxr", snapshot(checkout), remote=ADDRESS) as workspace:
            dvc.repro(workspace.path, environment={}, on_line=lambda _: None)
            manifest = push(workspace).manifest
            commit_run(workspace, "r1", run_message(manifest.digest))
            files = {entry.path: (workspace.path / entry.path).read_bytes() for entry in manifest.files}
        git(tmp_path, "clone", "--quiet", checkout.as_uri(), "fresh")
        git(tmp_path / "fresh", "fetch", "--quiet", "origin", "refs/cxr/*:refs/cxr/*")
        monkeypatch.chdir(tmp_path / "fresh")
        monkeypatch.setenv("CXR_HOME", str(tmp_path / "home"))
        whole = verify_data("r1", quick=False)
        assert (whole["ok"], whole["read"]) == (True, len(manifest.objects))
        image = next(entry for entry in manifest.files if entry.path.endswith("images.npy"))
        partial = tmp_path / "out/.cxr-partial" / image.md5
        partial.parent.mkdir(parents=True)
        partial.write_bytes(files[image.path][:33])
        assert pull_data("r1", to=tmp_path / "out")["ok"]
        found = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert {path.relative_to(tmp_path / "out").as_posix(): data for path, data in found.items()} == files
        laid_out = pull_data("r1", to=None)
        assert laid_out["ok"]
        assert {path: (Path(laid_out["to"]) / path).read_bytes() for path in files} == files
        assert dvc.status(Path(laid_out["to"])) == {}
        name = f"cxr/files/md5/{image.md5[:2]}/{image.md5[2:]}"
        plain.put_object(Bucket=BUCKET, Key=name, Body=bytes(image.size))
        assert verify_data("r1", quick=True)["ok"]
        assert verify_data("r1", quick=False)["damaged"] == [image.path]
        plain.delete_object(Bucket=BUCKET, Key=name)
        monkeypatch.setenv("CXR_HOME", str(tmp_path / "other-home"))
        report = pull_data("r1", to=tmp_path / "again")
        assert (report["ok"], report["missing"]) == (False, [image.path])
