"""Places with sources, pinned or not, reached as folders, a repository, an archive: for the tests of data alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tasks.places import Archives, Upstream, copy_place, make_place
from tests.walk import Ended, Place

Verb = Callable[..., Ended]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture
def own(shipped: Place, tmp_path: Path) -> Place:
    """A place with folders as sources, nothing pinned."""
    return copy_place(shipped, tmp_path)


@pytest.fixture
def pinned(own: Place, verb: Verb) -> Place:
    """The same, everything pinned."""
    assert verb(own, "sources", "update", "--json").code == 0
    return own


@pytest.fixture
def upstream(own: Place, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """The GitHub collection as a git repository, set as its address."""
    made = Upstream(own.sources.parent / "collection", own.sources / "github")
    monkeypatch.setenv("CXR_SOURCE_GITHUB", made.address)
    return made


@pytest.fixture
def archives(own: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    """The GitHub collection as an archive on a web server, set as its address."""
    made = Archives(own.sources / "github")
    monkeypatch.setenv("CXR_SOURCE_GITHUB", made.address)
    yield made
    made.close()


@pytest.fixture
def refusals() -> Iterator[str]:
    """The address of a web server that forbids everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(403)

        do_POST = do_HEAD = do_GET  # noqa: N815 (the names that the library calls)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
