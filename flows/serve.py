"""``cxr ui``: MLflow's own pages on the store in use, in the foreground."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from cxr_core.errors import SettingError, TrackingError
from flows.output import Output
from tasks.adapters import guard
from tasks.settings import home

__all__ = ["serve_ui"]

_START_SECONDS = 120.0
# Whatever proxy the environment names: the server is ours.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def serve_ui(out: Output, *, host: str, port: int) -> None:
    """Start the server, print its address once it answers, and wait for Ctrl-C.

    Raises:
        SettingError: The port is taken.
        TrackingError: The store cannot be opened, or the server ended or never answered.
    """
    from tasks.adapters.store import shown_uri, ui_command
    from tasks.stores import tracker_of

    where = home()
    tracker = tracker_of(where)
    if where.tracking_uri.startswith(("http://", "https://")):
        # A team's server serves its own pages.
        address = f"{where.tracking_uri.rstrip('/')}/#/experiments/{tracker.experiment_id}"
        out.report({"ok": True, "address": address}, lambda console, report: console.print(report["address"]))
        return
    chosen = _free_port(host, port)
    command, environment = ui_command(where.tracking_uri, str(where.artifact_root), host, chosen)
    address = f"http://{host}:{chosen}/#/experiments/{tracker.experiment_id}"
    # Both set here: a shell's background job starts with Ctrl-C ignored, and a plain kill must end the server too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # A file, not a pipe: a pipe that nobody reads fills up and stops the server.
    log = where.root / "mlflow" / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as words:
        process = subprocess.Popen(
            # However this process ends, a closed terminal included, the server and its port go with it.
            [sys.executable, "-I", guard.__file__, *command],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://{host}:{chosen}/health", log)
        out.report(
            {"ok": True, "address": address, "store": shown_uri(where.tracking_uri), "pid": process.pid},
            lambda console, report: console.print(
                f"{report['address']}\n[dim]store {report['store']}; Ctrl-C ends it[/]"
            ),
        )
        if process.wait() != 0:
            raise TrackingError(
                f"MLflow's server ended with exit code {process.returncode}.",
                reason="server_ended",
                hint=f"Its last words are in {log}.",
            )
    except KeyboardInterrupt:
        pass
    finally:
        _stop(process)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _free_port(host: str, port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingError(
                f"Port {port} of {host} cannot be taken: {error.strerror}.",
                reason="port_taken",
                hint="cxr ui --port 0 takes a free one.",
            ) from error
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise TrackingError(
                f"MLflow's server ended with exit code {process.returncode}.",
                reason="server_ended",
                hint=f"Its last words are in {log}.",
            )
        try:
            with _direct.open(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise TrackingError(f"MLflow's server did not answer at {address}.", reason="server_silent")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its worker: they are one process group, started here."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
