"""DVC, spoken to as a program: a workspace's folder in, its stages' outcomes out.

Laws: one DVC at a time in a workspace (the workspace's lock sees to that); no process outlives the call, however it
ends; a push forgets what earlier pushes believed; nothing here reads or writes data itself. ``dvc exp`` is not used: it
commits locks that claim old outputs came from new parameters.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast

from cxr_core.errors import VersioningError
from tasks.adapters import guard
from tasks.adapters.git import clean_environment

__all__ = ["StageOutcome", "announced_stage", "checkout", "pull", "push", "repro", "status"]

StageOutcome = Literal["ran", "restored", "unchanged"]

_STATUS_SECONDS = 3600.0
_TRANSFER_SECONDS = 24 * 3600.0
_REPRO_SECONDS = 7 * 24 * 3600.0
_TAIL_LINES = 40
_ANNOUNCEMENTS: tuple[tuple[re.Pattern[str], StageOutcome], ...] = (
    (re.compile(r"^Running stage '(.+)':$"), "ran"),
    (re.compile(r"^Stage '(.+)' is cached - skipping run"), "restored"),
    (re.compile(r"^Stage '(.+)' didn't change, skipping$"), "unchanged"),
)
_DROPPED = ("DVC_ROOT", "DVC_STAGE", "DVC_STUDIO_TOKEN", "PYTHONSAFEPATH")


def announced_stage(line: str) -> tuple[str, StageOutcome] | None:
    """The stage that a line of ``dvc repro`` announces, and what becomes of it; None for any other line."""
    for pattern, outcome in _ANNOUNCEMENTS:
        if match := pattern.match(line):
            return match.group(1), outcome
    return None


def repro(
    root: Path,
    targets: Sequence[str] = (),
    *,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    seconds: float = _REPRO_SECONDS,
) -> dict[str, StageOutcome]:
    """Bring stages up to date: run what changed, restore what the cache holds, leave the rest.

    Args:
        root: The workspace.
        targets: Stage names (``curate``, ``ingest@sirm``); empty means all of dvc.yaml.
        environment: Added to the stages' environment.
        on_line: Called with every line as it is printed; ``announced_stage`` reads the stage names out of them.
        seconds: After so long everything is killed.

    Returns:
        Outcome by stage name, in the order they came.

    Raises:
        VersioningError: A stage failed (its own last words stand in the message), or DVC did, or time ran out.
    """
    outcomes: dict[str, StageOutcome] = {}

    def listen(line: str) -> None:
        if announced := announced_stage(line):
            outcomes[announced[0]] = announced[1]
        on_line(line)

    code, tail = _call(root, ("repro", *targets), environment=environment, on_line=listen, seconds=seconds)
    if code != 0:
        stage = _failed_stage(tail)
        raise _stage_failure(root, stage, tail) if stage else _failure(root, "repro", tail)
    return outcomes


def status(root: Path) -> dict[str, Any]:
    """What ``dvc status`` finds changed, by stage; empty where dvc.lock, parameters, code and data agree."""
    code, tail = _call(root, ("status", "--json"), seconds=_STATUS_SECONDS)
    if code != 0 or not tail or not tail[-1].startswith("{"):
        raise _failure(root, "status", tail)
    return cast(dict[str, Any], json.loads(tail[-1]))


def push(root: Path) -> None:
    """Copy every object that dvc.lock names to the workspace's remote.

    A push that was killed leaves DVC's own index of the remote claiming what is not there, and the next push then does
    nothing; so each push starts from an empty index. Callers still check the remote themselves.
    """
    _transfer(root, "push")


def pull(root: Path) -> None:
    """Fetch every object that dvc.lock names from the workspace's remote and place the files."""
    _transfer(root, "pull")


def checkout(root: Path) -> None:
    """Place the files that dvc.lock names from the cache alone; a file of other bytes is replaced."""
    code, tail = _call(root, ("checkout", "--force"), seconds=_TRANSFER_SECONDS)
    if code != 0:
        raise _failure(root, "checkout", tail)


def _transfer(root: Path, verb: Literal["push", "pull"]) -> None:
    with tempfile.TemporaryDirectory(prefix="cxr-dvc-") as fresh:
        code, tail = _call(root, (verb,), environment={"DVC_SITE_CACHE_DIR": fresh}, seconds=_TRANSFER_SECONDS)
    if code != 0:
        raise _failure(root, verb, tail)


def _call(
    root: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    seconds: float,
) -> tuple[int, list[str]]:
    # The caller owns the workspace, so a lock file that is still there belongs to a DVC that was killed.
    (root / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    process = subprocess.Popen(
        [sys.executable, "-I", guard.__file__, sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=_environment(root) | dict(environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    overdue = threading.Event()
    timer = threading.Timer(seconds, _give_up, (process, overdue))
    timer.daemon = True
    timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line.rstrip())
            if on_line is not None:
                on_line(line.rstrip())
        code = process.wait()
    finally:
        timer.cancel()
        _kill(process)
    if overdue.is_set():
        raise VersioningError(
            f"dvc {arguments[0]} in {root} did not end within {seconds:.0f} seconds and was stopped.",
            reason="dvc_timeout",
            hint="Run the same command again: finished stages are kept.",
        )
    return code, list(tail)


def _environment(root: Path) -> dict[str, str]:
    environment = {name: value for name, value in clean_environment().items() if name not in _DROPPED}
    return environment | {
        # `python` in dvc.yaml is this interpreter, whatever the user's PATH says.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]),
        # DVC runs a stage in the user's own shell otherwise.
        "SHELL": "/bin/sh",
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_STUDIO_OFFLINE": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "tmp" / "site"),
    }


def _give_up(process: subprocess.Popen[str], overdue: threading.Event) -> None:
    overdue.set()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill(process: subprocess.Popen[str]) -> None:
    """End the whole group, unless its leader has already been waited for (its number may be another's by now)."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _failed_stage(tail: Sequence[str]) -> str | None:
    for line in reversed(tail):
        if match := re.search(r"failed to reproduce '([^']+)'", line):
            return match.group(1)
    return None


def _stage_failure(root: Path, stage: str, tail: Sequence[str]) -> VersioningError:
    """A stage of ours ends with ``error: …`` and ``next: …``; of any other, the last line speaks."""
    alone = f"Nothing before it is lost. See it alone with: cd {root} && dvc repro --single-item {stage}"
    said = [line for line in tail if line and not announced_stage(line) and not line.startswith("> ")]
    own = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    after = [line.strip().removeprefix("next: ") for line in said if line.strip().startswith("next: ")]
    rest = [line for line in said if not line.startswith("ERROR: ")] or said
    return VersioningError(
        f"Stage {stage} failed: {(own or rest)[-1]}",
        reason="stage_failed",
        hint=after[-1] if own and after else alone,
    )


def _failure(root: Path, verb: str, tail: Sequence[str]) -> VersioningError:
    errors = [line.removeprefix("ERROR: ") for line in tail if line.startswith("ERROR: ")] or list(tail[-3:])
    if any("No module named dvc" in line for line in tail):
        return VersioningError(
            f"DVC is not installed beside {sys.executable}.", reason="no_dvc", hint="pip install 'dvc[s3]'"
        )
    return VersioningError(
        f"dvc {verb} failed in {root}: {'; '.join(errors) or 'no message'}.",
        reason=f"dvc_{verb}_failed",
        hint=f"Look at it with: cd {root} && dvc {verb} --verbose",
    )
