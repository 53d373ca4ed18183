"""Where a retrain runs: a clone of the checkout at one commit, with the home's DVC cache, held by one process.

Comes in: a checkout and a commit (``git.snapshot``). Goes out: a ``Workspace``, and from it the commit that names what
the run used. Laws: the checkout's HEAD, index and files are never touched; a folder that is not ours is never reset; a
run's commit exists only where DVC found data, parameters and code in agreement and the remote holds every object.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from cxr_core.audit.lock import read_lock
from cxr_core.errors import SettingError, VersioningError
from tasks.adapters import dvc, objects
from tasks.adapters.dvc_config import cache_folder, remote_address, remote_options, write_local_config
from tasks.adapters.git import (
    commit_date,
    commit_files,
    find_checkout,
    move_ref,
    resolve,
    run_git,
    tracked_changes,
    try_git,
)
from tasks.adapters.publish import Counted, Published, in_workspace, publish
from tasks.adapters.receipts import Receipts

__all__ = [
    "RUN_REFS",
    "Workspace",
    "commit_run",
    "is_busy",
    "known_workspaces",
    "make_home",
    "open_workspace",
    "push",
]

RUN_REFS = "refs/cxr/runs/"
"""A run's commit stands under this prefix and its run id, in the checkout's repository."""

_RUN_FILES = ("params.yaml", "data/sources.lock.yaml", "dvc.lock")
_MARK = "cxr-workspace"
_LOCK = "cxr-workspace.lock"
_BASE = "refs/cxr/base"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# `uploadpack.allowAnySHA1InWant`: a snapshot's commit has no ref in the checkout.
_SERVE_ANY_COMMIT = "git -c uploadpack.allowAnySHA1InWant=true upload-pack"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """A clone that this process holds.

    Args:
        name: How people call it, e.g. ``retrain-1``.
        path: Its folder.
        checkout: The checkout it was cloned from; run commits are written to that repository.
        home: ``CXR_HOME``.
        commit: The commit its tracked files were set to.
        remote: The DVC remote's address.
    """

    name: str
    path: Path
    checkout: Path
    home: Path
    commit: str
    remote: str


@contextmanager
def open_workspace(
    checkout: Path,
    home: Path,
    commit: str,
    *,
    name: str | None = None,
    path: Path | None = None,
    remote: str | None = None,
) -> Generator[Workspace]:
    """Hold a clone of a checkout at a commit; a used one is reset, keeping its data and dvc.lock.

    Args:
        checkout: The user's checkout.
        home: ``CXR_HOME``; made where absent, with a ``.gitignore`` that hides all of it.
        commit: What to clone: ``git.snapshot(checkout)``.
        name: A workspace's name under ``home/workspaces``; by default the first free of retrain-1, retrain-2, …
        path: A folder instead of a name: new, empty or a workspace.
        remote: ``CXR_DVC_REMOTE``: a folder or URL; by default what ``remote_address`` finds.

    Raises:
        SettingError: The checkout cannot serve, or the folder holds something else.
        VersioningError: Another process holds the workspace, or git failed.
    """
    checkout, home = find_checkout(checkout), home.absolute()
    address = remote_address(checkout, home, asked=remote)
    make_home(home)
    with ExitStack() as stack:
        folder = _take(stack, home, name, path)
        _restore(folder, checkout, commit)
        write_local_config(folder, checkout=checkout, home=home, remote=address)
        yield Workspace(name=folder.name, path=folder, checkout=checkout, home=home, commit=commit, remote=address)


def known_workspaces(home: Path) -> list[Path]:
    """The workspaces under a home, by name."""
    folder = home / "workspaces"
    return sorted(mark.parents[1] for mark in folder.glob(f"*/.git/{_MARK}"))


def is_busy(workspace: Path) -> bool:
    """Whether a process holds the workspace now."""
    lock = FileLock(str(workspace / ".git" / _LOCK))
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def make_home(home: Path) -> None:
    """Make the home's folder; one that lies in a checkout keeps out of its git status, and so out of every snapshot."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / ".gitignore").exists():
        (home / ".gitignore").write_text("*\n", encoding="utf-8")


def push(workspace: Workspace, counted: Counted = lambda verb, done, total: None) -> Published:
    """Publish the data that dvc.lock names: every object verified at the remote, the marker there written last.

    Args:
        workspace: Whose data.
        counted: Told what is being done, and how many of how many objects are done.

    Raises:
        VersioningError: DVC failed, or objects at the remote stay wrong because no unchanged copy of them is left here.
    """
    cache = objects.FolderStore(root=cache_folder(workspace.home))
    return publish(
        read_lock((workspace.path / "dvc.lock").read_bytes()),
        local=in_workspace(workspace.path, cache),
        store=objects.open_store(workspace.remote, remote_options(workspace.path)),
        receipts=Receipts(home=workspace.home),
        copy=lambda: dvc.push(workspace.path),
        counted=counted,
    )


