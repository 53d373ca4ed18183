"""dvc.lock: bytes in, the data version it states out. Read with our own parser, so that an audit needs no DVC.

Laws: an output is written by one stage; digests are plain MD5 (DVC 3), a folder's is that of its listing and ends in
``.dir``; the data version is a digest over all outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cxr_core.digests import digest_value
from cxr_core.errors import AuditError

__all__ = ["Lock", "Part", "Stage", "read_lock", "read_yaml"]

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A file or folder that a stage read or wrote.

    Args:
        path: Relative to the workspace, POSIX.
        md5: 32 hex digits; with ``.dir``, the MD5 of a folder's listing.
        size: Bytes in all.
    """

    path: str
    md5: str
    size: int

    @property
    def is_folder(self) -> bool:
        """Whether ``md5`` names a listing."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage as it last ran.

    Args:
        name: E.g. ``ingest@sirm``.
        inputs: Code and data it depended on.
        params: Value by dotted key, by file.
        outputs: What it wrote.
    """

    name: str
    inputs: tuple[Part, ...]
    params: Mapping[str, Mapping[str, Any]]
    outputs: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A whole dvc.lock."""

    stages: tuple[Stage, ...]

    @property
    def outputs(self) -> tuple[Part, ...]:
        """What all stages wrote."""
        return tuple(part for stage in self.stages for part in stage.outputs)

    @property
    def version(self) -> str:
        """The data version: ``sha256:…`` over path and MD5 of every output."""
        return digest_value({part.path: part.md5 for part in self.outputs})


def read_lock(data: bytes) -> Lock:
    """Parse dvc.lock.

    Raises:
        AuditError: It is no dvc.lock of schema 2.0, or a digest is not an MD5.
    """
    found = read_yaml(data, "dvc.lock")
    if not isinstance(found, dict) or found.get("schema") != "2.0" or not isinstance(found.get("stages"), dict):
        raise _refusal("expected a mapping with schema '2.0' and stages")
    stages = tuple(_stage(str(name), entry) for name, entry in found["stages"].items())
    written = [part.path for stage in stages for part in stage.outputs]
    twice = sorted({path for path in written if written.count(path) > 1})
    if twice:
        raise _refusal(f"more than one stage writes {', '.join(twice)}")
    return Lock(stages=stages)


def read_yaml(data: bytes, name: str) -> Any:
    """Plain values of a YAML file.

    Raises:
        AuditError: It is not YAML in UTF-8.
    """
    try:
        return YAML(typ="safe", pure=True).load(data.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise AuditError(
            f"{name} is not YAML: {' '.join(str(error).split())}.", reason="bad_yaml", hint=f"Look at {name}."
        ) from error


def _stage(name: str, entry: Any) -> Stage:
    if not isinstance(entry, dict):
        raise _refusal(f"stages.{name}: expected a mapping")
    fields = cast(dict[str, Any], entry)
    return Stage(
        name=name,
        inputs=tuple(_part(f"stages.{name}.deps", part) for part in fields.get("deps") or ()),
        params={str(file): dict(values or {}) for file, values in (fields.get("params") or {}).items()},
        outputs=tuple(_part(f"stages.{name}.outs", part) for part in fields.get("outs") or ()),
    )


def _part(where: str, entry: Any) -> Part:
    fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    path, md5 = fields.get("path"), fields.get("md5")
    if not isinstance(path, str) or not isinstance(md5, str) or not _MD5.fullmatch(md5):
        raise _refusal(f"{where}: expected path and md5, found {entry!r}")
    # Without `hash: md5` the digest is DVC 2's, taken after line ends were changed: it does not name bytes.
    if fields.get("hash") != "md5":
        raise _refusal(f"{where}: {path} has no plain MD5")
    return Part(path=path, md5=md5, size=int(fields.get("size") or 0))


def _refusal(fault: str) -> AuditError:
    return AuditError(f"dvc.lock: {fault}.", reason="bad_lock", hint="Look at it with: git show COMMIT:dvc.lock")
