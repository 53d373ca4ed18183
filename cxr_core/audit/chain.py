"""From a run's commit to every X-ray behind it, each link re-derived: the one entry point of tracing.

``commit → dvc.lock → listings → objects → records, cohort, split, store → images``

Comes in: how to read a file at the run's commit, and the places that hold copies of data. Goes out: the images and
every check. A broken link is a failing check that names it; nothing is repaired, and nothing is fetched.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from cxr_core.audit.checks import Check, check_of
from cxr_core.audit.images import (
    TracedImage,
    check_sources,
    check_store,
    link_images,
    read_csv_rows,
    read_json_rows,
    read_listing,
)
from cxr_core.audit.lock import Lock, Part, read_lock, read_yaml
from cxr_core.audit.objects import Copies, Object, check_copies, objects_of, open_intact, read_intact
from cxr_core.errors import AuditError

__all__ = ["Trace", "trace_images"]

ReadCommitted = Callable[[str], bytes | None]
"""A file's bytes at the run's commit, by relative POSIX path; None where the commit has none."""

T = TypeVar("T")

_PINS = "data/sources.lock.yaml"
_RAW = "data/raw/"
_COHORT = "data/cohort/cohort.csv"
_SPLIT = "data/split/split.csv"
_INDEX = "data/store/index.csv"
_STORE = "data/store/images.npy"
_HINT = "git show COMMIT:dvc.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a walk from a commit to its images found.

    Args:
        data: The data version, ``sha256:…`` over dvc.lock's outputs.
        images: Every X-ray of the cohort, in its order.
        checks: What was compared.
    """

    data: str
    images: tuple[TracedImage, ...]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every link holds."""
        return all(check.ok for check in self.checks)


def trace_images(*, committed: ReadCommitted, copies: Sequence[Copies]) -> Trace:
    """Walk from a run's commit to its images and check every link and every copy.

    Args:
        committed: Reads the run's commit.
        copies: Where data is: caches, workspaces, the remote. The first intact copy is used for reading tables.

    Raises:
        AuditError: The commit has no dvc.lock, or one that cannot be read.
    """
    text = committed("dvc.lock")
    if text is None:
        raise AuditError("The commit has no dvc.lock, so it names no data.", reason="no_lock", hint=_HINT)
    lock = read_lock(text)
    objects, listing_faults = _objects(lock, copies)
    images, table_checks, recorded = _tables(objects, copies, _pins(lock))
    objects = [replace(item, **recorded.get(item.path, {})) for item in objects]
    checks = [
        _check_inputs(lock),
        _check_code(lock, committed),
        _check_params(lock, committed),
        check_of("listings", listing_faults, otherwise=f"{len(lock.outputs)} outputs, {len(objects)} objects"),
        *table_checks,
        *check_copies(objects, copies),
    ]
    return Trace(data=lock.version, images=images, checks=tuple(checks))


def _check_inputs(lock: Lock) -> Check:
    """A stage read what the stage before it wrote; `dvc exp save` and hand-edited locks break this."""
    written = {part.path: part.md5 for part in lock.outputs}
    faults = [
        f"{stage.name} read {part.path} as {part.md5}, which was written as {written[part.path]}"
        for stage in lock.stages
        for part in stage.inputs
        if part.path in written and part.md5 != written[part.path]
    ]
    return check_of("stage inputs", faults, otherwise=f"{len(lock.stages)} stages read what was written before them")


def _check_code(lock: Lock, committed: ReadCommitted) -> Check:
    written = {part.path for part in lock.outputs}
    code = {(part.path, part.md5) for stage in lock.stages for part in stage.inputs if part.path not in written}
    faults: list[str] = []
    for path, md5 in sorted(code):
        data = committed(path)
        found = None if data is None else hashlib.md5(data, usedforsecurity=False).hexdigest()
        if found != md5:
            faults.append(f"{path} ran as {md5}, the commit has {found or 'no such file'}")
    return check_of("code", faults, otherwise=f"{len(code)} files ran as the commit has them")


def _check_params(lock: Lock, committed: ReadCommitted) -> Check:
    faults: list[str] = []
    number = 0
    for file in sorted({file for stage in lock.stages for file in stage.params}):
        data = committed(file)
        values = {} if data is None else read_yaml(data, file)
        for stage in lock.stages:
            for key, used in stage.params.get(file, {}).items():
                number += 1
                if (found := _lookup(values, key)) != used:
                    faults.append(f"{stage.name} ran with {file}:{key} = {used!r}, the commit has {found!r}")
    return check_of("parameters", faults, otherwise=f"{number} values stand in the commit as they were used")


def _lookup(values: Any, key: str) -> Any:
    for word in key.split("."):
        values = cast(Mapping[str, Any], values).get(word) if isinstance(values, Mapping) else None
    return values


def _objects(lock: Lock, copies: Sequence[Copies]) -> tuple[list[Object], list[str]]:
    objects: list[Object] = []
    faults: list[str] = []
    for part in lock.outputs:
        whole = Object(path=part.path, part=part.path, md5=part.md5)
        try:
            found = objects_of(part, read_intact(whole, copies) if part.is_folder else None)
        except AuditError as error:
            faults.append(error.message)
            objects.append(whole)
            continue
        faults += _part_faults(part, found)
        objects += found
    return objects, faults


def _part_faults(part: Part, found: Sequence[Object]) -> list[str]:
    times = Counter(item.path for item in found)
    return [f"{path}: listed {number} times in {part.md5}" for path, number in times.items() if number > 1]


def _pins(lock: Lock) -> dict[str, str]:
    """The revision that each source was ingested at."""
    return {
        source: str(revision)
        for stage in lock.stages
        for source in [stage.name.removeprefix("ingest@")]
        if (revision := _lookup(stage.params.get(_PINS, {}).get(f"sources.{source}"), "revision"))
    }


def _tables(
    objects: Sequence[Object], copies: Sequence[Copies], pins: Mapping[str, str]
) -> tuple[tuple[TracedImage, ...], list[Check], dict[str, dict[str, str]]]:
    """Images, checks, and by object path what the records state of the X-ray there."""
    by_path = {item.path: item for item in objects}
    faults: list[str] = []

    def rows(path: str, parse: Callable[[bytes], list[T]]) -> list[T]:
        data = read_intact(by_path[path], copies) if path in by_path else None
        try:
            return parse(data) if data is not None else []
        except ValueError as error:
            faults.append(f"{path}: {error}")
            return []

    tables = [path for path in by_path if path.startswith(_RAW) and path.endswith("/records.jsonl")]
    records = [row for path in sorted(tables) for row in rows(path, read_json_rows)]
    cohort, split, index = (rows(path, read_csv_rows) for path in (_COHORT, _SPLIT, _INDEX))
    images, checks = link_images(cohort, records=records, split=split)
    listings = {
        source: rows(path, read_listing) for source in pins if (path := f"{_RAW}{source}/listing.jsonl") in by_path
    }
    checks.append(check_sources(records, listings=listings, pins=pins))
    stream = open_intact(by_path[_STORE], copies) if _STORE in by_path else None
    if stream is not None:
        with closing(stream):
            checks.append(check_store(cohort, index=index, images=stream))
    faults += [f"{path}: not in dvc.lock" for path in (_COHORT, _SPLIT, _INDEX, _STORE) if path not in by_path]
    recorded = {
        f"{_RAW}{row.get('source')}/files/{row.get('path')}": {
            "image": str(row.get("name")),
            "sha256": str(row.get("sha256")),
        }
        for row in records
    }
    faults += [f"{facts['image']}: no file {path}" for path, facts in recorded.items() if path not in by_path]
    checks.append(check_of("tables", faults, otherwise=f"{len(records)} records, {len(cohort)} cohort rows"))
    return images, checks, recorded
