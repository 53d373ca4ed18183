"""The Prefect server that a verb starts for itself: there in time, gone with its process, never in the user's way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cxr_core.errors import SettingError
from flows.prefect_server import start_server
from tasks.settings import Home, prefect_environment

# What a verb does, in a process of its own: it says where its server is, then ends as it is told to.
PROGRAM = """
import json, os, sys, time, urllib.request
from pathlib import Path
from flows.prefect_server import start_server
from tasks.settings import Home, prefect_environment
folder = Path(sys.argv[1])
server = start_server(prefect_environment(Home(root=folder)), folder)
server.wait()
with urllib.request.urlopen(os.environ["PREFECT_API_URL"] + "/admin/version") as answer:
    version = json.load(answer)
print(json.dumps({"address": server.address, "url": os.environ["PREFECT_API_URL"], "version": version}), flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def _nothing_of_prefects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # `start_server` names its server to this process; set first, so that it is taken back.
    monkeypatch.setenv("PREFECT_API_URL", "")
    for name in ("PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_it_answers_and_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    from prefect import __version__

    # A proxy that answers nobody: what is on this machine is asked without it.
    process = _program(tmp_path, seconds=0, http_proxy="http://127.0.0.1:9")
    said = json.loads(process.communicate(timeout=120)[0])

    assert process.returncode == 0
    assert said["url"] == f"{said['address']}/api"
    assert said["version"] == __version__
    assert (tmp_path / "prefect/prefect.db").is_file()
    assert not list(tmp_path.glob("*.log"))
    assert _gone(said["address"])


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    process = _program(tmp_path, seconds=600)
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    assert _gone(said["address"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREFECT_API_URL", "http://127.0.0.1:1/api"),
        ("PREFECT_HOME", "/somewhere"),
        ("PREFECT_PROFILE", "cloud"),
        ("PREFECT_PROFILES_PATH", "/somewhere/profiles.toml"),
    ],
)
def test_settings_of_the_users_own_are_left_to_prefect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert start_server({}, tmp_path) is None
    assert os.environ["PREFECT_API_URL"] == (value if name == "PREFECT_API_URL" else "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", ""),
        ("prefect.toml", ""),
        ("pyproject.toml", "[tool.prefect.api]\nurl = 'http://127.0.0.1:1/api'\n"),
        ("prefect/profiles.toml", "active = 'mine'\n"),
    ],
)
def test_files_of_settings_are_left_to_prefect(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)

    assert start_server({}, tmp_path) is None


def test_no_file_of_the_folder_that_one_stands_in_is_imported(tmp_path: Path) -> None:
    for name in ("uvicorn.py", "prefect.py", "flows.py"):
        (tmp_path / name).write_text("raise SystemExit('mine')")
    process = _program(tmp_path, seconds=0)
    process.communicate(timeout=120)

    assert process.returncode == 0


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    environment = prefect_environment(Home(root=tmp_path)) | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "nonsense"}
    server = start_server(environment, tmp_path)
    assert server is not None

    with pytest.raises(SettingError) as caught:
        server.wait()

    assert caught.value.reason == "prefect_down"
    assert server.log.read_text().strip().splitlines()[-1] in caught.value.message
    assert "PREFECT_API_URL" in caught.value.hint


def _program(folder: Path, *, seconds: float, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ | variables)


def _gone(address: str) -> bool:
    """Whether nothing listens there any more, or will not in a few seconds."""
    host, port = address.removeprefix("http://").split(":")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return True
        time.sleep(0.1)
    return False
