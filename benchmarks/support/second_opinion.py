"""What the publishing benchmark knows by itself: data versions it made, and remotes read by hashlib, json and boto3.

Nothing of the project's own code is used here, so that what it says of a remote is a second opinion.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["FOLDERS", "QUIET", "Remote", "Version", "key", "next_version", "plain_git", "served"]

BUCKET = "bench"
FOLDERS = ("data/images", "data/store")
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True, kw_only=True)
class Version:
    """Data as the benchmark itself knows it: files by path, objects by DVC's name, and the commit of their dvc.lock."""

    files: dict[str, bytes]
    objects: dict[str, bytes]
    data: str
    commit: str = ""


@dataclass(kw_only=True)
class Remote:
    """A remote, read and filled without any of our code."""

    address: str
    names: Callable[[], set[str]]
    read: Callable[[str], bytes]
    write: Callable[[str, bytes], None]
    clear: Callable[[], None]

    def claims(self, version: Version) -> bool:
        """Whether a marker stands that names the digest of the manifest that stands."""
        marker, manifest = (f"cxr/{kind}/{version.data}.json" for kind in ("complete", "manifests"))
        if not {marker, manifest} <= self.names():
            return False
        digest = "sha256:" + hashlib.sha256(self.read(manifest)).hexdigest()
        return json.loads(self.read(marker))["manifest"] == digest

    def holds(self, version: Version) -> bool:
        """Whether every object is there, byte for byte."""
        if not {key(md5) for md5 in version.objects} <= self.names():
            return False
        with ThreadPoolExecutor(8) as pool:
            return all(pool.map(lambda item: self.read(key(item[0])) == item[1], version.objects.items()))


def next_version(checkout: Path, home: Path, before: Version | None, *, number: int, random: Random) -> Version:
    """New random files, half of the old ones kept; their objects laid into the cache, their dvc.lock committed."""
    kept = {} if before is None else {path: data for path, data in before.files.items() if random.random() < 0.5}
    files = {
        f"{FOLDERS[0]}/{index // 50}/{index}.png": random.randbytes(random.randrange(1, 20_000))
        for index in range(number)
    }
    files = files | {f"{FOLDERS[1]}/images.npy": random.randbytes(2_000_000)} | kept
    objects = {hashlib.md5(data).hexdigest(): data for data in files.values()}
    lock: dict[str, Any] = {"schema": "2.0", "stages": {}}
    outputs: dict[str, str] = {}
    for name in FOLDERS:
        members = {path: data for path, data in sorted(files.items()) if path.startswith(f"{name}/")}
        rows = [
            {"md5": hashlib.md5(data).hexdigest(), "relpath": path[len(name) + 1 :]} for path, data in members.items()
        ]
        listing = json.dumps(rows).encode()
        outputs[name] = hashlib.md5(listing).hexdigest() + ".dir"
        objects[outputs[name]] = listing
        out = {"path": name, "hash": "md5", "md5": outputs[name], "nfiles": len(members)}
        out["size"] = sum(map(len, members.values()))
        lock["stages"][name[5:]] = {"cmd": f"make {name}", "outs": [out]}
    for md5, data in objects.items():
        path = home / "dvc/cache" / key(md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)
    # YAML reads JSON.
    (checkout / "dvc.lock").write_text(json.dumps(lock))
    plain_git(checkout, "add", "dvc.lock")
    plain_git(checkout, "commit", "--quiet", "--message", "another version")
    text = json.dumps(outputs, sort_keys=True, separators=(",", ":"))
    commit = plain_git(checkout, "rev-parse", "HEAD")
    return Version(files=files, objects=objects, data=hashlib.sha256(text.encode()).hexdigest(), commit=commit)


@contextmanager
def served(kind: str, scratch: Path) -> Iterator[Remote]:
    """A remote of a kind, empty; for S3 with a server of its own, which goes when the block ends."""
    if kind == "folder":
        yield _folder(scratch / "remote")
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secrets = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(secrets, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_EC2_METADATA_DISABLED="true")
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], **QUIET)
    try:
        while not _listens(port):
            if server.poll() is not None:
                raise SystemExit("moto's S3 server ended at once: pip install 'moto[server]'")
            time.sleep(0.1)
        yield _bucket()
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _folder(root: Path) -> Remote:
    def write(name: str, data: bytes) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return Remote(
        address=str(root),
        names=lambda: {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()},
        read=lambda name: (root / name).read_bytes(),
        write=write,
        clear=lambda: shutil.rmtree(root, ignore_errors=True),
    )


def _bucket() -> Remote:
    import boto3

    client: Any = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)

    def names() -> set[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="data/")
        return {row["Key"].removeprefix("data/") for page in pages for row in page.get("Contents", [])}

    def clear() -> None:
        keys = [{"Key": f"data/{name}"} for name in names()]
        for start in range(0, len(keys), 1000):
            client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys[start : start + 1000]})

    return Remote(
        address=f"s3://{BUCKET}/data",
        names=names,
        read=lambda name: client.get_object(Bucket=BUCKET, Key=f"data/{name}")["Body"].read(),
        write=lambda name, data: client.put_object(Bucket=BUCKET, Key=f"data/{name}", Body=data),
        clear=clear,
    )


def key(md5: str) -> str:
    """Where DVC keeps an object under a remote's root."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def plain_git(folder: Path, *arguments: str) -> str:
    """Git with an identity, without the user's configuration."""
    who = {f"GIT_{role}_{what}": "bench" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = os.environ | who | {"GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
