"""Git, spoken to as a program: arguments in, object ids and bytes out.

Laws: nothing here moves a checkout's HEAD, index or files; commits are made by plumbing from a temporary index; a ref
changes only by compare-and-swap. Linked worktrees and shallow clones serve as checkouts. Every failure is a
``VersioningError`` (git refused) or ``SettingError`` (this folder or machine cannot serve) that names the next step.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cxr_core.errors import SettingError, VersioningError

__all__ = [
    "clean_environment",
    "commit_date",
    "commit_files",
    "commit_tree",
    "find_checkout",
    "move_ref",
    "read_committed",
    "resolve",
    "run_git",
    "snapshot",
    "tracked_changes",
    "try_git",
]

_SECONDS = 120.0
# What `git rev-parse --local-env-vars` lists: set inside a git hook, they would point git at another repository.
_LOCAL_VARIABLE = re.compile(
    "GIT_(ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|DIR|GRAFT_FILE|IMPLICIT_WORK_TREE|INDEX_FILE|INTERNAL_SUPER_PREFIX"
    "|OBJECT_DIRECTORY|PREFIX|REPLACE_REF_BASE|SHALLOW_FILE|WORK_TREE)"
)
_START = "git init && git add --all && git commit --message start"


def clean_environment() -> dict[str, str]:
    """This process's environment without what would point git at another repository or change its language."""
    environment = {name: value for name, value in os.environ.items() if not _LOCAL_VARIABLE.fullmatch(name)}
    # Optional locks: `git status` would rewrite the user's index. Replace refs: they could show an auditor other bytes.
    return environment | {
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def run_git(
    root: Path,
    *arguments: str,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    seconds: float = _SECONDS,
) -> bytes:
    """Run git in a folder and return its standard output.

    Raises:
        VersioningError: Git failed or took longer than ``seconds``.
        SettingError: Git is not installed, or refuses the folder because another user owns it.
    """
    done = _call(root, arguments, stdin, environment or {}, seconds)
    if done.returncode == 0:
        return done.stdout
    words = done.stderr.decode(errors="replace").strip()
    if "dubious ownership" in words:
        raise SettingError(
            f"{root} belongs to another user, so git does not read it.",
            reason="foreign_checkout",
            hint=f"git config --global --add safe.directory {root}",
        )
    raise VersioningError(
        f"git {_verb(arguments)} failed in {root} (exit {done.returncode}): {words or 'no message'}.",
        reason="git_failed",
        hint=f"Look at it with: git -C {root} status",
    )


def try_git(root: Path, *arguments: str, stdin: bytes = b"") -> bytes | None:
    """As ``run_git``, but an exit code other than 0 is the answer None."""
    done = _call(root, arguments, stdin, {}, _SECONDS)
    return done.stdout if done.returncode == 0 else None


def find_checkout(folder: Path) -> Path:
    """The folder, proven to be the top of a git working tree that has a commit.

    Raises:
        SettingError: It is no such folder; the hint says how to make it one.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise SettingError(f"{folder} is not a folder.", reason="no_folder", hint=f"ls {folder.parent}")
    top = try_git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(os.fsdecode(top.rstrip(b"\n"))).resolve() != folder:
        # run_git tells a repository that git refuses from no repository at all.
        if top is None and (folder / ".git").exists():
            run_git(folder, "rev-parse", "--show-toplevel")
        raise SettingError(
            f"{folder} is not the top of a git checkout, so the code of a run would have no version.",
            reason="no_git",
            hint=f"cd {folder} && {_START}",
        )
    if resolve(folder, "HEAD") is None:
        raise SettingError(f"{folder} has no commit yet.", reason="no_commit", hint=f"cd {folder} && {_START}")
    return folder


def resolve(root: Path, revision: str) -> str | None:
    """The commit a revision names, or None."""
    found = try_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    return found.decode().strip() if found else None


def snapshot(checkout: Path) -> str:
    """Name the exact working tree by a commit: tracked files as they are now, and untracked ones not ignored.

    A clean tree is HEAD. Otherwise the commit's parent is HEAD and its dates are HEAD's, so that the same tree gives
    the same commit. Repositories nested in the checkout and not tracked by it are left out.

    Raises:
        SettingError: The folder cannot serve as a checkout.
        VersioningError: A file cannot be read, or changes while it is.
    """
    checkout = find_checkout(checkout)
    head = _line(run_git(checkout, "rev-parse", "HEAD"))
    own = Path(os.fsdecode(run_git(checkout, "rev-parse", "--git-path", "index").rstrip(b"\n")))
    with _temporary_index() as environment:
        if (checkout / own).exists():
            # The user's index, copied: what is staged stays known, and unchanged files need no second hash.
            shutil.copyfile(checkout / own, environment["GIT_INDEX_FILE"])
        run_git(checkout, "-c", "core.fsmonitor=false", "add", "--update", "--", ".", environment=environment)
        others = run_git(checkout, "ls-files", "--others", "--exclude-standard", "-z", environment=environment)
        files = [name for name in others.split(b"\0") if name and not name.endswith(b"/")]
        run_git(checkout, "update-index", "--add", "-z", "--stdin", stdin=b"\0".join(files), environment=environment)
        tree = _line(run_git(checkout, "write-tree", environment=environment))
    if tree == _line(run_git(checkout, "rev-parse", "HEAD^{tree}")):
        return head
    seconds = _line(run_git(checkout, "show", "--no-patch", "--format=%ct", "HEAD"))
    return commit_tree(
        checkout, tree, parents=[head], message="cxr: the working tree as it was", date=f"{seconds} +0000"
    )


def commit_files(
    root: Path,
    *,
    parent: str | None,
    files: Mapping[str, bytes],
    message: str,
    date: str | None = None,
    signing_key: Path | None = None,
) -> str:
    """Commit a parent's tree with some files added or replaced; returns the commit's id. No ref moves.

    Args:
        root: The repository.
        parent: The commit built on, or None for a first commit holding ``files`` alone.
        files: Bytes by relative POSIX path.
        message: The commit message.
        date: Of author and committer, as git reads it; None is now.
        signing_key: An SSH private key that signs the commit.
    """
    with _temporary_index() as environment:
        if parent is not None:
            run_git(root, "read-tree", parent, environment=environment)
        rows: list[bytes] = []
        for path, data in files.items():
            blob = _line(run_git(root, "hash-object", "-w", "--stdin", stdin=data))
            rows.append(f"100644 {blob}\t{path}\0".encode())
        run_git(root, "update-index", "--add", "-z", "--index-info", stdin=b"".join(rows), environment=environment)
        tree = _line(run_git(root, "write-tree", environment=environment))
    parents = [parent] if parent else []
    return commit_tree(root, tree, parents=parents, message=message, date=date, signing_key=signing_key)


def commit_date(root: Path, commit: str) -> str:
    """When a commit was made, as ``commit_files`` takes it; a commit that repeats it is named by its content alone."""
    return _line(run_git(root, "show", "--no-patch", "--format=%ct +0000", commit))


def commit_tree(
    root: Path,
    tree: str,
    *,
    parents: Sequence[str],
    message: str,
    date: str | None = None,
    signing_key: Path | None = None,
) -> str:
    """Make a commit object of a tree; the author is git's configured identity, or ``cxr`` where none is.

    Raises:
        VersioningError: Git refused, e.g. the signing key cannot be used.
    """
    environment = _identity(root)
    if date is not None:
        environment |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    options = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={signing_key}"] if signing_key else []
    signed = ["--gpg-sign"] if signing_key else ["--no-gpg-sign"]
    lineage = [word for parent in parents for word in ("-p", parent)]
    made = run_git(
        root, *options, "commit-tree", *signed, *lineage, tree, stdin=message.encode() + b"\n", environment=environment
    )
    return _line(made)


def move_ref(root: Path, ref: str, *, new: str, old: str | None) -> bool:
    """Move a ref from ``old`` (None: it must not exist) to ``new`` in one step; False where it is not at ``old``.

    Raises:
        VersioningError: The ref stands at ``old``, yet cannot be moved.
    """
    arguments = ("update-ref", "--create-reflog", "-m", "cxr", ref, new, old or "0" * len(new))
    done = _call(root, arguments, b"", _identity(root), _SECONDS)
    if done.returncode == 0:
        return True
    words = done.stderr.decode(errors="replace").strip()
    # A lock file in the way is another writer at work: to the caller the same as a ref that moved.
    if resolve(root, ref) != old or ".lock" in words:
        return False
    raise VersioningError(
        f"{ref} cannot be moved in {root}: {words}.", reason="ref_refused", hint=f"git -C {root} show-ref"
    )


def read_committed(root: Path, commit: str, path: str) -> bytes | None:
    """A file's bytes at a commit, or None where the commit has no such file."""
    return try_git(root, "cat-file", "blob", f"{commit}:{path}")


def tracked_changes(root: Path, commit: str) -> list[str]:
    """Paths whose working file differs from a commit, and untracked files that are not ignored; sorted."""
    differing = run_git(root, "diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", commit, "--")
    others = run_git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return sorted({os.fsdecode(name) for name in (differing + others).split(b"\0") if name})


def _call(
    root: Path, arguments: Sequence[str], stdin: bytes, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            input=stdin,
            capture_output=True,
            env={**clean_environment(), **environment},
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise SettingError(
            "git is not installed, or not on PATH.", reason="no_git_program", hint="Install git: https://git-scm.com"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise VersioningError(
            f"git {_verb(arguments)} in {root} did not end within {seconds:.0f} seconds.",
            reason="git_timeout",
            hint=f"Look at it with: git -C {root} status",
        ) from error


@contextmanager
def _temporary_index() -> Generator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="cxr-index-") as folder:
        yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}


def _identity(root: Path) -> dict[str, str]:
    """Names for author and committer where neither git's configuration nor the environment has them."""
    fallback: dict[str, str] = {}
    for key, variable, value in (("user.name", "NAME", "cxr"), ("user.email", "EMAIL", "cxr@localhost")):
        if not try_git(root, "config", "--get", key):
            fallback |= {
                name: os.environ.get(name) or value for name in (f"GIT_AUTHOR_{variable}", f"GIT_COMMITTER_{variable}")
            }
    return fallback


def _verb(arguments: Sequence[str]) -> str:
    words = iter(arguments)
    for word in words:
        if word == "-c":
            next(words, None)
        else:
            return word
    return ""


def _line(output: bytes) -> str:
    return output.decode().strip()
