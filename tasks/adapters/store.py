"""The MLflow store: a tracking URI and an artifact root in, a client out. The base of tracking, registry and bundle.

Laws: many processes may open an empty store at once, and one of them migrates it; nothing is written to the working
directory; MLflow sends no telemetry; what MLflow refuses becomes a ``TrackingError`` with the next command.

A module that imports MLflow imports this one first, for the switches' sake.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tasks.adapters.switches import SWITCHES  # isort: skip  (before MLflow: it reads them while it is imported)
import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import SQLAlchemyError

from cxr_core.errors import TrackingError

__all__ = ["UI_ENVIRONMENT", "artifact_uri", "is_away", "one_attempt", "open_client", "translated", "ui_command"]

# Without these one `mlflow server` is 15 processes and 2.7 GB; with them and one worker, 2 processes and 0.5 GB.
UI_ENVIRONMENT: dict[str, str] = {**SWITCHES, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

_SQLITE_HEADER = b"SQLite format 3\x00"
_LOCK_SECONDS = 120.0

# What a server or database that is down, starting or overloaded ends in; asking again may help.
_AWAY = frozenset({"internal_error", "temporarily_unavailable", "request_limit_exceeded", "database_failed"})
_SERVER_ERROR = 500
_attempts = threading.Lock()
_once: list[object] = []


def open_client(tracking_uri: str, artifact_root: str) -> MlflowClient:
    """Open a tracking store, creating and migrating it where it is a SQLite file that is not there yet.

    The first use of a SQLite store takes seconds (some seventy migrations), later ones about 0.2 s.

    Args:
        tracking_uri: ``sqlite:///`` + absolute path, ``postgresql://…``, or a server's ``http(s)://`` address.
        artifact_root: Where a new SQLite store keeps artifacts: a path or URI. A server has its own.

    Raises:
        TrackingError: The store cannot be reached, is damaged, or has another MLflow's schema.
    """
    with translated(tracking_uri), one_attempt():
        path = _sqlite_path(tracking_uri)
        if path is None:
            client = MlflowClient(tracking_uri=tracking_uri)
            client.search_experiments(max_results=1)
            return client
        _check_header(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of six processes that meet an empty file, five die in the migrations.
        with FileLock(f"{path}.lock", timeout=_LOCK_SECONDS):
            if not path.exists():
                _make_store(path, artifact_root)
            return MlflowClient(tracking_uri=tracking_uri)


def _make_store(path: Path, artifact_root: str) -> None:
    """Make an empty SQLite store, whole: MLflow refuses for ever what was killed in the middle of its migrations."""
    partial = path.with_name(f".{path.name}.partial")
    for left in path.parent.glob(f"{partial.name}*"):
        left.unlink()
    # A client would place the default experiment in ./mlruns of whoever came first.
    store = SqlAlchemyStore(f"sqlite:///{partial}", artifact_root)
    store.engine.dispose()
    partial.rename(path)


@contextmanager
def translated(tracking_uri: str) -> Generator[None]:
    """Turn what MLflow and its database raise into ``TrackingError``.

    Raises:
        TrackingError: With MLflow's own error code as the reason.
    """
    try:
        yield
    except MlflowException as error:
        text = " ".join(str(error.message).split())
        raise TrackingError(
            f"MLflow at {shown_uri(tracking_uri)} refused: {text[:500]}",
            reason=str(error.error_code).lower(),
            hint=_next_step(tracking_uri, text),
        ) from error
    except requests.RequestException as error:
        # Artifacts travel by plain requests, whose errors MLflow hands on as they are.
        answered = error.response is not None and error.response.status_code < _SERVER_ERROR
        raise TrackingError(
            f"MLflow at {shown_uri(tracking_uri)} did not take a file: {' '.join(str(error).split())[:500]}",
            reason="request_refused" if answered else "temporarily_unavailable",
            hint=_next_step(tracking_uri, "API request"),
        ) from error
    except SQLAlchemyError as error:
        raise TrackingError(
            f"The database {shown_uri(tracking_uri)} failed: {' '.join(str(error).split())[:500]}",
            reason="database_failed",
            hint="Check that it is reachable, writable and not full.",
        ) from error


def is_away(error: TrackingError) -> bool:
    """Whether the tracker did not answer, rather than refuse: the same call may succeed later."""
    return error.reason in _AWAY


@contextmanager
def one_attempt() -> Generator[None]:
    """Ask a server once: its absence is told in a second, not after MLflow's seven retries (minutes).

    Calls outside keep the retries. Several threads may be inside; what the user set wins.
    """
    mine = object()
    with _attempts:
        if not _once and MLFLOW_HTTP_REQUEST_MAX_RETRIES.is_set():
            mine = None
        else:
            _once.append(mine)
            MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(0)
    try:
        yield
    finally:
        if mine is not None:
            with _attempts:
                _once.remove(mine)
                if not _once:
                    MLFLOW_HTTP_REQUEST_MAX_RETRIES.unset()


def artifact_uri(root: str | Path) -> str:
    """An artifact root as a URI: a path becomes absolute, so that it means the same in every process."""
    text = str(root).rstrip("/")
    return text if "://" in text else Path(text).resolve().as_uri()


def ui_command(tracking_uri: str, artifact_root: str | Path, host: str, port: int) -> tuple[list[str], dict[str, str]]:
    """The command that serves MLflow's pages on a store, and the environment it needs beside the present one.

    Raises:
        TrackingError: The store is a server already; its address is where the pages are.
    """
    if tracking_uri.startswith(("http://", "https://")):
        raise TrackingError(
            f"{shown_uri(tracking_uri)} is a server already.",
            reason="already_served",
            hint=f"Open {shown_uri(tracking_uri)} in a browser.",
        )
    program = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", host, "--port", str(port)]
    return [
        *program,
        "--backend-store-uri",
        tracking_uri,
        "--default-artifact-root",
        artifact_uri(artifact_root),
    ], UI_ENVIRONMENT


def _sqlite_path(tracking_uri: str) -> Path | None:
    """The file behind a ``sqlite:///`` URI; ``None`` for any other store.

    Raises:
        TrackingError: The URI names a file relative to whichever directory a process happens to be in.
    """
    if not tracking_uri.startswith("sqlite:"):
        return None
    path = Path(tracking_uri.removeprefix("sqlite:///").partition("?")[0])
    if not path.is_absolute():
        raise TrackingError(
            f"The tracking URI {tracking_uri} names no absolute path.",
            reason="relative_store",
            hint="Write sqlite:////absolute/path.db (four slashes).",
        )
    return path


def _check_header(path: Path) -> None:
    """Refuse a file that is no database at once; MLflow would try to open it for minutes."""
    if path.exists():
        with path.open("rb") as file:
            head = file.read(len(_SQLITE_HEADER))
        if head not in (b"", _SQLITE_HEADER):
            raise TrackingError(
                f"{path} should be MLflow's SQLite database, but its first bytes are not SQLite's.",
                reason="not_a_database",
                hint="Restore it from a backup, or move it away: `cxr demo` makes a new one.",
            )


def _next_step(tracking_uri: str, text: str) -> str:
    if "out-of-date database schema" in text:
        return f"Back it up, then run `mlflow db upgrade {shown_uri(tracking_uri)}`."
    if tracking_uri.startswith(("http://", "https://")) and "API request" in text:
        return "Start the server, or correct MLFLOW_TRACKING_URI."
    return ""


def shown_uri(tracking_uri: str) -> str:
    """The URI without its password."""
    parts = urlsplit(tracking_uri)
    if parts.password is None:
        return tracking_uri
    return parts._replace(netloc=f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}").geturl()
