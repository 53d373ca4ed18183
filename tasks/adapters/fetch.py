"""Bringing objects back from a remote: each is read into a staging file, checked, and only then takes a name.

Comes in: what a manifest says, a remote, places on this machine that may hold copies. Goes out: ``Fetched``. Laws:
under a final name stands a whole file of the right SHA-256 or none; a file of other bytes is never replaced; what was
fetched before a stop is kept, and a file cut short goes on from where it was. Where the remote lacks anything, nothing
is fetched.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from cxr_core.audit.manifest import Entry, Fault, Manifest
from cxr_core.audit.objects import Copies, Object
from cxr_core.digests import digest_file
from cxr_core.errors import SettingError, VersioningError
from tasks.adapters.objects import ObjectStore, object_name
from tasks.adapters.survey import Counted, in_threads, survey

__all__ = ["CacheTarget", "Fetched", "FolderTarget", "Target", "fetch", "wrong_files"]

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 3
_LOCK = "lock"


class Target(Protocol):
    """Where objects go."""

    @property
    def staging(self) -> Path:
        """A folder on the same file system."""
        ...

    def lacks(self, entry: Entry) -> bool:
        """Whether the object is still to be brought."""
        ...

    def accept(self, entry: Entry, file: Path) -> None:
        """Take over a checked file."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """What was done.

    Args:
        kept: Objects that were in place already.
        copied: From places on this machine.
        downloaded: From the remote.
        faults: Objects that could not be had; where some were missing at the remote, nothing was fetched.
    """

    kept: int
    copied: int
    downloaded: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheTarget:
    """A home's DVC cache, from which workspaces are laid out.

    Args:
        root: The cache.
        data: The data version that is pulled: two pulls of different ones do not meet.
    """

    root: Path
    data: str

    @property
    def staging(self) -> Path:
        """Beside the cache."""
        return self.root.parent / "partial" / self.data.removeprefix("sha256:")[:16]

    def lacks(self, entry: Entry) -> bool:
        """Whether the cache does not have the object with these very bytes."""
        path = self.root / object_name(entry.md5)
        return not path.is_file() or digest_file(path) != entry.sha256

    def accept(self, entry: Entry, file: Path) -> None:
        """Take a checked file over; a damaged object under its name, if there is one, goes."""
        path = self.root / object_name(entry.md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        # DVC takes a read-only object for one that nobody has edited.
        file.chmod(0o444)
        file.replace(path)


class FolderTarget:
    """A folder that gets a data version's files under their own paths.

    Args:
        root: New, or holding files of its own, none of which is touched.
        manifest: What goes there.

    Raises:
        SettingError: It holds a file that would be replaced by one of other bytes.
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self._files: dict[str, list[Entry]] = {}
        for entry in manifest.files:
            self._files.setdefault(entry.md5, []).append(entry)
        self._lacking: dict[str, list[Entry]] = {}
        wrong: list[str] = []
        for md5, entries in self._files.items():
            states = [(entry, _state(root / entry.path, entry)) for entry in entries]
            self._lacking[md5] = [entry for entry, state in states if state is None]
            wrong += [entry.path for entry, state in states if state is False]
        if wrong:
            raise SettingError(
                f"{root} holds {len(wrong)} files of other bytes under names of this data version: {wrong[0]}.",
                reason="not_replaced",
                hint="Name another folder, or move them away: pulling replaces no file.",
            )

    @property
    def staging(self) -> Path:
        """Inside the folder; removed when every file is in place."""
        return self.root / ".cxr-partial"

    def lacks(self, entry: Entry) -> bool:
        """Whether a file that consists of the object is not there; a listing is no file here."""
        return bool(self._lacking.get(entry.md5))

    def accept(self, entry: Entry, file: Path) -> None:
        """Give a checked file every name that it has in the data version."""
        *others, last = self._lacking[entry.md5]
        file.chmod(0o644)
        for path in (self.root / other.path for other in others):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A copy under a passing name first: a name never stands for half a file.
            handle, passing = tempfile.mkstemp(dir=self.staging)
            os.close(handle)
            shutil.copy(file, passing)
            Path(passing).replace(path)
        path = self.root / last.path
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)


