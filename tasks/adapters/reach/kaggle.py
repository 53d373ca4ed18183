"""A source on Kaggle: a data set at a version, or a competition's data. kagglehub asks, we carry and unpack.

kagglehub knows the key, the addresses and the refusals. Its own downloads unpack with ``extractall``, which follows
what the archive says and knows no bomb, and wait without end for an answer; so only its client is used, and the bytes
come by ``transfer`` and ``unpack`` like all others. It is imported when it is needed: importing it configures logging.

Versions: ``kaggle:<owner>/<name>/versions/<n>``. Competitions keep none; theirs is the time when the data was last
changed, ``kaggle:competitions/<name>/modified/<UTC>``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import requests
from requests.exceptions import HTTPError, RequestException

from cxr_core.classes import Source
from cxr_core.errors import SettingError, SourceError
from cxr_core.ingest.address import KaggleAddress
from tasks.adapters.reach.arrival import Fetched, take_in
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.kaggle_credentials import check_credentials
from tasks.adapters.reach.progress import Progress
from tasks.adapters.reach.store import Store
from tasks.adapters.reach.terms import Terms
from tasks.adapters.reach.transfer import Stream, transfer
from tasks.adapters.reach.web import get_stream, no_answer, open_session, stream_of

__all__ = ["fetch_kaggle", "newest_kaggle"]


def fetch_kaggle(
    source: Source, address: KaggleAddress, *, store: Store, upstream: str, terms: Terms, progress: Progress
) -> Fetched:
    """What Kaggle holds at an address, unpacked.

    Args:
        source: Whose.
        address: Data set or competition.
        store: Held by the caller.
        upstream: The wanted version; empty for the newest, or the one in the address.
        terms: Limits.
        progress: Told of the download.

    Raises:
        SettingError: There is no key, or others can read it.
        SourceError: Kaggle does not give it, wants the rules accepted first (``consent_needed``), or has another one.
    """
    if here := upstream and store.find(upstream):
        return Fetched(folder=here, upstream=upstream)
    with _Kaggle(address, terms) as kaggle:
        wanted = _wanted(address, upstream) or kaggle.newest()
        if here := store.find(wanted):
            return Fetched(folder=here, upstream=wanted)
        arrived = transfer(
            lambda held, version: kaggle.stream(wanted, held, version),
            store.partial(wanted),
            shown=str(address),
            terms=terms,
            progress=progress,
        )
    return take_in(arrived.path, wanted, source=source, store=store, shown=str(address))


def newest_kaggle(address: KaggleAddress, *, terms: Terms) -> str:
    """The version that is there now; nothing of it is read. A version in the address is the newest one that counts.

    Raises:
        SettingError: As ``fetch_kaggle``.
        SourceError: As ``fetch_kaggle``.
    """
    if named := _wanted(address, ""):
        return named
    with _Kaggle(address, terms) as kaggle:
        return kaggle.newest()


class _Kaggle:
    """kagglehub's client for one address, with our limits; a context, for its connections."""

    def __init__(self, address: KaggleAddress, terms: Terms) -> None:
        check_credentials(os.environ, Path.home())
        # Its first import sets a handler on the logger `kagglehub` and asks the network nothing.
        from kagglehub.clients import build_kaggle_client
        from kagglehub.handle import parse_competition_handle, parse_dataset_handle

        self._address = address
        self._session = open_session(terms, repeat_posts=True)
        self._client: Any = build_kaggle_client()
        parse = parse_competition_handle if address.what == "competition" else parse_dataset_handle
        self._handle = parse(address.handle)

    def __enter__(self) -> Self:
        """Connections of kagglehub's client wait and repeat as ours do: by itself it waits for ever."""
        self._client.__enter__()
        theirs = getattr(self._client.http_client(), "_session", None)
        if isinstance(theirs, requests.Session):
            for scheme in ("https://", "http://"):
                theirs.mount(scheme, self._session.get_adapter(scheme))
        return self

    def __exit__(self, *raised: object) -> None:
        """Close the connections."""
        self._client.__exit__(*raised)
        self._session.close()

    def newest(self) -> str:
        """The version that is there now.

        Raises:
            SourceError: Kaggle refuses or does not answer.
        """
        if self._address.what == "dataset":
            number = self._ask(self._client.datasets.dataset_api_client.get_dataset, self._request("get"))
            return f"kaggle:{self._address.handle}/versions/{number.current_version_number}"
        with self._open("") as response:
            return self._changed(response)

    @contextmanager
    def stream(self, version: str, held: int, word: str) -> Generator[Stream]:
        """The archive's bytes from an offset on.

        Args:
            version: Which.
            held: Bytes that are here.
            word: The storage's word for what they are of.

        Raises:
            SourceError: Kaggle refuses or does not answer, or has another version by now.
            Interrupted: What is here cannot be gone on from.
        """
        with self._open(version) as response:
            if self._address.what == "competition" and (now := self._changed(response)) != version:
                raise _gone(self._address, version, now)
            if not (held and response.history):
                yield stream_of(response, held=0, version="", shown=str(self._address))
                return
            # Kaggle has sent us on to a storage, by an address that is signed for a while: it takes ranges.
            storage = response.url
        with get_stream(self._session, storage, held, word, shown=str(self._address)) as rest:
            yield rest

    def _open(self, version: str) -> requests.Response:
        """The answer that holds the archive; its body is not read yet."""
        if self._address.what == "competition":
            return self._ask(
                self._client.competitions.competition_api_client.download_data_files, self._request("competition")
            )
        try:
            return self._ask(
                self._client.datasets.dataset_api_client.download_dataset, self._request("download", version)
            )
        except SourceError as error:
            if error.reason == ReachFault.NOT_FOUND:
                raise _gone(self._address, version, "") from error
            raise

    def _request(self, what: str, version: str = "") -> Any:
        from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest, ApiGetDatasetRequest

        if what == "competition":
            files = ApiDownloadDataFilesRequest()
            files.competition_name = self._address.handle
            return files
        request = ApiDownloadDatasetRequest() if what == "download" else ApiGetDatasetRequest()
        request.owner_slug, request.dataset_slug = self._address.handle.split("/")
        if isinstance(request, ApiDownloadDatasetRequest):
            request.dataset_version_number = int(version.rpartition("/")[2])
        return request

    def _ask(self, call: Any, request: Any) -> Any:
        from kagglehub.exceptions import handle_call

        try:
            # Kaggle's library prints on stdout when there is a newer one; stdout belongs to results.
            with redirect_stdout(sys.stderr):
                return handle_call(lambda: call(request), self._handle)
        except HTTPError as error:
            raise _refusal(error, self._address) from error
        except RequestException as error:
            raise no_answer(error, str(self._address)) from error

    def _changed(self, response: requests.Response) -> str:
        try:
            changed = parsedate_to_datetime(response.headers.get("Last-Modified", "")).astimezone(UTC)
        except ValueError as error:
            raise SourceError(
                f"Kaggle does not say when the data of {self._address} was last changed.",
                reason=ReachFault.VERSION_UNKNOWN.value,
                hint="Download it in a browser, and set the source's variable to the folder.",
            ) from error
        return f"{self._address}/modified/{changed:%Y%m%dT%H%M%SZ}"


