"""A commit's files out of a bare repository, byte for byte as they were committed.

They are written from git's objects, not by a checkout: no hook, filter, LFS download, line-end conversion or attribute
of the repository has a say. Laws: only plain files with safe names are written; memory holds a few files at a time.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_core.errors import SourceError
from cxr_core.ingest.faults import ArchiveFault
from tasks.adapters.git import run_git
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.git_upstream import FETCH_SECONDS
from tasks.adapters.reach.members import check_names, is_hidden
from tasks.adapters.reach.terms import MAX_VARIABLE

__all__ = ["TreeFile", "tree_files", "write_files"]

_ENTRY = re.compile(rb"(\d{6}) \w+ ([0-9a-f]{40})\t(.+)", re.DOTALL)
_PLAIN = frozenset({b"100644", b"100755"})
_LINK = b"120000"
_LFS = b"version https://git-lfs.github.com/spec/"
_BYTES_AT_ONCE = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeFile:
    """One file of a commit: POSIX path and object id."""

    name: str
    blob: str


def tree_files(repository: Path, commit: str, *, paths: Sequence[str], shown: str) -> list[TreeFile]:
    """The files of a commit that are to be written.

    Args:
        repository: Has the commit and its trees.
        commit: Which.
        paths: Files and folders that are wanted; all there are where there are none of these.
        shown: Whose, for messages.

    Raises:
        SourceError: Something among them is no plain file, has a name that is not safe, or there is none at all.
    """
    found = list(_entries(repository, commit, paths)) or list(_entries(repository, commit, ()))
    for mode, file in found:
        if mode not in _PLAIN:
            kind, fault = ("a link", ArchiveFault.LINK) if mode == _LINK else ("a submodule", ArchiveFault.SPECIAL)
            raise SourceError(
                f"{shown} holds {file.name!r}, which is {kind}; expected plain files.",
                reason=fault.value,
                hint="Clone it, put the files themselves in its place, and set the source's variable to that folder.",
            )
    if not found:
        raise SourceError(
            f"{shown} holds no file.", reason=ReachFault.NOT_FOUND.value, hint="Check repository and ref."
        )
    check_names((file.name for _, file in found), where=shown)
    return [file for _, file in found]


def write_files(repository: Path, files: Sequence[TreeFile], folder: Path, *, shown: str, max_bytes: int) -> None:
    """Write files whose objects are all in the repository.

    Raises:
        SourceError: They are too large together, or pointers to Git LFS stand in their place.
    """
    sizes = _sizes(repository, files)
    if (total := sum(sizes)) > max_bytes:
        raise SourceError(
            f"{shown} holds {total / 1e9:.1f} GB; {max_bytes / 1e9:g} GB is all that is taken here.",
            reason=ReachFault.TOO_LARGE.value,
            hint=f"If the source is that large, raise {MAX_VARIABLE}.",
        )
    for some in _batches(files, sizes):
        for file, data in zip(some, _contents(repository, some), strict=True):
            if data.startswith(_LFS):
                raise SourceError(
                    f"{shown} keeps {file.name!r} in Git LFS, and only a pointer in git.",
                    reason=ReachFault.GIT_LFS.value,
                    hint="Clone it, run `git lfs pull` there, and set the source's variable to that folder.",
                )
            target = folder / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _entries(repository: Path, commit: str, paths: Sequence[str]) -> Iterator[tuple[bytes, TreeFile]]:
    """Mode and file of each entry; those that a source's listing leaves out are left out here."""
    listed = run_git(repository, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *paths, seconds=FETCH_SECONDS)
    for entry in listed.split(b"\0"):
        if parts := _ENTRY.fullmatch(entry):
            name = parts[3].decode(errors="surrogateescape")
            if not is_hidden(name):
                yield parts[1], TreeFile(name=name, blob=parts[2].decode())


def _sizes(repository: Path, files: Sequence[TreeFile]) -> list[int]:
    said = run_git(repository, "cat-file", "--batch-check=%(objectsize)", stdin=_asked(files), seconds=FETCH_SECONDS)
    return [int(line) for line in said.splitlines()]


def _batches(files: Sequence[TreeFile], sizes: Sequence[int]) -> Generator[list[TreeFile]]:
    some: list[TreeFile] = []
    held = 0
    for file, size in zip(files, sizes, strict=True):
        some.append(file)
        held += size
        if held >= _BYTES_AT_ONCE:
            yield some
            some, held = [], 0
    if some:
        yield some


def _contents(repository: Path, files: Sequence[TreeFile]) -> Iterator[bytes]:
    """The bytes of each file, in order."""
    # Each object is `<id> blob <size>`, a newline, its bytes, a newline (git-cat-file(1), BATCH OUTPUT).
    said = run_git(repository, "cat-file", "--batch", stdin=_asked(files), seconds=FETCH_SECONDS)
    at = 0
    for _ in files:
        line_end = said.index(b"\n", at)
        size = int(said[at:line_end].rpartition(b" ")[2])
        yield said[line_end + 1 : line_end + 1 + size]
        at = line_end + size + 2


def _asked(files: Sequence[TreeFile]) -> bytes:
    return "".join(f"{file.blob}\n" for file in files).encode()
