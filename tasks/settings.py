"""Settings of this machine, read from the environment when called; each failure names its variable.

``CXR_HOME`` holds what a run leaves on this machine: workspaces, the SQLite stores, the DVC cache and its remote.
``MLFLOW_TRACKING_URI`` and ``PREFECT_API_URL``, where set, win over the stores in it.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from cxr_core.classes import SOURCES
from cxr_core.errors import SettingError

__all__ = [
    "Home",
    "checkout",
    "external_folders",
    "home",
    "patient_key",
    "prefect_environment",
]

_MIN_KEY_CHARS = 16
_EXTERNAL = re.compile(r"CXR_EXTERNAL_([A-Z0-9_]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """The folders under ``CXR_HOME``."""

    root: Path

    @property
    def workspaces(self) -> Path:
        """Clones that retrains run in."""
        return self.root / "workspaces"

    @property
    def dvc_cache(self) -> Path:
        """The cache that every workspace shares."""
        return self.root / "dvc" / "cache"

    @property
    def dvc_remote(self) -> Path:
        """The default remote."""
        return self.root / "dvc" / "remote"

    @property
    def tracking_uri(self) -> str:
        """``MLFLOW_TRACKING_URI``, or the SQLite store of this home."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_root(self) -> Path:
        """Where the SQLite store's artifacts lie; a tracking server chooses its own."""
        return self.root / "mlflow" / "artifacts"

    @property
    def weights_cache(self) -> Path:
        """Downloaded or placed ImageNet weights."""
        return self.root / "weights"

    @property
    def demo_sources(self) -> Path:
        """Phantom sources of the demo."""
        return self.root / "demo" / "sources"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints by key, before and while they are logged."""
        return self.root / "checkpoints"


def checkout() -> Path:
    """The checkout around the working directory: the folder that holds ``dvc.yaml`` and ``params.yaml``.

    Raises:
        SettingError: No folder from here upwards is one.
    """
    start = Path.cwd()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise SettingError(
        f"Expected to stand in a checkout with params.yaml and dvc.yaml; found none from {start} upwards.",
        reason="no_checkout",
        hint="Run `cd` into your clone of the repository and try again.",
    )


def home(checkout_root: Path | None = None) -> Home:
    """``CXR_HOME``, or ``.cxr`` in the checkout.

    Raises:
        SettingError: It exists and is no folder.
    """
    value = os.environ.get("CXR_HOME")
    root = Path(value).expanduser() if value else (checkout_root or checkout()) / ".cxr"
    if root.exists() and not root.is_dir():
        raise SettingError(
            f"CXR_HOME should be a folder; {root} is a file.", reason="bad_home", hint="Set CXR_HOME to a folder."
        )
    return Home(root=root.absolute())


def external_folders() -> dict[str, Path]:
    """The folders that the environment names, by the set's name.

    Raises:
        SettingError: One is no folder (``external_missing``), or its name is a source's (``external_is_a_source``).
    """
    found: dict[str, Path] = {}
    for variable, value in sorted(os.environ.items()):
        match = _EXTERNAL.fullmatch(variable)
        if match is None or not value:
            continue
        name, folder = match[1].lower(), Path(value).expanduser()
        if name in SOURCES:
            raise SettingError(
                f"{variable} has the name of a source; a set that tests needs a name of its own.",
                reason="external_is_a_source",
                hint=f"Rename it, e.g. CXR_EXTERNAL_{match[1]}_TEST.",
            )
        if not folder.is_dir():
            raise SettingError(
                f"{variable} should be a folder of labelled X-rays; {folder} is none.",
                reason="external_missing",
                hint=f"Correct it, or unset {variable}. It holds covid/, viral/ and normal/, or a labels.csv.",
            )
        found[name] = folder
    return found


def patient_key(where: Home) -> bytes:
    """The key of patient digests: ``CXR_PATIENT_KEY``, or one made once for this home (readable by its owner alone).

    Raises:
        SettingError: The variable is shorter than 16 characters.
    """
    value = os.environ.get("CXR_PATIENT_KEY")
    if value is not None:
        if len(value) < _MIN_KEY_CHARS:
            raise SettingError(
                f"CXR_PATIENT_KEY should have at least {_MIN_KEY_CHARS} characters; it has {len(value)}.",
                reason="weak_patient_key",
                hint="Make one with `python -c 'import secrets; print(secrets.token_hex(32))'`.",
            )
        return value.encode()
    where.root.mkdir(parents=True, exist_ok=True)
    path = where.root / "patient.key"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            # Opened with its final mode, so that the key is never readable by others, not even for a moment.
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
        return path.read_text(encoding="utf-8").strip().encode()


def prefect_environment(where: Home) -> dict[str, str]:
    """Variables for Prefect: its own store in this home unless ``PREFECT_API_URL`` names a server.

    What the user has set is kept; the start-up limit is raised because twenty seconds are not enough on a busy machine.
    """
    wanted = {
        "PREFECT_HOME": str(where.root / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # Errors end in our own words; Prefect's would print a traceback before them.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        # Pages that nobody can open before the run is over; without them the server starts a second sooner.
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        # A failure's traceback goes to Prefect's store and UI; in the terminal our own words say what failed.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        # Our log lines appear beside the task run in Prefect's UI.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "cxr",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "DO_NOT_TRACK": "1",
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}