def commit_run(workspace: Workspace, run_id: str, message: str) -> str:
    """Name what the run uses by a commit: the code, params.yaml, dvc.lock and the pins.

    The commit's parent is the workspace's commit, and its date is that one's, so that the same content under the same
    message is the same commit; it stands in the checkout's repository at ``refs/cxr/runs/<run_id>``.

    Raises:
        VersioningError: ``dvc status`` is not clean; code differs from the workspace's commit; the run id is taken by
            another content.
    """
    ref = RUN_REFS + run_id
    if not _NAME.fullmatch(run_id) or try_git(workspace.checkout, "check-ref-format", ref) is None:
        raise VersioningError(f"{run_id!r} cannot be a run's id.", reason="bad_run_id", hint="Letters, digits, . _ -")
    foreign = [path for path in tracked_changes(workspace.path, workspace.commit) if path not in _RUN_FILES]
    if foreign:
        raise VersioningError(
            f"Code changed in {workspace.path} since the run began: {', '.join(foreign[:5])}.",
            reason="code_changed",
            hint="Change code in your checkout, then run `cxr retrain` again.",
        )
    changed = dvc.status(workspace.path)
    if changed:
        raise VersioningError(
            f"Data and dvc.lock disagree in {workspace.path}, at {', '.join(sorted(changed))}.",
            reason="data_not_clean",
            hint=f"cd {workspace.path} && dvc repro",
        )
    files = {name: (workspace.path / name).read_bytes() for name in _RUN_FILES if (workspace.path / name).is_file()}
    date = commit_date(workspace.checkout, workspace.commit)
    commit = commit_files(workspace.checkout, parent=workspace.commit, files=files, message=message, date=date)
    return _name_run(workspace.checkout, ref, commit)


def _name_run(checkout: Path, ref: str, commit: str) -> str:
    if move_ref(checkout, ref, new=commit, old=None):
        return commit
    standing = resolve(checkout, ref)
    if standing and _content(checkout, standing) == _content(checkout, commit):
        return standing
    raise VersioningError(
        f"{ref} already names {standing}, which has other content.",
        reason="run_taken",
        hint=f"git -C {checkout} show {ref}",
    )


def _content(root: Path, commit: str) -> bytes:
    return run_git(root, "rev-parse", f"{commit}^{{tree}}", f"{commit}^@")


def _take(stack: ExitStack, home: Path, name: str | None, path: Path | None) -> Path:
    for folder in _candidates(home, name, path):
        _claim(folder)
        lock = FileLock(str(folder / ".git" / _LOCK), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            if name is None and path is None:
                continue
            raise VersioningError(
                f"The workspace {folder} is in use by another run.",
                reason="workspace_busy",
                hint="Wait for that run, or name another folder with --workspace.",
            ) from error
        stack.callback(lock.release)
        return folder
    raise AssertionError("candidates never end without a name")


def _candidates(home: Path, name: str | None, path: Path | None) -> Iterator[Path]:
    if path is not None:
        yield path.absolute()
    elif name is None:
        yield from (home / "workspaces" / f"retrain-{number}" for number in count(1))
    elif _NAME.fullmatch(name):
        yield home / "workspaces" / name
    else:
        raise SettingError(
            f"{name!r} cannot name a workspace.", reason="bad_workspace_name", hint="Letters, digits, . _ -"
        )


def _claim(folder: Path) -> None:
    """Mark a folder as ours before anything in it is reset; one that holds something else is refused."""
    mark = folder / ".git" / _MARK
    if mark.is_file():
        return
    if folder.exists() and (not folder.is_dir() or any(entry.name != ".git" for entry in folder.iterdir())):
        raise SettingError(
            f"{folder} holds something else; a workspace is reset at every run, which would destroy it.",
            reason="not_a_workspace",
            hint="Name a new or empty folder with --workspace.",
        )
    if (folder / ".git").exists() and any((folder / ".git").iterdir()):
        raise SettingError(
            f"{folder} is a git repository that is no workspace.",
            reason="not_a_workspace",
            hint="Name a new or empty folder with --workspace.",
        )
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text("A workspace of cxr: tracked files are reset at every run.\n", encoding="utf-8")


def _restore(folder: Path, checkout: Path, commit: str) -> None:
    for stale in ("index.lock", "shallow.lock", "HEAD.lock", "config.lock", f"{_BASE}.lock"):
        # We hold the workspace, so whoever left a lock file is dead.
        (folder / ".git" / stale).unlink(missing_ok=True)
    # Git moves the ref when everything has arrived; a fetch that was killed may leave the commit without its files.
    if not (folder / ".git" / "HEAD").exists() or resolve(folder, _BASE) != commit:
        form = run_git(checkout, "rev-parse", "--show-object-format").decode().strip()
        run_git(folder.parent, "init", "--quiet", "--template=", f"--object-format={form}", str(folder))
        # One commit deep: the workspace needs no history, and a shallow checkout can serve no more.
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", "--upload-pack", _SERVE_ANY_COMMIT)
        quietly = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
        run_git(folder, *quietly, *fetch, str(checkout), f"+{commit}:{_BASE}")
    quietly = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
    run_git(folder, *quietly, "checkout", "--quiet", "--force", "--detach", commit)
    # Not -x: ignored files are the data. dvc.lock is not ignored (DVC refuses to run then) and says what they are.
    run_git(folder, "clean", "--quiet", "-ffd", "--exclude=/dvc.lock")
