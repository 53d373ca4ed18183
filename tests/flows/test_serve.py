"""``cxr ui`` serves MLflow's pages on the store in use until it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from tests.walk import Ended, Place, Retrained, wait_for


def test_the_pages_are_served_until_an_interrupt(promoted: Retrained) -> None:
    place = promoted.place
    process = _ui(place, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        address, _, page = report["address"].partition("/#/")
        assert page.startswith("experiments/")
        assert report["store"].endswith(f"{place.home}/mlflow/mlflow.db")
        assert b"MLflow" in wait_for(address)
        found = wait_for(f"{address}/api/2.0/mlflow/experiments/get?experiment_id={page.removeprefix('experiments/')}")
        assert json.loads(found)["experiment"]["name"] == "cxr"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert not alive(report["pid"])


def test_the_server_and_its_port_go_with_a_process_that_is_killed(promoted: Retrained) -> None:
    process = _ui(promoted.place, stderr=subprocess.DEVNULL, http_proxy="http://127.0.0.1:9")
    try:
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        process.stdout.close()
        wait_for(report["address"].partition("/#/")[0])
    finally:
        process.kill()
        process.wait()
    end = time.monotonic() + 30
    while alive(report["pid"]) and time.monotonic() < end:
        time.sleep(0.05)
    port = urlsplit(report["address"]).port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_that_is_taken_is_told(promoted: Retrained, verb: Callable[..., Ended]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = verb(promoted.place, "ui", "--port", str(other.getsockname()[1]), "--json")
    assert (ended.code, ended.report["error"]["reason"]) == (1, "port_taken")
    assert "--port 0" in ended.report["error"]["hint"]


def _ui(place: Place, *, stderr: int, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "ui", "--port", "0", "--json"],
        cwd=place.clone,
        env=place.environment | variables,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
