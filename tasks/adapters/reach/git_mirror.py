"""A source in a git repository: one commit of it, by way of a bare mirror that is kept in the store.

The server is asked for the one commit alone (``--depth 1``) and, where it can leave files out (partial clone), for the
wanted files alone, some at a time, so that a cut costs little. Laws: what the mirror has is not fetched again; a
server that can do neither is asked for everything, once.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.errors import SourceError
from cxr_core.ingest.address import GitAddress
from cxr_core.ingest.listing import PHANTOM_MARKER
from tasks.adapters.git import resolve, run_git
from tasks.adapters.reach.arrival import Fetched
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.git_tree import tree_files, write_files
from tasks.adapters.reach.git_upstream import (
    FETCH_SECONDS,
    ask_upstream,
    gives_only_what_it_names,
    is_commit,
    may_pass,
    newest_git,
)
from tasks.adapters.reach.members import published_root
from tasks.adapters.reach.progress import Progress
from tasks.adapters.reach.store import Store
from tasks.adapters.reach.terms import Terms

__all__ = ["fetch_git"]

# Of the GitHub collection, what its connector reads: the repository holds CT volumes of many times the size besides.
_PATHS: dict[Source, tuple[str, ...]] = {"github": ("metadata.csv", "images", PHANTOM_MARKER)}
_FILES_AT_ONCE = 200
_LOOK_SECONDS = 0.5


def fetch_git(
    source: Source, address: GitAddress, *, store: Store, upstream: str, terms: Terms, progress: Progress
) -> Fetched:
    """A commit's files.

    Args:
        source: Whose; of the GitHub collection only what its connector reads is fetched.
        address: Repository and ref.
        store: Held by the caller.
        upstream: ``git:<commit>``; empty for the commit that the ref names now.
        terms: Limits.
        progress: Told while objects come; git does not say in advance how many bytes they are.

    Raises:
        SourceError: The commit cannot be had, or holds what must not be written.
        SettingError: Git is not installed.
    """
    version = upstream or newest_git(address, terms=terms)
    if here := store.find(version):
        return Fetched(folder=here, upstream=version)
    commit = version.removeprefix("git:")
    if not is_commit(commit):
        raise _gone(address, commit)
    mirror = _Mirror(path=store.root / ".git-mirror", address=address, terms=terms)
    shown = f"{address.url} at {commit[:12]}"
    with _watched(mirror.path, progress):
        mirror.bring(commit)
        files = tree_files(mirror.path, commit, paths=_PATHS.get(source, ()), shown=shown)
        mirror.complete(commit, [file.blob for file in files])
    with store.staging() as staging:
        write_files(mirror.path, files, staging / "files", shown=shown, max_bytes=terms.max_bytes)
        return Fetched(folder=store.keep(published_root(staging / "files", source), version), upstream=version)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mirror:
    """The bare repository that objects come to."""

    path: Path
    address: GitAddress
    terms: Terms

    def bring(self, commit: str) -> None:
        """Have a commit and its trees; its files too where the server cannot leave them out.

        Raises:
            SourceError: The server is not reached, or does not have the commit.
        """
        self._make(partial=True)
        if resolve(self.path, commit) is not None:
            return
        try:
            self._fetch("--depth=1", "--filter=blob:none", "origin", commit)
        except SourceError as error:
            if gives_only_what_it_names(error):
                self._fetch_all()
            elif error.reason != ReachFault.VERSION_GONE:
                raise
        if resolve(self.path, commit) is None:
            raise _gone(self.address, commit)

    def complete(self, commit: str, blobs: Sequence[str]) -> None:
        """Have these files of a commit.

        Raises:
            SourceError: The server does not give them.
        """
        missing = self._missing(commit, blobs)
        try:
            for start in range(0, len(missing), _FILES_AT_ONCE):
                asked = "\n".join(missing[start : start + _FILES_AT_ONCE])
                self._fetch("--filter=blob:none", "--stdin", "origin", stdin=asked.encode())
        except SourceError as error:
            if not gives_only_what_it_names(error):
                raise
            self._fetch_all()
        if missing := self._missing(commit, blobs):
            raise SourceError(
                f"{self.address.url} did not send {len(missing)} of the {len(blobs)} files of {commit}.",
                reason=ReachFault.INCOMPLETE.value,
                hint="Run it again.",
            )

    def _make(self, *, partial: bool) -> None:
        # Without a template there is no hook.
        run_git(self.path.parent, "init", "--quiet", "--bare", "--template=", self.path.name)
        settings = {"remote.origin.url": self.address.url}
        if partial:
            settings |= {
                "core.repositoryFormatVersion": "1",
                "extensions.partialClone": "origin",
                "remote.origin.promisor": "true",
                "remote.origin.partialclonefilter": "blob:none",
            }
        for key, value in settings.items():
            run_git(self.path, "config", key, value)

    def _fetch_all(self) -> None:
        """Everything, from a server that gives nothing by its id."""
        shutil.rmtree(self.path)
        self._make(partial=False)
        self._fetch("origin", "+refs/*:refs/upstream/*")

    def _fetch(self, *arguments: str, stdin: bytes = b"") -> None:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--recurse-submodules=no")
        waits = self.terms.waits()
        while True:
            try:
                ask_upstream(self.path, self.address, self.terms, "fetch", *options, *arguments, stdin=stdin)
                return
            except SourceError as error:
                wait = next(waits, None) if may_pass(error) else None
                if wait is None:
                    raise
                time.sleep(wait)

    def _missing(self, commit: str, blobs: Sequence[str]) -> list[str]:
        said = run_git(self.path, "rev-list", "--objects", "--missing=print", commit, "--", seconds=FETCH_SECONDS)
        absent = {line[1:] for line in said.decode(errors="replace").splitlines() if line.startswith("?")}
        return sorted(absent.intersection(blobs))


@contextmanager
def _watched(mirror: Path, progress: Progress) -> Generator[None]:
    """Tell how many bytes have come to a repository while something else brings them."""
    ended = threading.Event()

    def size() -> int:
        # Packs come and go under other names while they are made.
        total = 0
        for path in (mirror / "objects" / "pack").glob("*pack*"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total

    before = size()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            progress(max(0, size() - before), None)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress(max(0, size() - before), None)


def _gone(address: GitAddress, commit: str) -> SourceError:
    return SourceError(
        f"{address.url} does not have the commit {commit!r} (any more).",
        reason=ReachFault.VERSION_GONE.value,
        hint="See what is there and move the pin: cxr sources update",
    )
