"""The bytes behind digests: which objects a data version consists of, and whether each copy of them holds.

Comes in: folders' listings (DVC's ``.dir`` objects: JSON rows of md5 and relpath) and ``Copies``, each of which opens
an object's bytes. Laws: a copy that is there must match; one that must be complete may lack nothing; every object is
whole in at least one copy. MD5 names objects for DVC; an image's SHA-256 is checked in the same reading, since MD5 does
not withstand somebody who wants a collision.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from cxr_core.audit.checks import Check, check_of
from cxr_core.audit.lock import Part
from cxr_core.errors import AuditError

__all__ = [
    "Copies",
    "Object",
    "Reading",
    "check_copies",
    "is_inside",
    "objects_of",
    "open_intact",
    "read_intact",
    "read_stream",
]

_CHUNK_BYTES = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Object:
    """Bytes that a data version consists of.

    Args:
        path: Relative to a workspace, POSIX; a listing has its folder's path.
        part: Path of the DVC output it belongs to.
        md5: As DVC names it; a listing's ends in ``.dir``.
        image: Name of the X-ray it is; empty for anything else.
        sha256: ``sha256:…`` that an X-ray's record states; empty where none does.
    """

    path: str
    part: str
    md5: str
    image: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """One place that holds copies of objects.

    Args:
        name: E.g. ``remote``, ``cache``, ``workspace retrain-1``.
        open: An object's bytes, or None where it is not here; never called where ``unread`` says something.
        where: How people find an object here, for messages.
        complete: Whether an object that is not here is a fault.
        unread: Why this place is not read; empty where it is.
    """

    name: str
    open: Callable[[Object], BinaryIO | None]
    where: Callable[[Object], str]
    complete: bool
    unread: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one reading of a stream found.

    Args:
        md5: 32 hex digits.
        sha256: ``sha256:…``.
        size: Bytes.
    """

    md5: str
    sha256: str
    size: int


def is_inside(path: str) -> bool:
    """Whether a relative POSIX path stays in the folder it is laid out in."""
    return "\0" not in path and not {"", ".", ".."} & {*path.split("/")}


def read_stream(stream: BinaryIO) -> Reading:
    """Both digests and the size of a stream, which is read to its end and closed."""
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    with closing(stream):
        while chunk := stream.read(_CHUNK_BYTES):
            md5.update(chunk)
            sha256.update(chunk)
            size += len(chunk)
    return Reading(md5=md5.hexdigest(), sha256="sha256:" + sha256.hexdigest(), size=size)


def objects_of(part: Part, listing: bytes | None) -> list[Object]:
    """The objects of a DVC output: its listing and members, or the one file.

    Args:
        part: The output.
        listing: The ``.dir`` object's bytes where the output is a folder.

    Raises:
        AuditError: The listing is not that of the output, or not one.
    """
    if not part.is_folder:
        return [Object(path=part.path, part=part.path, md5=part.md5)]
    data = listing or b""
    if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" != part.md5:
        raise _refusal(part, "its bytes do not have that MD5")
    try:
        rows = json.loads(data)
    except ValueError as error:
        raise _refusal(part, "it is not JSON") from error
    if not isinstance(rows, list):
        raise _refusal(part, "it is not a list")
    members = [_member(part, row) for row in cast(list[Any], rows)]
    return [Object(path=part.path, part=part.path, md5=part.md5), *members]


def open_intact(wanted: Object, copies: Iterable[Copies]) -> BinaryIO | None:
    """An object's bytes from the first copy that holds them unchanged, or None; the caller closes the stream."""
    for place in copies:
        stream = None if place.unread else place.open(wanted)
        if stream is None:
            continue
        md5, _ = _digests(stream, with_sha256=False)
        if md5 == wanted.md5.removesuffix(".dir"):
            return place.open(wanted)
    return None


def read_intact(wanted: Object, copies: Iterable[Copies]) -> bytes | None:
    """As ``open_intact``, read whole: for tables and listings, not for pictures."""
    stream = open_intact(wanted, copies)
    if stream is None:
        return None
    with closing(stream):
        return stream.read()


def check_copies(objects: Sequence[Object], copies: Sequence[Copies]) -> list[Check]:
    """Read every copy of every object: one check a place, and one that nothing is lost."""
    checks: list[Check] = []
    whole: set[str] = set()
    for place in copies:
        if place.unread:
            checks.append(Check(name=f"copies: {place.name}", ok=True, detail=f"not read: {place.unread}"))
            continue
        faults: list[str] = []
        absent = 0
        for wanted in objects:
            fault = _fault(wanted, place)
            if fault is None:
                absent += 1
                if place.complete:
                    faults.append(f"{_who(wanted)}: not there: {place.where(wanted)}")
            elif fault:
                faults.append(fault)
            else:
                whole.add(wanted.md5)
        found = f"{len(objects) - absent} of {len(objects)} objects are there, all unchanged"
        checks.append(check_of(f"copies: {place.name}", faults, otherwise=found))
    lost = [f"{_who(wanted)}: no unchanged copy anywhere" for wanted in objects if wanted.md5 not in whole]
    return [*checks, check_of("nothing lost", lost, otherwise=f"{len(objects)} objects have an unchanged copy")]


def _fault(wanted: Object, place: Copies) -> str | None:
    """None: not there; empty: unchanged; else what is wrong."""
    stream = place.open(wanted)
    if stream is None:
        return None
    md5, sha256 = _digests(stream, with_sha256=bool(wanted.sha256))
    if md5 != wanted.md5.removesuffix(".dir"):
        return f"{_who(wanted)}: {place.where(wanted)} has MD5 {md5}, expected {wanted.md5}"
    if wanted.sha256 and sha256 != wanted.sha256:
        return f"{_who(wanted)}: {place.where(wanted)} has {sha256}, recorded {wanted.sha256}"
    return ""


def _digests(stream: BinaryIO, *, with_sha256: bool) -> tuple[str, str]:
    """Hex MD5 and ``sha256:…`` of a stream, which is read to its end and closed."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with closing(stream):
        while chunk := stream.read(_CHUNK_BYTES):
            md5.update(chunk)
            if with_sha256:
                sha256.update(chunk)
    return md5.hexdigest(), "sha256:" + sha256.hexdigest()


def _who(wanted: Object) -> str:
    return wanted.image or wanted.path


def _member(part: Part, row: Any) -> Object:
    fields = cast(dict[str, Any], row) if isinstance(row, dict) else {}
    md5, path = fields.get("md5"), fields.get("relpath")
    if not isinstance(md5, str) or not _MD5.fullmatch(md5) or not isinstance(path, str):
        raise _refusal(part, f"a row is {row!r}")
    # A member may never be read from outside its folder.
    if not is_inside(path):
        raise _refusal(part, f"a member's path leaves the folder: {path!r}")
    return Object(path=f"{part.path}/{path}", part=part.path, md5=md5)


def _refusal(part: Part, fault: str) -> AuditError:
    return AuditError(
        f"The listing {part.md5} of {part.path} cannot be used: {fault}.",
        reason="bad_listing",
        hint="dvc pull",
    )