def fetch(
    wanted: Mapping[str, Entry],
    *,
    target: Target,
    store: ObjectStore,
    local: Sequence[Copies] = (),
    counted: Counted = lambda done, total: None,
) -> Fetched:
    """Bring objects to a target.

    Args:
        wanted: By MD5.
        target: Where they go.
        store: The remote.
        local: Places on this machine that are asked first.
        counted: Told of every object.

    Raises:
        VersioningError: The remote does not answer, or the target cannot be written to.
    """
    states = in_threads([*wanted.values()], target.lacks, lambda done, total: None)
    lacking = [entry for entry, lacks in zip(wanted.values(), states, strict=True) if lacks]
    kept = len(wanted) - len(lacking)
    with _taken(target.staging):
        copied = in_threads(lacking, lambda entry: _copied(entry, target, local), counted)
        rest = [entry for entry, done in zip(lacking, copied, strict=True) if not done]
        absent = survey(store, {entry.md5: entry for entry in rest}, depth="presence").faults
        if absent:
            if {file.name for file in target.staging.iterdir()} == {_LOCK}:
                shutil.rmtree(target.staging)
            return Fetched(kept=kept, copied=sum(copied), downloaded=0, faults=absent)
        before = len(lacking) - len(rest)
        found = in_threads(
            rest, lambda entry: _downloaded(entry, target, store), lambda done, _: counted(before + done, len(lacking))
        )
        faults = tuple(fault for fault in found if fault is not None)
        if not faults:
            shutil.rmtree(target.staging)
    return Fetched(kept=kept, copied=sum(copied), downloaded=len(rest) - len(faults), faults=faults)


def wrong_files(root: Path, manifest: Manifest) -> list[Fault]:
    """The files of a folder that are not what a manifest says, each read whole."""

    def check(entry: Entry) -> Fault | None:
        state = _state(root / entry.path, entry)
        if state is True:
            return None
        kind = "missing" if state is None else "damaged"
        detail = f"{root / entry.path}: {'not there' if state is None else f'has other bytes than {entry.sha256}'}"
        return Fault(path=entry.path, md5=entry.md5, kind=kind, detail=detail)

    found = in_threads([*manifest.files], check, lambda done, total: None)
    return [fault for fault in found if fault is not None]


def _state(path: Path, entry: Entry) -> bool | None:
    """Whether a file has an entry's bytes; None where there is nothing."""
    if not path.exists() and not path.is_symlink():
        return None
    return path.is_file() and path.stat().st_size == entry.size and digest_file(path) == entry.sha256


def _copied(entry: Entry, target: Target, local: Sequence[Copies]) -> bool:
    wanted = Object(path=entry.path, part=entry.path, md5=entry.md5)
    part = target.staging / f"{entry.md5}.copy"
    for place in local:
        stream = None if place.unread else place.open(wanted)
        if stream is None:
            continue
        with closing(stream), part.open("wb") as file:
            shutil.copyfileobj(stream, file, _CHUNK_BYTES)
            file.flush()
            os.fsync(file.fileno())
        if digest_file(part) == entry.sha256:
            target.accept(entry, part)
            return True
        part.unlink()
    return False


def _downloaded(entry: Entry, target: Target, store: ObjectStore) -> Fault | None:
    part = target.staging / entry.md5
    found = ""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            if not _append(part, entry, store):
                detail = f"gone from {store.where(entry.md5)}"
                return Fault(path=entry.path, md5=entry.md5, kind="missing", detail=detail)
        except VersioningError:
            # What has arrived is kept: the next attempt, or the next pull, goes on from there.
            if attempt == _ATTEMPTS:
                raise
            continue
        found = digest_file(part)
        if found == entry.sha256:
            target.accept(entry, part)
            return None
        # Wrong bytes may come of an earlier part; the next attempt takes none of it.
        part.unlink()
    detail = f"{store.where(entry.md5)}: has {found}, expected {entry.sha256}"
    return Fault(path=entry.path, md5=entry.md5, kind="damaged", detail=detail)


def _append(part: Path, entry: Entry, store: ObjectStore) -> bool:
    """Add to a partial file what it lacks; False where the object is not at the remote."""
    start = part.stat().st_size if part.is_file() else 0
    if start > entry.size:
        part.unlink()
        start = 0
    if start == entry.size and start > 0:
        return True
    stream = store.open(entry.md5, start=start)
    if stream is None:
        return False
    with closing(stream), part.open("ab") as file:
        shutil.copyfileobj(stream, file, _CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    return True


@contextmanager
def _taken(staging: Path) -> Generator[None]:
    """Hold a staging folder; what the disk refuses is told in our own words."""
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with FileLock(str(staging / _LOCK), timeout=0):
            yield
    except Timeout as error:
        raise VersioningError(
            f"Another pull is at work in {staging}.", reason="pull_busy", hint="Wait for it, or name another folder."
        ) from error
    except OSError as error:
        raise SettingError(
            f"{error.filename or staging} cannot be written: {error.strerror}.",
            reason="cannot_write",
            hint=f"ls -ld {staging.parent} && df {staging.parent}",
        ) from error
