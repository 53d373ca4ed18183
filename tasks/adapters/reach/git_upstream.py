"""A git server asked through git: its answer, or its refusal as one of our words. No password is ever asked for."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import NoReturn

from cxr_core.errors import SettingError, SourceError, VersioningError
from cxr_core.ingest.address import GitAddress
from tasks.adapters.git import run_git, try_git
from tasks.adapters.reach.faults import ReachFault
from tasks.adapters.reach.terms import Terms

__all__ = ["FETCH_SECONDS", "ask_upstream", "gives_only_what_it_names", "is_commit", "may_pass", "newest_git"]

FETCH_SECONDS = 24 * 3600.0
"""Within which git must end; a line that stands still ends it much sooner."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_BY_NAME_ONLY = re.compile(r"unadvertised object|want [0-9a-f]{40} not valid", re.IGNORECASE)
# What git, curl and ssh say (in English: LC_ALL=C), first match first.
_SAID: tuple[tuple[ReachFault, str, str], ...] = (
    (ReachFault.DISK_FULL, r"No space left on device", "Make room, or set CXR_HOME to a larger disk."),
    (
        ReachFault.CERTIFICATE,
        r"certificate|SSL_ERROR|TLS",
        "Behind a proxy with a certificate of its own: git config --global http.sslCAInfo FILE",
    ),
    (
        ReachFault.STALLED,
        r"Operation too slow|timed out after|Timeout, server",
        "Run it again when the line is better; what came is kept.",
    ),
    (
        ReachFault.UNREACHABLE,
        r"Could not resolve|Failed to connect|Couldn't connect|[Cc]onnection (?:refused|timed out)|No route to host"
        r"|Network is unreachable",
        "Check the host's name, the network and, where there is one, HTTPS_PROXY.",
    ),
    (ReachFault.BAD_REDIRECT, r"Protocol .* not supported|transport .* not allowed", "Check the address in a browser."),
    (
        ReachFault.DENIED,
        r"could not read Username|could not read Password|Authentication failed|Permission denied|error: 40[13]"
        r"|Host key verification failed|terminal prompts disabled|HTTP code 407",
        "Give git a key that needs no typing: ~/.netrc, a credential helper, or an SSH key without a passphrase.",
    ),
    (
        ReachFault.VERSION_GONE,
        r"unadvertised object|not our ref|want [0-9a-f]{40} not valid|couldn't find remote ref",
        "See what is there and move the pin: cxr sources update",
    ),
    (
        ReachFault.INCOMPLETE,
        r"early EOF|unexpected disconnect|hung up|RPC failed|index-pack failed|Connection reset|fetch-pack:",
        "Run it again; what came is kept.",
    ),
    (
        ReachFault.NOT_FOUND,
        r"not found|does not appear to be a git repository|does not exist|error: 404|No such file",
        "Check the address, and that you may read it: some servers hide what you may not.",
    ),
)
_PASSING = frozenset({ReachFault.UNREACHABLE, ReachFault.STALLED, ReachFault.INCOMPLETE})


def newest_git(address: GitAddress, *, terms: Terms) -> str:
    """The commit that the address names now: ``git:<40 hex>``.

    Raises:
        SourceError: The repository is not reached, or has no such branch or tag.
        SettingError: Git is not installed.
    """
    ref = address.ref or "HEAD"
    if is_commit(ref):
        return f"git:{ref}"
    # A folder of its own: in a checkout, that repository's configuration would have a say.
    with tempfile.TemporaryDirectory(prefix="cxr-ls-remote-") as nowhere:
        said = ask_upstream(
            Path(nowhere), address, terms, "ls-remote", "--quiet", "--", address.url, ref, f"{ref}^{{}}"
        )
    lines = [line.partition("\t") for line in said.decode(errors="replace").splitlines()]
    commits = {name: commit for commit, _, name in lines}
    # Git's own order (gitrevisions(7)); of an annotated tag the commit, not the tag's object.
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if commit := commits.get(f"{name}^{{}}") or commits.get(name):
            return f"git:{commit}"
    short = " A commit is named by all of its 40 digits." if re.fullmatch("[0-9a-f]{4,39}", ref) else ""
    raise SourceError(
        f"{address.url} has no branch or tag {ref!r}.{short}",
        reason=ReachFault.UNKNOWN_REF.value,
        hint=f"See what there is: git ls-remote {address.url}",
    )


def is_commit(text: str) -> bool:
    """Whether a text is a commit's whole id."""
    return _COMMIT.fullmatch(text) is not None


def ask_upstream(folder: Path, address: GitAddress, terms: Terms, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git against the server; returns what it printed.

    Args:
        folder: Where git runs.
        address: The server, for messages.
        terms: Limits.
        *arguments: Git's.
        stdin: What git reads.

    Raises:
        SourceError: The server refuses, or is not reached.
        SettingError: Git is not installed.
    """
    options = {
        # A line that brings less than a byte a second for so long stands still.
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(max(1, round(terms.stall_seconds))),
        # No redirect leads to a place that is not encrypted; no hook of the user's runs.
        "protocol.http.allow": "never",
        "core.hooksPath": os.devnull,
        # What we want is known by its id: nothing to negotiate about.
        "fetch.negotiationAlgorithm": "noop",
    }
    words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    environment = _ssh(folder, terms) if address.url.startswith("ssh:") else {}
    try:
        return run_git(folder, *words, *arguments, stdin=stdin, environment=environment, seconds=FETCH_SECONDS)
    except SettingError as error:
        if error.reason == "foreign_checkout" and address.url.startswith("file:"):
            raise SourceError(
                f"{address.url} belongs to another user, so git does not read it.",
                reason=ReachFault.DENIED.value,
                hint=f"git config --global --add safe.directory {address.url.removeprefix('file://')}",
            ) from error
        raise
    except VersioningError as error:
        _refuse(error, address)


def may_pass(error: SourceError) -> bool:
    """Whether another try may help."""
    return error.reason in _PASSING


def gives_only_what_it_names(error: SourceError) -> bool:
    """Whether the server refused an object only because no branch or tag names it (protocols before version 2)."""
    return _BY_NAME_ONLY.search(str(error.__cause__)) is not None


def _refuse(error: VersioningError, address: GitAddress) -> NoReturn:
    other = (ReachFault.REFUSED, f"Try it by hand: git ls-remote {address.url}")
    fault, hint = next(((fault, hint) for fault, said, hint in _SAID if re.search(said, error.message)), other)
    # Git's last line says why; those before it say what was done.
    said = [line.strip() for line in error.message.splitlines() if re.match(r"\s*(fatal|error|remote|ssh):", line)]
    raise SourceError(
        f"{address}: {said[-1].rstrip('.') if said else error.message.rstrip('.')}.", reason=fault.value, hint=hint
    ) from error


def _ssh(folder: Path, terms: Terms) -> dict[str, str]:
    """How ssh is run, unless the user has said how: it asks nothing and notices a dead line."""
    if any(os.environ.get(name) for name in ("GIT_SSH", "GIT_SSH_COMMAND")):
        return {}
    if try_git(folder, "config", "--get", "core.sshCommand"):
        return {}
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": max(1, round(terms.connect_seconds)),
        "ServerAliveInterval": max(1, round(terms.stall_seconds / 3)),
        "ServerAliveCountMax": 3,
    }
    return {"GIT_SSH_COMMAND": " ".join(["ssh", *(f"-o {name}={value}" for name, value in options.items())])}
