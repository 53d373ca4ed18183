"""A checkout with sources and no retrain behind it: all that ``cxr sources`` and the ingest task need."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cxr_core.imaging.phantom import write_sources
from tests.walk import Ended, Place, _clone_this_tree

IMAGES = {"covid": 10, "viral": 6, "normal": 6}
LOCK = "data/sources.lock.yaml"


def make_place(folder: Path) -> Place:
    """A clone of this tree, an empty home, and phantoms of the four sources."""
    place = Place(clone=folder / "clone", home=folder / "home", sources=folder / "sources")
    write_sources(place.sources, seed=5, images=IMAGES, size=64)
    _clone_this_tree(place)
    return place


def copy_place(place: Place, folder: Path) -> Place:
    """One's own of each."""
    made = Place(clone=folder / "clone", home=folder / "home", sources=folder / "sources")
    shutil.copytree(place.clone, made.clone, symlinks=True)
    shutil.copytree(place.sources, made.sources)
    return made


def lock(place: Place) -> str:
    """The text of the checkout's pins."""
    return (place.clone / LOCK).read_text(encoding="utf-8")


def edit_table(path: Path, change: Callable[[list[dict[str, str]]], Any]) -> None:
    """Change the rows of a CSV table in place."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header, rows = list(reader.fieldnames or ()), list(reader)
    change(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


class Upstream:
    """A git repository that holds a source, as a collection on the web does."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        shutil.copytree(source, folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("as collected")

    @property
    def address(self) -> str:
        """How ``CXR_SOURCE_<NAME>`` names it."""
        return f"git+file://{self.folder}"

    def git(self, *arguments: str) -> str:
        """Plain git in the repository."""
        who = ("-c", "user.name=ada", "-c", "user.email=ada@hospital.example", "-c", "commit.gpgsign=false")
        environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}
        command = ["git", "-C", str(self.folder), *who, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    def commit(self, message: str) -> str:
        """Commit everything, also where nothing changed; returns the version as a pin names it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return "git:" + self.git("rev-parse", "HEAD").strip()

    def rewrite_history(self) -> str:
        """Make what is there now the only commit there ever was; returns its version."""
        self.git("checkout", "--quiet", "--orphan", "fresh")
        version = self.commit("as if it had always been so")
        self.git("branch", "--quiet", "--delete", "--force", "main")
        self.git("branch", "--quiet", "--move", "main")
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "--quiet", "--prune=now")
        return version


class Archives:
    """A web server with one archive, whose ETag changes with every upload; asked to, it stops halfway through."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.upload()
        archives = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._head()

            def do_GET(self) -> None:
                self._head()
                half = len(archives.data) // 2
                self.wfile.write(archives.data[:half])
                self.wfile.flush()
                if not archives.go_on.is_set():
                    archives.stalled.set()
                    archives.go_on.wait(120)
                with suppress(OSError):
                    self.wfile.write(archives.data[half:])

            def _head(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/zip")
                self.send_header("Content-Length", str(len(archives.data)))
                self.send_header("ETag", f'"{archives.uploads}"')
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    uploads = 0
    data = b""

    @property
    def address(self) -> str:
        """How ``CXR_SOURCE_<NAME>`` names the archive."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/archive.zip"

    def upload(self) -> None:
        """Pack what the folder holds now, under a new ETag."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.comment = f"upload {self.uploads + 1}".encode()
            for path in sorted(self.source.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(self.source).as_posix())
        self.data, self.uploads = packed.getvalue(), self.uploads + 1

    def close(self) -> None:
        """End the server."""
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def unreachable(upstream: Upstream) -> Iterator[None]:
    """Nobody answers at the repository's address while the block runs."""
    away = upstream.folder.with_name("away")
    upstream.folder.rename(away)
    try:
        yield
    finally:
        away.rename(upstream.folder)


def rows(ended: Ended) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in ended.report["sources"]}


def states(ended: Ended) -> dict[str, str]:
    return {source: row["state"] for source, row in rows(ended).items()}


def kinds(row: dict[str, Any]) -> dict[str, list[str]]:
    """Paths by what happened to them; only kinds that happened."""
    names = ("added", "removed", "relabelled", "reworded", "replaced", "renamed")
    found = {name: [change["path"] for change in row["changes"][name]] for name in names}
    return {name: paths for name, paths in found.items() if paths}


def sirm_images(place: Place) -> list[str]:
    return sorted(path.relative_to(place.sources / "sirm").as_posix() for path in place.sources.glob("sirm/*/*.jpg"))


def say(finding: str, *, only: str = "") -> Callable[[list[dict[str, str]]], None]:
    """Change the finding of every row, or of the rows of one file."""

    def change(table: list[dict[str, str]]) -> None:
        for row in table:
            if only in ("", row.get("file"), row.get("filename")):
                row["finding"] = finding

    return change
