"""Files on web servers: requests with patience, one file's bytes from an offset on, and what a server says of it.

``requests`` and urllib3 follow redirects and repeat a request that was not answered, or with 429 or 5xx; going on
within a file is ``transfer``'s. Laws: from https never to http; bytes are taken as they are stored, not unpacked on the
way; credentials come from ~/.netrc and proxies from the environment, as for every other program.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RequestException, SSLError, TooManyRedirects
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ReadTimeoutError
from urllib3.exceptions import SSLError as TlsError

from cxr_core.errors import SourceError
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.terms import Terms
from tasks.adapters.reach.transfer import Interrupted, Stream

__all__ = [
    "check_answer",
    "get_stream",
    "no_answer",
    "open_session",
    "request",
    "stated_digest",
    "stream_of",
    "version_of",
]

_CHUNK_BYTES = 1 << 18
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')


def open_session(terms: Terms, *, repeat_posts: bool = False) -> requests.Session:
    """A session that waits and repeats by our terms.

    Args:
        terms: Limits.
        repeat_posts: Whether a POST asks and changes nothing, and so may be repeated too.
    """
    session = _Session()
    session.max_redirects = terms.redirects
    # What is stored, not what a server packs on the way: offsets and lengths speak of the file then.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "cxr-retrain"})
    adapter = _Adapter(terms, repeat_posts=repeat_posts)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def request(
    session: requests.Session, method: str, url: str, *, shown: str, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Ask; the answer may be of any status, its body is not read yet.

    Raises:
        SourceError: No answer came, however often we asked.
    """
    try:
        return session.request(method, url, headers=dict(headers or {}), stream=True, allow_redirects=True)
    except RequestException as error:
        raise no_answer(error, shown) from error


@contextmanager
def get_stream(session: requests.Session, url: str, held: int, version: str, *, shown: str) -> Generator[Stream]:
    """The bytes of a file from an offset on.

    Args:
        session: As ``open_session`` makes it.
        url: The file.
        held: Bytes that are here.
        version: What they are of; empty where nothing is known.
        shown: The address for messages.

    Raises:
        SourceError: The server refuses, or does not answer.
        Interrupted: What is here cannot be gone on from.
    """
    # The server sends the rest only where the file is still that version, else the whole (RFC 9110, 13.1.5).
    going_on = {"Range": f"bytes={held}-"} | ({"If-Range": version} if version else {}) if held else {}
    with request(session, "GET", url, shown=shown, headers=going_on) as response:
        yield stream_of(response, held=held, version=version, shown=shown)


def stream_of(response: requests.Response, *, held: int, version: str, shown: str) -> Stream:
    """What a server's answer holds.

    Raises:
        SourceError: It is a refusal.
        Interrupted: It does not fit to the ``held`` bytes of ``version``.
    """
    place = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    known = int(place[2]) if place and place[2] != "*" else None
    if response.status_code == 416 and held:
        if known != held:
            raise Interrupted(ReachFault.INCOMPLETE, "the file there is shorter than what came of it", anew=True)
        # All of it is here; the last try ended after the last byte and before its end was seen.
        return Stream(start=held, total=held, version=version, chunks=iter(()))
    check_answer(response, shown=shown)
    found = version_of(response.headers, strong=True)
    if response.status_code == 206:
        if place is None or place[1] is None or int(place[1]) != held or (version and found and found != version):
            raise Interrupted(ReachFault.INCOMPLETE, "the server went on at another place than asked", anew=True)
        start, total = held, known
    else:
        start, total = 0, _length(response.headers)
    return Stream(
        start=start, total=total, version=found, chunks=_chunks(response), digest=stated_digest(response.headers)
    )


def version_of(headers: Mapping[str, str], *, strong: bool) -> str:
    """The server's word for the version of a file: its ETag, else its time; empty where there is none.

    Args:
        headers: Of the answer; names in any case, as requests keeps them.
        strong: Leave out weak ETags, which only say that two files mean the same.
    """
    tag = headers.get("ETag", "").strip()
    if _STRONG_TAG.fullmatch(tag) or (tag and not strong):
        return tag
    return headers.get("Last-Modified", "").strip()


def check_answer(response: requests.Response, *, shown: str) -> None:
    """Turn a refusal into words.

    Raises:
        SourceError: The status is none of success.
    """
    status = response.status_code
    if 200 <= status < 300:
        return
    said = f"{shown} answered {status} {response.reason or ''}".rstrip()
    if status in (401, 403, 407):
        raise SourceError(
            f"{said}: not for whoever asks.",
            reason=ReachFault.DENIED.value,
            hint="Where a login is needed, keep it in ~/.netrc: machine HOST login USER password TOKEN (chmod 600).",
        )
    if status in (404, 410):
        raise SourceError(
            f"{said}: there is no such file.", reason=ReachFault.NOT_FOUND.value, hint="Check the address in a browser."
        )
    if status in _TRY_AGAIN:
        raise SourceError(f"{said}, as often as we asked.", reason=ReachFault.BUSY.value, hint="Run it again later.")
    raise SourceError(
        f"{said}, which brings no file.", reason=ReachFault.REFUSED.value, hint="Check the address in a browser."
    )


