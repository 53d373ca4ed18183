"""A real web server on a free loopback port that can be told to cut, stall, redirect, refuse and lie."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Longer than any stall that a test waits for.
_STALL_SECONDS = 30.0


@dataclass
class Asked:
    """One request, as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class Thing:
    """What a path serves. The lists are scripts: one entry is used up a request; an empty one changes nothing."""

    data: bytes = b""
    etag: str | None = "digest"
    modified: str | None = None
    content_type: str = "application/octet-stream"
    ranges: bool = True
    statuses: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """After so many bytes of the body the connection is closed."""
    stalls: list[int] = field(default_factory=list)
    """After so many bytes of the body nothing comes any more."""
    claims: list[int] = field(default_factory=list)
    """So many bytes more (or fewer) than there are stand in Content-Length."""
    chunked: bool = False
    silent_head: bool = False
    location: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        return f'"{hashlib.sha256(self.data).hexdigest()[:16]}"' if self.etag == "digest" else self.etag


@dataclass
class Web:
    """A running server."""

    url: str
    things: dict[str, Thing] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler, bytes], bool] | None = None
    """Asked first, with the request's body; True where it has answered."""
    ending: threading.Event = field(default_factory=threading.Event)

    def put(self, path: str, thing: Thing) -> str:
        self.things[path] = thing
        return self.url + path

    def gets(self, path: str | None = None) -> list[Asked]:
        return [one for one in self.asked if one.method == "GET" and path in (None, one.path)]


@contextmanager
def serve(certificate: Path | None = None) -> Iterator[Web]:
    """Run a server; with a certificate (key and certificate in one PEM file) it speaks https."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if certificate is None else "https"
        web = Web(url=f"{scheme}://127.0.0.1:{server.server_address[1]}")
        server.web = web  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            web.ending.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def web(self) -> Web:
        return self.server.web  # type: ignore[attr-defined]

    def log_message(self, format: str, *arguments: object) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.web.asked.append(Asked(self.command, self.path, dict(self.headers), body))
        if self.web.answer is not None and self.web.answer(self, body):
            return
        thing = self.web.things.get(self.path)
        if thing is None:
            self.plain(404, b"nothing here")
        elif thing.location is not None:
            self.plain(302, b"", {"Location": thing.location})
        elif thing.statuses and not (self.command == "HEAD" and thing.silent_head):
            status, headers = _status(thing.statuses.pop(0))
            self.plain(status, b"not now", headers)
        else:
            self._send(thing)

    def plain(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send(self, thing: Thing) -> None:
        start = self._start(thing)
        if start is None:
            return
        body = thing.data[start:]
        claimed = len(body) + (thing.claims.pop(0) if thing.claims and self.command == "GET" else 0)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(thing.data) - 1}/{len(thing.data)}")
        for name, value in {"ETag": thing.tag, "Last-Modified": thing.modified, **thing.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Content-Type", thing.content_type)
        if thing.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(claimed))
        self.end_headers()
        if self.command == "GET":
            self._body(thing, body)
            # What follows a length that is not true cannot be told from the next answer.
            self.close_connection = self.close_connection or claimed != len(body)

    def _start(self, thing: Thing) -> int | None:
        """Where the body begins; None where the answer is that there is nothing at the place asked for."""
        asked = self.headers.get("Range", "")
        if_range = self.headers.get("If-Range")
        if not asked or not thing.ranges or (if_range and if_range not in (thing.tag, thing.modified)):
            return 0
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(thing.data):
            self.plain(416, b"", {"Content-Range": f"bytes */{len(thing.data)}"})
            return None
        return start

    def _body(self, thing: Thing, body: bytes) -> None:
        cut = thing.cuts.pop(0) if thing.cuts else None
        stall = thing.stalls.pop(0) if thing.stalls else None
        end = min(one for one in (cut, stall, len(body)) if one is not None)
        for at in range(0, end, 1 << 14):
            piece = body[at : min(end, at + (1 << 14))]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if thing.chunked else piece)
        self.wfile.flush()
        if stall is not None and end < len(body):
            deadline = time.monotonic() + _STALL_SECONDS
            while time.monotonic() < deadline and not self.web.ending.wait(0.02):
                pass
        if end < len(body):
            self.close_connection = True
        elif thing.chunked:
            self.wfile.write(b"0\r\n\r\n")


def _status(entry: int | tuple[int, dict[str, str]]) -> tuple[int, dict[str, str]]:
    return (entry, {}) if isinstance(entry, int) else entry