def _wanted(address: KaggleAddress, upstream: str) -> str:
    """The version that pin and address name; empty where neither names one.

    Raises:
        SourceError: The pin speaks of something else than the address.
    """
    named = str(address) if address.version else ""
    bare = f"kaggle:{address.handle}/versions/" if address.what == "dataset" else f"{address}/modified/"
    if upstream and (not upstream.startswith(bare) or (named and upstream != named)):
        raise _gone(address, upstream, named)
    return upstream or named


def _refusal(error: HTTPError, address: KaggleAddress) -> SourceError | SettingError:
    response = error.response
    if response is None:
        return no_answer(error, str(address))
    status, said = response.status_code, _said(response)
    page = f"https://www.kaggle.com/{'competitions' if address.what == 'competition' else 'datasets'}/{address.handle}"
    if status == 401:
        return SettingError(
            f"Kaggle does not know the key of this machine{said}.",
            reason=ReachFault.BAD_KAGGLE_CREDENTIALS.value,
            hint="Make a new one at https://www.kaggle.com/settings/api.",
        )
    if status == 403 and address.what == "competition":
        return SourceError(
            f"Consent needed: Kaggle gives the data of {address} to those who have accepted its rules{said}.",
            reason=ReachFault.CONSENT_NEEDED.value,
            hint=f"Open {page}/rules in a browser with the account whose key is used, accept the rules, and run it "
            "again.",
        )
    if status == 403:
        return SourceError(
            f"Kaggle does not give {address} to this account{said}.",
            reason=ReachFault.DENIED.value,
            hint=f"Open {page} in a browser with that account: it may be private, or ask for consent.",
        )
    if status == 404:
        return SourceError(
            f"Kaggle has no {address}{said}.", reason=ReachFault.NOT_FOUND.value, hint=f"Look at {page} in a browser."
        )
    if status == 429 or status >= 500:
        return SourceError(
            f"Kaggle answered {status} for {address}, as often as we asked{said}.",
            reason=ReachFault.BUSY.value,
            hint="Run it again later.",
        )
    return SourceError(f"Kaggle answered {status} for {address}{said}.", reason=ReachFault.REFUSED.value, hint=page)


def _said(response: requests.Response) -> str:
    """Kaggle's own words, where it has some."""
    try:
        words = response.json().get("message", "")
    except (ValueError, AttributeError):
        return ""
    return f" ({' '.join(str(words).split())[:200].rstrip('.')})" if words else ""


def _gone(address: KaggleAddress, wanted: str, now: str) -> SourceError:
    there = f"; there is {now}" if now else ""
    return SourceError(
        f"{address} does not have {wanted} (any more){there}.",
        reason=ReachFault.VERSION_GONE.value,
        hint="See what changed and move the pin: cxr sources update",
    )
