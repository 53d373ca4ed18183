"""Refs that other machines need: runs and the ledger, pushed to a git remote and fetched from one.

Git alone moves ``refs/heads`` on a push or a clone; ours stand under ``refs/cxr`` and travel only when named. A run's
commit says in its message which manifest its data was published with, so that whoever can write to the data remote
cannot also rewrite what it is checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxr_core.errors import VersioningError
from tasks.adapters.git import run_git, try_git

__all__ = ["FETCH_REFS", "git_remotes", "manifest_of_commit", "run_message", "share_refs"]

FETCH_REFS = "git fetch origin 'refs/cxr/*:refs/cxr/*'"
"""What brings runs and ledger into a fresh clone."""

_TRAILER = "Cxr-Manifest"
_PUSH_SECONDS = 600.0


def run_message(manifest: str) -> str:
    """The message of a run's commit.

    Args:
        manifest: ``sha256:…``, the digest of its data's manifest.
    """
    return f"Data, parameters and code of a retrain\n\n{_TRAILER}: {manifest}"


def manifest_of_commit(root: Path, commit: str) -> str | None:
    """The digest of the manifest that a run's commit names; None for a commit that names none."""
    found = try_git(root, "show", "--no-patch", f"--format=%(trailers:key={_TRAILER},valueonly)", commit)
    return found.decode(errors="replace").strip() or None if found else None


def git_remotes(root: Path) -> list[str]:
    """The names of a repository's git remotes."""
    return run_git(root, "remote").decode().split()


def share_refs(root: Path, remote: str, refs: Sequence[str]) -> None:
    """Push refs to a git remote under their own names; one that would have to be forced is refused.

    Args:
        root: The checkout.
        remote: A git remote's name or address.
        refs: Full names, e.g. ``refs/cxr/runs/20261123-041200-9f3a``.

    Raises:
        VersioningError: The remote cannot be reached, or has another history under one of the names.
    """
    try:
        run_git(root, "push", "--quiet", "--", remote, *(f"{ref}:{ref}" for ref in refs), seconds=_PUSH_SECONDS)
    except VersioningError as error:
        raise VersioningError(
            f"{', '.join(refs)} cannot be pushed to the git remote {remote}. {error.message}",
            reason="refs_not_shared",
            hint=f"git -C {root} push {remote} 'refs/cxr/*:refs/cxr/*'; or unset CXR_GIT_REMOTE.",
        ) from error
