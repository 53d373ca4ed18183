"""What an earlier run of ingest left stays where it is, as far as its bytes are still right; only the rest is touched.

A source of thousands of files that gains one is not written anew: of each file that is known the bytes are read and
compared, in place. Laws: nothing stays unread, so that a file which somebody changed, swapped for a link or put there
is replaced or removed as if the folder were made from nothing; the folder's name stands for the old content, the new
content or nothing, whenever the process is killed.

This serves the verbs by hand. DVC removes a stage's outputs before it runs it; those that it leaves (``persist``) have
no run cache, from which workspaces share what one of them made.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cxr_core.digests import digest_file

__all__ = ["Standing", "begun"]

_FILES = "files"


def begun(place: Path) -> Path:
    """An empty folder beside a place, to be filled and to take its name; what a killed run left there is gone."""
    partial = _partial(place)
    for rest in (partial, _aside(place)):
        shutil.rmtree(rest, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


class Standing:
    """The files under ``files/`` of a place, none of them trusted before its bytes are read."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._root = str(place / _FILES)
        # A link is no plain file, wherever it leads.
        found = _walk(self._root) if place.is_dir() and not place.is_symlink() else ()
        self._plain = frozenset(path for path, item in found if item.is_file(follow_symlinks=False))
        self._kept: set[str] = set()
        self.pin = _pin(place)
        """What the source was pinned at when the folder was made; None where no folder says so."""

    def keeps(self, path: str, sha256: str) -> bool:
        """Whether a plain file of these bytes stands at a path; if so, it stays. May be asked by several threads."""
        if path not in self._plain:
            return False
        try:
            same = digest_file(f"{self._root}/{path}") == sha256
        except OSError:  # it went away, or may not be read
            return False
        if same:
            self._kept.add(path)
        return same

    def give_way(self, partial: Path) -> None:
        """Put a finished folder in the place, together with the files that stay; anything else that stood there goes.

        Args:
            partial: What ``begun`` made; its ``files/`` holds the files that do not stay.
        """
        aside = _aside(self._place)
        if self._kept:
            # From here to the last rename nothing has the name: a moment, since what stays is moved with its folder.
            self._place.rename(aside)
            _clear(aside / _FILES, keep=self._kept)
            _move(partial / _FILES, aside / _FILES)
            (aside / _FILES).rename(partial / _FILES)
        else:
            shutil.rmtree(self._place, ignore_errors=True)
        partial.rename(self._place)
        shutil.rmtree(aside, ignore_errors=True)


def _pin(place: Path) -> str | None:
    # A hint of what there will be to do, so no fault of the file is one of the run.
    try:
        return json.loads((place / "summary.json").read_bytes())["pin"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _partial(place: Path) -> Path:
    return place.with_name(f".{place.name}.partial")


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.aside")


def _walk(root: str | Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything under a folder by its POSIX path, a folder before what it holds; links are not followed."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(f"{root}/{prefix}") as items:
            for item in items:
                yield prefix + item.name, item
                if item.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{item.name}/")


def _clear(root: Path, *, keep: set[str]) -> None:
    """Remove all but some files, and folders that are empty then."""
    for path, item in reversed(list(_walk(root))):
        if item.is_dir(follow_symlinks=False):
            with suppress(OSError):  # it holds something
                Path(item.path).rmdir()
        elif path not in keep:
            Path(item.path).unlink()


def _move(source: Path, target: Path) -> None:
    """Move every file to the same path under another folder; ``source`` is gone then."""
    for path, item in list(_walk(source)):
        if item.is_dir(follow_symlinks=False):
            (target / path).mkdir(exist_ok=True)
        else:
            Path(item.path).replace(target / path)
    shutil.rmtree(source)