def no_answer(error: RequestException, shown: str) -> SourceError:
    """A request that ended without an answer, in words."""
    cause = error.args[0] if error.args else error
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(error, TooManyRedirects):
        fault, words, hint = ReachFault.BAD_REDIRECT, "it sends on and on", "Check the address in a browser."
    elif isinstance(error, SSLError) or isinstance(reason, TlsError):
        fault, words = ReachFault.CERTIFICATE, "its certificate is not trusted here"
        hint = "Behind a proxy with a certificate of its own, set REQUESTS_CA_BUNDLE to the file with its authority."
    elif isinstance(error, requests.exceptions.ReadTimeout) or isinstance(reason, ReadTimeoutError):
        fault, words, hint = ReachFault.STALLED, "no answer came", "Run it again later."
    elif isinstance(error, NoConnection):
        fault, words = ReachFault.UNREACHABLE, f"no connection ({_plain(reason)})"
        hint = "Check the host's name, the network and, where there is one, HTTPS_PROXY."
    else:
        fault, words, hint = ReachFault.REFUSED, f"no answer that can be read ({_plain(error)})", "Check the address."
    return SourceError(f"{shown}: {words}.", reason=fault.value, hint=hint)


def stated_digest(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """What a server states of the whole file: RFC 9530's ``Repr-Digest``, RFC 3230's ``Digest``, Google's own."""
    for header, pattern, algorithm in (
        ("Repr-Digest", r"sha-256=:([^:]+):", "sha256"),
        ("Digest", r"(?i:sha-256)=([^,]+)", "sha256"),
        ("x-goog-hash", r"md5=([^,]+)", "md5"),
    ):
        if found := re.search(pattern, headers.get(header, "")):
            try:
                return algorithm, base64.b64decode(found[1].strip(), validate=True).hex()
            except binascii.Error:
                return None
    return None


class _Session(requests.Session):
    """Follows no redirect from an encrypted place to one that is not."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer sends on to."""
        target = super().get_redirect_target(resp)
        if target is not None:
            scheme = urlsplit(urljoin(resp.url, target)).scheme
            if scheme not in ("http", "https") or (scheme == "http" and resp.url.startswith("https:")):
                raise SourceError(
                    f"{resp.url.partition('?')[0]} sends on to {target.partition('?')[0]!r}, which is not encrypted.",
                    reason=ReachFault.BAD_REDIRECT.value,
                    hint="Ask whoever keeps the server, or set the address it should send on to.",
                )
        return target


class _Adapter(HTTPAdapter):
    """Repeats by our terms, and never waits without end."""

    def __init__(self, terms: Terms, *, repeat_posts: bool) -> None:
        self._seconds = (terms.connect_seconds, terms.stall_seconds)
        super().__init__(max_retries=_Patience.by(terms, repeat_posts=repeat_posts))

    def send(self, request: Any, *arguments: Any, **options: Any) -> requests.Response:
        """Send, with a limit for connecting and one for silence where the caller set none."""
        if options.get("timeout") is None:
            options["timeout"] = self._seconds
        return super().send(request, *arguments, **options)


class _Patience(Retry):
    """urllib3's policy, but a wait beyond ours ends in words instead of a request before its time."""

    @classmethod
    def by(cls, terms: Terms, *, repeat_posts: bool) -> _Patience:
        """The policy of our terms."""
        return cls(
            total=terms.tries - 1,
            # Where nobody listens, nobody will in ten seconds; a certificate does not change at all.
            connect=min(2, terms.tries - 1),
            other=0,
            status_forcelist=_TRY_AGAIN,
            allowed_methods=None if repeat_posts else frozenset({"GET", "HEAD"}),
            backoff_factor=terms.first_wait_seconds,
            backoff_max=terms.longest_wait_seconds,
            raise_on_status=False,
        )

    def sleep_for_retry(self, response: Any) -> bool:
        """Wait as long as the server asks for; False where it does not ask."""
        try:
            seconds = self.get_retry_after(response)
        except InvalidHeader:
            return False
        if seconds and seconds > self.backoff_max:
            raise SourceError(
                f"The server answered {response.status} and asks to come again in {seconds:.0f} s.",
                reason=ReachFault.BUSY.value,
                hint="Run it again then; what came is kept.",
            )
        return super().sleep_for_retry(response)


def _plain(error: object) -> str:
    """An error's last words, without the objects that libraries print before them."""
    return str(error).rpartition("object at 0x")[2].partition(": ")[2] or type(error).__name__


def _chunks(response: requests.Response) -> Iterator[bytes]:
    raw = response.raw
    while True:
        try:
            # What is there is taken at once, so that a cut loses nothing that had come.
            chunk = raw.read1(_CHUNK_BYTES, decode_content=False)
        except ReadTimeoutError as error:
            raise Interrupted(ReachFault.STALLED, "the line stood, and nothing came") from error
        except (HTTPError, HTTPException, OSError) as error:
            raise Interrupted(ReachFault.INCOMPLETE, "the line was cut") from error
        if not chunk:
            return
        yield chunk


def _length(headers: Mapping[str, str]) -> int | None:
    length = headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
