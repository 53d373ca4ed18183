"""Whether a remote holds what a manifest says, object by object: by what the store tells, or by reading every byte.

Comes in: a store, the objects wanted. Goes out: a fault each that is missing, has another size or other bytes. Laws: an
object without a fault was there in the right size, and unless ``depth`` is ``presence`` its bytes had the SHA-256 of
the manifest: read now, read before under a stamp that still stands, or (S3) MD5 taken by the store of what it received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from cxr_core.audit.manifest import Entry, Fault
from cxr_core.audit.objects import Reading, read_stream
from cxr_core.errors import VersioningError
from tasks.adapters.objects import ObjectStore, Standing
from tasks.adapters.receipts import Receipts

__all__ = ["Counted", "Depth", "Survey", "in_threads", "survey"]

Depth = Literal["presence", "unseen", "all"]
"""Which objects are read: none, those whose bytes nothing yet vouches for, all."""

Counted = Callable[[int, int], None]
"""Told how many of how many objects are done."""

_T = TypeVar("_T")
_R = TypeVar("_R")

_READERS = 8
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What was found.

    Args:
        faults: By path; empty where every object is right.
        read: How many objects were read whole.
    """

    faults: tuple[Fault, ...]
    read: int


def survey(
    store: ObjectStore,
    wanted: Mapping[str, Entry],
    *,
    depth: Depth,
    receipts: Receipts | None = None,
    counted: Counted = lambda done, total: None,
) -> Survey:
    """Compare objects at a store with what they should be.

    Args:
        store: The remote.
        wanted: By MD5.
        depth: What is read.
        receipts: What was read before; what is read now is added. Needed for ``unseen``.
        counted: Told of every object that is read.

    Raises:
        VersioningError: The store does not answer.
    """
    standing = store.standing(wanted)
    faults = [fault for entry in wanted.values() if (fault := _shape_fault(store, entry, standing.get(entry.md5)))]
    wrong = {fault.md5 for fault in faults}
    present = [entry for entry in wanted.values() if entry.md5 not in wrong]
    if depth == "presence":
        return Survey(faults=_sorted(faults), read=0)
    unread = present if depth == "all" or receipts is None else _unseen(store, present, standing, receipts)
    found = in_threads(unread, lambda entry: _read(store, entry.md5), counted)
    right: dict[str, tuple[str, str]] = {}
    for entry, reading in zip(unread, found, strict=True):
        if isinstance(reading, Reading) and reading.sha256 == entry.sha256:
            right[entry.md5] = (standing[entry.md5].stamp, entry.sha256)
        else:
            faults.append(_byte_fault(store, entry, reading))
    if receipts is not None:
        receipts.keep_verified(store.address, right)
    return Survey(faults=_sorted(faults), read=len(unread))


def in_threads(items: list[_T], work: Callable[[_T], _R], counted: Counted) -> list[_R]:
    """Results in the items' order; waiting for disks and networks is shared by some threads."""
    results: list[_R] = []
    with ThreadPoolExecutor(_READERS) as pool:
        for result in pool.map(work, items):
            results.append(result)
            counted(len(results), len(items))
    return results


def _unseen(
    store: ObjectStore, present: Iterable[Entry], standing: Mapping[str, Standing], receipts: Receipts
) -> list[Entry]:
    # MD5 computed by the store over what it received is as good here as reading: our SHA-256 was taken of bytes that
    # had this very MD5. A forged collision would need to lie in our own cache first.
    asked = [entry for entry in present if standing[entry.md5].computed_md5 != entry.md5.removesuffix(".dir")]
    seen = receipts.verified(store.address, [entry.md5 for entry in asked])
    return [entry for entry in asked if seen.get(entry.md5) != (standing[entry.md5].stamp, entry.sha256)]


def _read(store: ObjectStore, md5: str) -> Reading | str | None:
    """None: not there; text: why it cannot be read."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            stream = store.open(md5)
            return None if stream is None else read_stream(stream)
        except OSError as error:
            # A bad sector is one object's fault.
            return f"cannot be read: {error.strerror}"
        except VersioningError as error:
            if error.reason == "object_unreadable":
                return error.message
            # A connection that broke among thousands is no verdict on the object; one that stays broken is no object's.
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _shape_fault(store: ObjectStore, entry: Entry, found: Standing | None) -> Fault | None:
    if found is None:
        return Fault(path=entry.path, md5=entry.md5, kind="missing", detail=f"not at {store.where(entry.md5)}")
    if found.size != entry.size:
        detail = f"{store.where(entry.md5)}: has {found.size} bytes, expected {entry.size}"
        return Fault(path=entry.path, md5=entry.md5, kind="size", detail=detail)
    return None


def _byte_fault(store: ObjectStore, entry: Entry, reading: Reading | str | None) -> Fault:
    place = store.where(entry.md5)
    if reading is None:
        return Fault(path=entry.path, md5=entry.md5, kind="missing", detail=f"gone from {place}")
    found = reading if isinstance(reading, str) else f"has {reading.sha256}, expected {entry.sha256}"
    return Fault(path=entry.path, md5=entry.md5, kind="damaged", detail=f"{place}: {found}")


def _sorted(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.path))
