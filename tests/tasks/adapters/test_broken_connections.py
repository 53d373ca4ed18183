"""A bucket behind a line that breaks: what arrived is kept and gone on from, and one broken answer condemns nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cxr_core.audit.manifest import Entry
from cxr_core.errors import VersioningError
from tasks.adapters.fetch import CacheTarget, fetch
from tasks.adapters.objects_s3 import S3Store, connect
from tasks.adapters.survey import survey

DATA = bytes(range(256)) * 400
MD5 = hashlib.md5(DATA).hexdigest()
ENTRY = Entry(path="data/x.png", md5=MD5, sha256="sha256:" + hashlib.sha256(DATA).hexdigest(), size=len(DATA))
LISTING = f"""<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>1</KeyCount>
<IsTruncated>false</IsTruncated><Contents><Key>p/files/md5/{MD5[:2]}/{MD5[2:]}</Key><ETag>"parts-2"</ETag>
<LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{len(DATA)}</Size></Contents></ListBucketResult>""".encode()


class Line:
    """A server with one object, which breaks off the first answers half way."""

    def __init__(self, breaks: int) -> None:
        self.left = breaks
        self.starts: list[int] = []
        line = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if "list-type" in self.path:
                    self._answer(200, LISTING, len(LISTING))
                    return
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                line.starts.append(start)
                rest = DATA[start:]
                broken = line.left > 0
                line.left -= broken
                self._answer(206 if start else 200, rest[: len(rest) // 2] if broken else rest, len(rest))

            def _answer(self, status: int, body: bytes, length: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def store(self) -> S3Store:
        keys = {"access_key_id": "me", "secret_access_key": "secret", "region": "eu-central-1"}
        return connect("b", "p", {"endpointurl": f"http://127.0.0.1:{self.server.server_port}", **keys})


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line(2)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_reading_that_broke_off_is_taken_up_again(line: Line) -> None:
    found = survey(line.store, {MD5: ENTRY}, depth="all")
    assert (found.faults, found.read) == ((), 1)
    assert line.starts == [0, 0, 0]


def test_a_download_goes_on_from_where_the_line_broke(line: Line, tmp_path: Path) -> None:
    target = CacheTarget(root=tmp_path / "cache", data="sha256:" + "0" * 64)
    done = fetch({MD5: ENTRY}, target=target, store=line.store)
    assert (done.downloaded, done.faults) == (1, ())
    assert (tmp_path / "cache/files/md5" / MD5[:2] / MD5[2:]).read_bytes() == DATA
    half = len(DATA) // 2
    assert line.starts == [0, half, half + half // 2]
    assert not target.staging.exists()


def test_a_line_that_keeps_breaking_is_an_error_and_keeps_what_arrived(line: Line, tmp_path: Path) -> None:
    line.left = 3
    target = CacheTarget(root=tmp_path / "cache", data="sha256:" + "0" * 64)
    with pytest.raises(VersioningError) as caught:
        fetch({MD5: ENTRY}, target=target, store=line.store)
    assert caught.value.reason == "remote_unreadable"
    arrived = (target.staging / MD5).read_bytes()
    assert 0 < len(arrived) < len(DATA)
    assert DATA.startswith(arrived)
    assert not (tmp_path / "cache/files").exists()
    # The next pull asks for the rest alone.
    line.starts.clear()
    assert fetch({MD5: ENTRY}, target=target, store=line.store).downloaded == 1
    assert line.starts == [len(arrived)]
    line.left = 3
    with pytest.raises(VersioningError) as caught:
        survey(line.store, {MD5: ENTRY}, depth="all")
    assert caught.value.reason == "remote_unreadable"
