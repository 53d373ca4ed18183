"""The manifest of a data version: every object with our own SHA-256, and the marker that says all of them were there.

Comes in: a dvc.lock, its objects, what was measured of each. Goes out: canonical JSON that is the same for the same
data on every machine, so that its SHA-256 names it; and, read back, entries whose paths stay inside the folder they
are laid out in. Laws: ``parse_manifest(manifest.encoded()) == manifest``; one byte changed anywhere changes the
manifest's digest; a manifest states its data version, which follows from its own entries.

MD5 names objects for DVC but does not withstand somebody who wants a collision: SHA-256 is what proves bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cxr_core.audit.lock import Lock
from cxr_core.audit.objects import Object, Reading, is_inside
from cxr_core.digests import canonical_json, digest_bytes, digest_value
from cxr_core.errors import AuditError

__all__ = [
    "Entry",
    "Fault",
    "Manifest",
    "Marker",
    "manifest_faults",
    "manifest_name",
    "manifest_of",
    "marker_name",
    "parse_manifest",
    "parse_marker",
]

Sha256 = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def encoded(self) -> bytes:
        """Canonical JSON in UTF-8 with a newline at its end, as it stands at the remote."""
        return (canonical_json(self.model_dump(mode="json", by_alias=True)) + "\n").encode()

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of the encoded bytes: what ``sha256sum`` prints of the file."""
        return digest_bytes(self.encoded())


class Entry(_Record):
    """One file of a data version, or the listing of one of its folders.

    Attributes:
        path: Relative to a workspace, POSIX; a listing has its folder's path.
        md5: As DVC names the object; a listing's ends in ``.dir``.
        sha256: ``sha256:…`` of the bytes.
        size: Bytes.
    """

    path: str
    md5: str = Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")
    sha256: Sha256
    size: int = Field(ge=0)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not is_inside(path):
            raise ValueError(f"{path!r} leaves the folder")
        return path

    @property
    def is_listing(self) -> bool:
        """Whether it is DVC's listing of a folder, which has no file in a workspace."""
        return self.md5.endswith(".dir")


class Manifest(_Record):
    """A whole data version.

    Attributes:
        data: The data version, ``sha256:…`` over path and MD5 of every output of dvc.lock.
        entries: By path.
    """

    # Not named ``schema``: pydantic's own method has that name.
    version: Literal[1] = Field(default=1, alias="schema")
    data: Sha256
    entries: tuple[Entry, ...]

    @cached_property
    def objects(self) -> dict[str, Entry]:
        """One entry an object; several files with the same bytes are one object."""
        return {entry.md5: entry for entry in reversed(self.entries)}

    @property
    def files(self) -> tuple[Entry, ...]:
        """The entries that are files in a workspace."""
        return tuple(entry for entry in self.entries if not entry.is_listing)

    @cached_property
    def total_bytes(self) -> int:
        """Bytes of all objects together."""
        return sum(entry.size for entry in self.objects.values())


class Marker(_Record):
    """Says that every object of a data version was verified at the remote; written last.

    Attributes:
        data: The data version.
        manifest: The digest of its manifest.
        objects: How many there are.
        bytes: Of all objects together.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    data: Sha256
    manifest: Sha256
    objects: int = Field(ge=0)
    bytes: int = Field(ge=0)

    @classmethod
    def of(cls, manifest: Manifest) -> Marker:
        """The marker that names a manifest."""
        return cls(
            data=manifest.data, manifest=manifest.digest, objects=len(manifest.objects), bytes=manifest.total_bytes
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Why an object at a remote is not what its manifest says.

    Args:
        path: The first file that consists of it.
        md5: The object.
        kind: It is not there, has another size, or has other bytes of that size.
        detail: Where, and expected against found.
    """

    path: str
    md5: str
    kind: Literal["missing", "size", "damaged"]
    detail: str

    @property
    def words(self) -> str:
        """One line for people."""
        return f"{self.path}: {self.detail}"


def manifest_name(data: str) -> str:
    """Where the manifest of a data version lies under a remote's root."""
    return f"cxr/manifests/{data.removeprefix('sha256:')}.json"


def marker_name(data: str) -> str:
    """Where the marker of a data version lies under a remote's root."""
    return f"cxr/complete/{data.removeprefix('sha256:')}.json"


def manifest_of(lock: Lock, objects: Iterable[Object], measured: Mapping[str, Reading]) -> Manifest:
    """Put together what a lock's objects were measured to be.

    Args:
        lock: The data version.
        objects: All of its objects.
        measured: By MD5 as DVC names objects; every object must have been read.

    Raises:
        AuditError: A listing states a path twice, or one that leaves its folder.
    """
    entries = [
        Entry(path=item.path, md5=item.md5, sha256=measured[item.md5].sha256, size=measured[item.md5].size)
        for item in objects
    ]
    entries.sort(key=lambda entry: entry.path)
    return _checked(Manifest(data=lock.version, entries=tuple(entries)))


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        AuditError: It is none, not in canonical form, states a path twice or one that leaves its folder, or a data
            version that does not follow from its entries.
    """
    return _checked(_parse(Manifest, data, "The manifest"))


def parse_marker(data: bytes) -> Marker:
    """Read a marker.

    Raises:
        AuditError: It is none, or not in canonical form.
    """
    return _parse(Marker, data, "The marker")


def manifest_faults(manifest: Manifest, lock: Lock, objects: Sequence[Object]) -> list[str]:
    """How a manifest differs from a commit's dvc.lock and listings; empty where it states exactly their objects."""
    faults = [] if manifest.data == lock.version else [f"it is of {manifest.data}, the commit's data is {lock.version}"]
    stated = {(entry.path, entry.md5) for entry in manifest.entries}
    wanted = {(item.path, item.md5) for item in objects}
    faults += [f"{path} ({md5}) is in the data but not in the manifest" for path, md5 in sorted(wanted - stated)]
    faults += [f"{path} ({md5}) is in the manifest but not in the data" for path, md5 in sorted(stated - wanted)]
    return faults


def _checked(manifest: Manifest) -> Manifest:
    paths = [entry.path for entry in manifest.entries]
    if len(set(paths)) != len(paths):
        raise _refusal("The manifest", "it states a path twice")
    if manifest.data != _version(manifest.entries):
        raise _refusal("The manifest", f"it says it is of {manifest.data}, its entries are of another data version")
    return manifest


def _version(entries: Sequence[Entry]) -> str:
    """The data version that entries are of: dvc.lock's outputs are the listings and the files outside of them."""
    folders = tuple(f"{entry.path}/" for entry in entries if entry.is_listing)
    outputs = [entry for entry in entries if entry.is_listing or not entry.path.startswith(folders)]
    return digest_value({entry.path: entry.md5 for entry in outputs})


_R = TypeVar("_R", bound=_Record)


def _parse(kind: type[_R], data: bytes, name: str) -> _R:
    try:
        found = kind.model_validate_json(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5])
        raise _refusal(name, faults) from error
    if found.encoded() != data:
        raise _refusal(name, "it is not in canonical form, so its digest would not be that of its bytes")
    return found


def _refusal(name: str, fault: str) -> AuditError:
    return AuditError(f"{name} cannot be used: {fault}.", reason="bad_manifest", hint="cxr data verify")
