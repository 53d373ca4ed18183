"""What every task of one retrain shares: where it runs, with which parameters, under which name."""

from __future__ import annotations

import getpass
import os
import secrets
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cxr_core
from cxr_core.errors import SettingError
from cxr_core.files import write_text
from cxr_core.ingest.address import source_address
from cxr_core.ingest.pins import PINS_PATH, without_pins
from cxr_core.params import Params, Protocol, override_params, read_params
from tasks.adapters.git import snapshot, try_git
from tasks.adapters.workspace import Workspace, open_workspace
from tasks.events import stage_done, stage_started
from tasks.settings import Home, checkout, external_folders, home

__all__ = ["Run", "actor", "check_request", "open_run", "under"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One retrain.

    Attributes:
        id: UTC time and four random hex digits, e.g. ``20261123-041200-9f3a``.
        program: What the person or the schedule called, e.g. ``cxr retrain``.
        home: Where this machine keeps what runs leave.
        workspace: The clone it runs in, held by this process.
        params: Its parameters, overrides applied.
    """

    id: str
    program: str
    home: Home
    workspace: Workspace
    params: Params

    @property
    def path(self) -> Path:
        """The workspace's folder."""
        return self.workspace.path


def check_request(overrides: Sequence[str]) -> Params:
    """Refuse at once, before anything is started or written, what a retrain would meet in its first stages.

    Returns:
        The parameters, overrides applied.

    Raises:
        SettingError: No checkout here, code of another one, a source that is not there, or nobody who acts.
        ParamsError: params.yaml or an override does not hold.
    """
    root = checkout()
    _check_code(root)
    params = read_params(override_params((root / "params.yaml").read_text(encoding="utf-8"), overrides))
    for source in params.ingest.sources:
        source_address(source, os.environ)
    external_folders()
    actor()
    return params


@contextmanager
def open_run(overrides: Sequence[str], *, program: str, folder: Path | None, unpinned: bool) -> Generator[Run]:
    """Take a workspace at a snapshot of the checkout and write the parameters into it.

    Args:
        overrides: ``key=value`` for params.yaml.
        program: What was called.
        folder: A workspace's folder; None takes one under the home.
        unpinned: Start without the checkout's pins: they speak of X-rays, the demo has phantoms.

    Raises:
        SettingError: No checkout here, or the code that runs is not this checkout's.
        ParamsError: An override does not hold; nothing has been changed then.
        VersioningError: The workspace is taken, or git refused.
    """
    root = checkout()
    _check_code(root)
    text = override_params((root / "params.yaml").read_text(encoding="utf-8"), overrides)
    where = home(root)
    stage_started("snapshot")
    commit = snapshot(root)
    remote = os.environ.get("CXR_DVC_REMOTE") or None
    with open_workspace(root, where.root, commit, path=folder, remote=remote) as workspace:
        write_text(workspace.path / "params.yaml", text)
        if unpinned:
            lock = workspace.path / PINS_PATH
            write_text(lock, without_pins(lock.read_text(encoding="utf-8")))
        clean = try_git(root, "diff", "--quiet", commit, "HEAD") is not None
        tree = "HEAD" if clean else "the working tree with its changes"
        stage_done("snapshot", f"{commit[:12]} ({tree}) in {workspace.name}")
        yield Run(
            id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
            program=program,
            home=where,
            workspace=workspace,
            params=read_params(text),
        )


def under(run: Run, protocol: Protocol) -> Run:
    """The same run with its folds dealt by another protocol: its workspace says so, and so does its id."""
    path = run.path / "params.yaml"
    text = override_params(path.read_text(encoding="utf-8"), [f"split.protocol={protocol}"])
    write_text(path, text)
    return replace(run, id=f"{run.id}-{protocol}", params=read_params(text))


def actor() -> str:
    """Who acts, as ledger and runs name them: ``CXR_ACTOR``, git's user.email, or the login name.

    Raises:
        SettingError: None of them is there.
    """
    if asked := os.environ.get("CXR_ACTOR"):
        return asked
    email = try_git(Path.cwd(), "config", "user.email")
    if email and email.strip():
        return email.decode().strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container may run under a number that has no name
        raise SettingError(
            "Expected to know who acts; found neither CXR_ACTOR, nor git's user.email, nor a login name.",
            reason="nobody",
            hint="Set CXR_ACTOR to a name or an e-mail address.",
        ) from error


def _check_code(root: Path) -> None:
    """A commit of this checkout names the run, so this checkout's code must be what runs."""
    running = Path(str(cxr_core.__file__)).resolve().parents[1]
    if running != root.resolve():
        raise SettingError(
            f"You stand in {root}, but the code that runs is {running}'s.",
            reason="foreign_code",
            hint=f"Use this checkout's own command: cd {root} && make demo, then .venv/bin/cxr.",
        )
