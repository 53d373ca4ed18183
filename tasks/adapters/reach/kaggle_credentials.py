"""The Kaggle key of this machine, proven to be there and to be nobody else's to read; its value is never looked at.

Order and places are kagglehub's: ``KAGGLE_API_TOKEN`` (a token, or a file with one), ``~/.kaggle/access_token``,
``KAGGLE_USERNAME`` with ``KAGGLE_KEY``, and ``kaggle.json`` in ``KAGGLE_CONFIG_DIR`` or ``~/.kaggle``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cxr_core.errors import SettingError
from tasks.adapters.reach.faults import ReachFault

__all__ = ["check_credentials"]

_ACCOUNT = "https://www.kaggle.com/settings/api"


def check_credentials(environment: Mapping[str, str], home: Path) -> None:
    """Prove that kagglehub will find a key, and that it is in no file that others can read.

    Args:
        environment: Of this process.
        home: The user's home folder.

    Raises:
        SettingError: None is there (``kaggle_no_credentials``), others can read it (``kaggle_credentials_exposed``),
            or the file cannot be used (``kaggle_credentials_unusable``).
    """
    token = environment.get("KAGGLE_API_TOKEN", "")
    if token:
        if "/" in token and Path(token).is_file():
            _check_private(Path(token))
        return
    for name in ("access_token", "access_token.txt"):
        file = home / ".kaggle" / name
        if file.is_file():
            _check_private(file)
            if file.stat().st_size:
                return
    found = [name for name in ("KAGGLE_USERNAME", "KAGGLE_KEY") if environment.get(name)]
    if len(found) == 2:
        return
    folder = environment.get("KAGGLE_CONFIG_DIR")
    file = (Path(folder) if folder else home / ".kaggle") / "kaggle.json"
    if file.is_file():
        _check_private(file)
        _check_holds_key(file)
        return
    half = f" {found[0]} is set, its other half is not." if found else ""
    raise SettingError(
        f"No Kaggle key is set on this machine: neither KAGGLE_API_TOKEN, nor KAGGLE_USERNAME with KAGGLE_KEY, nor "
        f"{file}.{half}",
        reason=ReachFault.NO_KAGGLE_CREDENTIALS.value,
        hint=f"Make one at {_ACCOUNT}, then set KAGGLE_API_TOKEN, or put kaggle.json there and chmod 600 it.",
    )


def _check_private(file: Path) -> None:
    mode = stat.S_IMODE(file.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise SettingError(
            f"{file} holds a Kaggle key, and others on this machine can read it (mode {mode:03o}, expected 600).",
            reason=ReachFault.EXPOSED_KAGGLE_CREDENTIALS.value,
            hint=f"chmod 600 {file}  # and make a new key at {_ACCOUNT} if others may have seen this one",
        )


def _check_holds_key(file: Path) -> None:
    try:
        held = json.loads(file.read_bytes())
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict) or not all(held.get(name) for name in ("username", "key")):
        raise SettingError(
            f"{file} should be a JSON object with username and key; it is not.",
            reason=ReachFault.BAD_KAGGLE_CREDENTIALS.value,
            hint=f"Download it again at {_ACCOUNT}.",
        )
