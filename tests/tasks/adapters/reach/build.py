"""Sources and archives made by code, and terms under which a test does not wait."""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.adapters.reach.terms import Terms

QUICK = Terms(connect_seconds=5, stall_seconds=20, tries=3, first_wait_seconds=0.01, longest_wait_seconds=1)
"""Real terms but for the waits between tries."""


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that no packing makes smaller."""
    return random.Random(seed).randbytes(size)


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 3, 1, 0, 0, 0)), data)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], packing: str = "gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{packing}") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def files_of(folder: Path) -> dict[str, bytes]:
    """What a source's listing would see."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def versions_in(store: Path) -> list[str]:
    """The folders that people see in a store."""
    return sorted(path.name for path in store.iterdir() if not path.name.startswith("."))


class Watch:
    """A progress callback that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int | None]] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.calls.append((done, total))

    @property
    def last(self) -> Any:
        return self.calls[-1]
