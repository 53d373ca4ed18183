"""Where a workspace's DVC keeps its objects: the home's shared cache, and the remote that somebody chose.

The remote is, first to last: the address asked for (``CXR_DVC_REMOTE``), the checkout's own DVC configuration where it
names another than the repository ships, the home's folder. Comes in: a checkout, a home. Goes out: an address, and
``.dvc/config.local`` in the workspace, which git ignores.
"""

from __future__ import annotations

import configparser
import io
from pathlib import Path

from cxr_core.errors import SettingError
from cxr_core.files import write_text

__all__ = ["cache_folder", "remote_address", "remote_options", "write_local_config"]

_SHIPPED_ADDRESS = "../.cxr/dvc/remote"
_REMOTE = "store"


def cache_folder(home: Path) -> Path:
    """The cache that every workspace of a home shares."""
    return home / "dvc" / "cache"


def remote_address(checkout: Path, home: Path, *, asked: str | None = None) -> str:
    """The remote's address: an absolute folder, or a URL such as ``s3://bucket/prefix``.

    Args:
        checkout: The user's checkout.
        home: ``CXR_HOME``.
        asked: ``CXR_DVC_REMOTE``: a folder or a URL.

    Raises:
        SettingError: The checkout's DVC configuration cannot be read, or its default remote has no address.
    """
    if asked:
        return asked if "://" in asked else str(Path(asked).expanduser().absolute())
    name, options = _default_remote(checkout)
    address = options.get("url", _SHIPPED_ADDRESS if name == _REMOTE else "")
    if not address:
        raise SettingError(
            f"DVC's default remote in {checkout} is {name!r}, which has no url.",
            reason="no_remote_address",
            hint=f"dvc remote add --local {name} ADDRESS",
        )
    if address == _SHIPPED_ADDRESS:
        return str((home / "dvc" / "remote").absolute())
    # DVC reads a relative address from the folder of the file it stands in.
    return address if "://" in address else str((checkout / ".dvc" / address).resolve())


def write_local_config(workspace: Path, *, checkout: Path, home: Path, remote: str) -> None:
    """Write the workspace's ``.dvc/config.local``; the checkout's own one (credentials, endpoints) is carried over.

    The address stands under the name of the checkout's default remote, so that credentials of that remote apply.
    """
    name, _ = _default_remote(checkout)
    own = _read(checkout / ".dvc" / "config.local")
    cache = {"dir": str(cache_folder(home).absolute()), "type": "reflink,hardlink,copy"}
    for section, options in (("core", {"remote": name}), ("cache", cache), (_section(name), {"url": remote})):
        own.setdefault(section, {}).update(options)
    text = _written(own)
    path = workspace / ".dvc" / "config.local"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
        # It may carry somebody's credentials.
        path.chmod(0o600)


def remote_options(root: Path) -> dict[str, str]:
    """The default remote's options beside its address (endpoint, region, credentials), as a folder configures them."""
    return {key: value for key, value in _default_remote(root)[1].items() if key != "url"}


def _default_remote(root: Path) -> tuple[str, dict[str, str]]:
    config = _read(root / ".dvc" / "config")
    for section, options in _read(root / ".dvc" / "config.local").items():
        config.setdefault(section, {}).update(options)
    name = config.get("core", {}).get("remote", _REMOTE)
    return name, config.get(_section(name), {})


def _section(remote: str) -> str:
    return f"'remote \"{remote}\"'"


def _parser() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(delimiters=("=",), comment_prefixes=("#",), default_section="\0")
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    return parser


def _read(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    parser = _parser()
    try:
        # DVC indents options, which would read as continued lines after one that is not indented.
        parser.read_string("\n".join(line.strip() for line in path.read_text(encoding="utf-8").splitlines()))
    except configparser.Error as error:
        raise SettingError(
            f"{path} is not a DVC configuration: {' '.join(str(error).split())}.",
            reason="bad_dvc_config",
            hint="dvc config --list",
        ) from error
    return {name: {key: value.strip("\"'") for key, value in parser.items(name)} for name in parser.sections()}


def _written(sections: dict[str, dict[str, str]]) -> str:
    parser = _parser()
    for name, options in sections.items():
        # Quoted, so that commas and number signs stay part of the value.
        parser[name] = {key: f'"{value}"' for key, value in options.items()}
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()
