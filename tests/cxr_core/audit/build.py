"""A data version in memory: three X-rays of two sources as files, their dvc.lock, and places that hold copies."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from cxr_core.audit.objects import Copies, Object
from cxr_core.digests import digest_bytes, digest_value

IMAGES = {"sirm:caso-1/rx.jpg": b"first", "sirm:caso-2/rx.jpg": b"second", "github:images/a.png": b"third"}
LABELS = ("covid", "viral", "normal")
SIZE = 4
PINS = "data/sources.lock.yaml"
CODE = b"print('curate')\n"
PARAMS = b"curate:\n  quota: {covid: 1}\nsplit:\n  folds: 3\n"


@dataclass(kw_only=True)
class Version:
    """Files by path, what the commit holds, and the objects by MD5."""

    files: dict[str, bytes]
    committed: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def data_files() -> dict[str, bytes]:
    """What the four stages leave in a workspace."""
    rng = np.random.default_rng(7)
    store = rng.integers(0, 256, (len(IMAGES), SIZE, SIZE), dtype=np.uint8)
    files: dict[str, bytes] = {}
    cohort: list[dict[str, Any]] = []
    for source in ("sirm", "github"):
        records = [_record(name, data) for name, data in IMAGES.items() if name.startswith(source)]
        listed = [[row["path"], len(IMAGES[row["name"]]), row["source_sha256"]] for row in records]
        files[f"data/raw/{source}/listing.jsonl"] = "".join(json.dumps(row) + "\n" for row in listed).encode()
        files[f"data/raw/{source}/records.jsonl"] = "".join(json.dumps(row) + "\n" for row in records).encode()
        for row in records:
            files[f"data/raw/{source}/files/{row['path']}"] = IMAGES[row["name"]]
            label = LABELS[len(cohort)]
            cohort.append({**row, "label": label, "group": md5(row["name"].encode())[:16]})
    split = [{"name": r["name"], "sha256": r["sha256"], "label": r["label"], "group": r["group"]} for r in cohort]
    index = [{"row": i, "name": row["name"], "sha256": row["sha256"]} for i, row in enumerate(cohort)]
    files["data/cohort/cohort.csv"] = to_csv(cohort)
    files["data/split/split.csv"] = to_csv([{**row, **dealt(i)} for i, row in enumerate(split)])
    files["data/store/index.csv"] = to_csv(
        [{**row, "tensor_sha256": digest_bytes(store[i].tobytes())} for i, row in enumerate(index)]
    )
    images = io.BytesIO()
    np.save(images, store, allow_pickle=False)
    files["data/store/images.npy"] = images.getvalue()
    return files


def dealt(fold: int) -> dict[str, Any]:
    """A split row's columns of folds, three in all: the one that tests it, then its role in each."""
    roles = {0: "test", 1: "train", 2: "validation"}
    return {"fold": fold, **{f"fold_{number}": roles[(number - fold) % 3] for number in range(3)}}


def pins_of(files: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """What data/sources.lock.yaml says of each source."""
    return {
        source: {"revision": _revision(files.get(f"data/raw/{source}/listing.jsonl", b""))}
        for source in ("sirm", "github")
    }


def commit(files: Mapping[str, bytes], change: Callable[[dict[str, Any]], None] | None = None) -> Version:
    """Name files by a dvc.lock; ``change`` edits its parsed form before it is written."""
    version = Version(files=dict(files))
    pins = pins_of(files)
    raw = {source: _output(version, f"data/raw/{source}") for source in ("sirm", "github")}
    cohort, store, split = (_output(version, f"data/{word}") for word in ("cohort", "store", "split"))
    code = {"path": "cxr_core/curate.py", "hash": "md5", "md5": md5(CODE), "size": len(CODE)}
    lock: dict[str, Any] = {
        "schema": "2.0",
        "stages": {
            **{
                f"ingest@{source}": {
                    "cmd": "…",
                    "params": {PINS: {f"sources.{source}": pins[source]}},
                    "outs": [out],
                }
                for source, out in raw.items()
            },
            "curate": {
                "cmd": "…",
                "deps": [code, *raw.values()],
                "params": {"params.yaml": {"curate": {"quota": {"covid": 1}}}},
                "outs": [cohort],
            },
            "prepare": {"cmd": "…", "deps": [cohort, *raw.values()], "outs": [store]},
            "split": {"cmd": "…", "deps": [cohort], "params": {"params.yaml": {"split.folds": 3}}, "outs": [split]},
        },
    }
    if change is not None:
        change(lock)
    # Through JSON, so that YAML writes no anchors.
    text = yaml.safe_dump(json.loads(json.dumps(lock)), sort_keys=False)
    version.committed[PINS] = json.dumps({"sources": pins}).encode()
    version.committed |= {"dvc.lock": text.encode(), "cxr_core/curate.py": CODE, "params.yaml": PARAMS}
    return version


def places(version: Version) -> tuple[dict[str, bytes], dict[str, bytes], list[Copies]]:
    """A workspace's files, a remote's objects (both free to damage), and the two as copies."""
    workspace, remote = dict(version.files), dict(version.objects)
    return workspace, remote, [in_memory("remote", remote, by_md5=True), in_memory("workspace", workspace)]


def in_memory(name: str, held: Mapping[str, bytes], *, by_md5: bool = False) -> Copies:
    def key(wanted: Object) -> str:
        return wanted.md5 if by_md5 else wanted.path

    def open_bytes(wanted: Object) -> io.BytesIO | None:
        data = held.get(key(wanted))
        return None if data is None else io.BytesIO(data)

    return Copies(name=name, open=open_bytes, where=lambda wanted: f"{name}/{key(wanted)}", complete=by_md5)


def to_csv(rows: list[dict[str, Any]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _record(name: str, data: bytes) -> dict[str, Any]:
    source, path = name.split(":")
    return {
        "name": name,
        "source": source,
        "path": path,
        "sha256": digest_bytes(data),
        "source_sha256": digest_bytes(b"at its source: " + data),
        "label_provenance": "rt_pcr",
        "pixel_sha256": digest_bytes(data[::-1]),
    }


def _revision(listing: bytes) -> str:
    return digest_value([json.loads(line) for line in listing.splitlines()])


def _output(version: Version, path: str) -> dict[str, Any]:
    members = {name: data for name, data in version.files.items() if name.startswith(path + "/")}
    rows = [{"md5": md5(data), "relpath": name.removeprefix(path + "/")} for name, data in sorted(members.items())]
    listing = json.dumps(rows).encode()
    version.objects |= {md5(data): data for data in members.values()} | {md5(listing) + ".dir": listing}
    size = sum(map(len, members.values()))
    return {"path": path, "hash": "md5", "md5": md5(listing) + ".dir", "size": size, "nfiles": len(members)}
