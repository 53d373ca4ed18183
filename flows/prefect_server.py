"""A Prefect server of this process alone, which starts while this process imports what it needs.

Prefect starts such a server by itself, but only after its server package has been imported here too, which takes longer
than everything else before a flow. Laws: a server, a profile or a home of the user's own is left to Prefect; the server
ends with this process, however that ends.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cxr_core.errors import SettingError
from tasks.adapters import guard

__all__ = ["PrefectServer", "app", "start_server"]

_THE_USERS_OWN = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")
_FILES_OF_SETTINGS = (".env", "prefect.toml")
_ROOT = Path(__file__).resolve().parents[1]
_HOST = "127.0.0.1"
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """A server that is starting, or runs.

    Attributes:
        address: Its root, e.g. ``http://127.0.0.1:40123``; requests wait there until it answers.
        log: What it says.
    """

    address: str
    log: Path

    def wait(self) -> None:
        """Wait until it answers, and name it to Prefect.

        Raises:
            SettingError: It ended, or does not answer.
        """
        try:
            urllib.request.urlopen(f"{self.address}/api/health", timeout=_START_SECONDS).close()  # noqa: S310 - http, here
        except OSError as error:
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise SettingError(
                f"Expected Prefect's server to answer at {self.address}; found: {said[-1] if said else error}",
                reason="prefect_down",
                hint=f"Its words are in {self.log}. PREFECT_API_URL, where set, names a server of your own.",
            ) from None


def start_server(environment: dict[str, str], folder: Path) -> PrefectServer | None:
    """Start a server on a free port of this machine; None where the user has settings of Prefect's own.

    Args:
        environment: Prefect's settings; ``PREFECT_API_URL`` is added to this process's.
        folder: Where its log is kept.
    """
    if _has_settings(folder):
        return None
    # Two verbs in one home have a server each.
    log = folder / f"prefect-server-{os.getpid()}.log"
    # Listening before the server does: no other program can take the port, and who asks early waits.
    with socket.create_server((_HOST, 0)) as listening, log.open("wb") as words:
        port: int = listening.getsockname()[1]
        server = ("uvicorn", "--factory", f"{__name__}:app", "--app-dir", str(_ROOT), "--fd", str(listening.fileno()))
        # -P: no file of the folder that the user stands in is imported.
        python = (sys.executable, "-P", "-m", *server, "--log-level", "error", "--lifespan", "on")
        process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, *python],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    atexit.register(_stop, process, log)
    _reach_without_proxy()
    address = f"http://{_HOST}:{port}"
    os.environ["PREFECT_API_URL"] = f"{address}/api"
    return PrefectServer(address=address, log=log)


def _reach_without_proxy() -> None:
    """Have every client in this process ask this machine itself, whatever proxy the environment names."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [known, _HOST]))


def app() -> Callable[..., Any]:
    """What the server serves: Prefect's interface, without pages and services, which outlive no run here."""
    # By name, for its types are not to be had.
    create_app: Callable[..., Callable[..., Any]] = import_module("prefect.server.api.server").create_app
    return create_app(ephemeral=True, final=True)


def _has_settings(folder: Path) -> bool:
    """Whether Prefect would find settings of the user's: in the environment, a profile, or a file where it starts."""
    if any(os.environ.get(name) for name in _THE_USERS_OWN) or any(Path(name).exists() for name in _FILES_OF_SETTINGS):
        return True
    project = Path("pyproject.toml")
    with suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        if "prefect" in tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {}):
            return True
    return (folder / "prefect" / "profiles.toml").exists()


def _stop(process: subprocess.Popen[bytes], log: Path) -> None:
    """Let it end what it is writing, then make sure; its log is kept where it had ended by itself."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    log.unlink(missing_ok=True)
