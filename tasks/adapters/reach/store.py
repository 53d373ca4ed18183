"""Where fetched versions of one source lie on this machine: ``CXR_HOME/sources/<source>``.

Laws: a version's folder is there whole or not at all (it is made beside, marked, and renamed); a folder that has lost
or gained bytes since is no version any more; one process at a time changes a store, others wait; names that begin with
a dot are ours and are no part of a source.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cxr_core.digests import digest_bytes
from cxr_core.files import read_json, write_json

__all__ = ["Store"]

_MARK = ".cxr-version.json"
_SCHEMA = 1
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_LOGGER = logging.getLogger("cxr.reach")


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The versions of one source.

    Args:
        root: The folder; made when something is put into it.
    """

    root: Path

    @contextmanager
    def held(self) -> Generator[None]:
        """This store for this process alone; what a killed process left half made is removed."""
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _LOGGER.info("another process fetches into %s; waiting for it", self.root)
            lock.acquire()
        try:
            for left in self.root.glob(".staging-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
        finally:
            lock.release()

    def find(self, upstream: str) -> Path | None:
        """The folder of a version that is here, whole; None where there is none."""
        folder = self.root / _folder_name(upstream)
        mark = _read_mark(folder)
        whole = mark is not None and mark.get("upstream") == upstream and _census(folder) == _stated(mark)
        return folder if whole else None

    def seen(self, address: str, version: str) -> str | None:
        """The version that this address gave when its server called it ``version``; None where it is not here."""
        for folder in sorted(self.root.glob("*/")):
            mark = _read_mark(folder)
            if mark is not None and mark.get("seen") == {"address": address, "version": version}:
                upstream = str(mark["upstream"])
                return upstream if self.find(upstream) else None
        return None

    def partial(self, identity: str) -> Path:
        """A folder for what has come of a download so far; the same for the same identity, also tomorrow."""
        folder = self.root / ".partial" / digest_bytes(identity.encode())[7:23]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def staging(self) -> Generator[Path]:
        """An empty folder on the store's disk, gone afterwards unless it was kept."""
        folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, folder: Path, upstream: str, *, address: str = "", version: str = "") -> Path:
        """Take a whole version in.

        Args:
            folder: Its files, on the store's disk; moved.
            upstream: The version.
            address: Where it came from, as ``seen`` is asked for it.
            version: What the server there called it.

        Returns:
            The version's folder.
        """
        files, size = _census(folder)
        seen = {"address": address, "version": version} if version else None
        # Fetched folders may come with narrow modes; whoever runs the stages must be able to read them.
        folder.chmod(0o755)
        write_json(
            folder / _MARK, {"schema": _SCHEMA, "upstream": upstream, "files": files, "bytes": size, "seen": seen}
        )
        target = self.root / _folder_name(upstream)
        if target.exists():
            # Not whole, or it would have been used.
            target.rename(Path(tempfile.mkdtemp(prefix=".staging-", dir=self.root)) / "damaged")
        folder.rename(target)
        return target


def _folder_name(upstream: str) -> str:
    """A folder's name that says the version to people; two versions never share one, on any file system."""
    plain = _PLAIN.sub("-", upstream)
    # A git commit or a SHA-256 names itself; other words may differ by signs that are not in the name.
    own = re.fullmatch(r"git:[0-9a-f]{40}|https:sha256:[0-9a-f]{64}", upstream)
    return plain if own else f"{plain[:80]}-{digest_bytes(upstream.encode())[7:19]}"


def _read_mark(folder: Path) -> dict[str, Any] | None:
    try:
        mark = read_json(folder / _MARK)
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return mark if isinstance(mark, dict) and mark.get("schema") == _SCHEMA else None


def _stated(mark: dict[str, Any]) -> tuple[Any, Any]:
    return mark.get("files"), mark.get("bytes")


def _census(folder: Path) -> tuple[int, int]:
    """How many files and bytes a folder holds, our mark apart."""
    sizes = [size for name, size in _sizes(folder) if name != str(folder / _MARK)]
    return len(sizes), sum(sizes)


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                yield from _sizes(Path(item.path))
            else:
                yield item.path, item.stat(follow_symlinks=False).st_size
