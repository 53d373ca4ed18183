"""DVC as a program: what it says is understood, and nothing of it outlives the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cxr_core.errors import VersioningError
from tasks.adapters import dvc
from tests.tasks.adapters.tiny import ROOT


@pytest.mark.parametrize(
    ("line", "announced"),
    [
        ("Running stage 'ingest@sirm':", ("ingest@sirm", "ran")),
        ("Stage 'curate' is cached - skipping run, checking out outputs", ("curate", "restored")),
        ("Stage 'split' didn't change, skipping", ("split", "unchanged")),
        ("Updating lock file 'dvc.lock'", None),
        ("> python make.py curate", None),
    ],
)
def test_stage_names_are_read_from_the_lines(line: str, announced: tuple[str, str] | None) -> None:
    assert dvc.announced_stage(line) == announced


def _sleeping(tmp_path: Path) -> dict[str, str]:
    return {"TINY_SLEEP": "curate", "TINY_PID": str(tmp_path / "pid")}


def _stage_process(tmp_path: Path) -> psutil.Process:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (tmp_path / "pid").is_file() and (text := (tmp_path / "pid").read_text()):
            return psutil.Process(int(text))
        time.sleep(0.02)
    raise AssertionError("the stage never began")


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def _is_gone(process: psutil.Process) -> bool:
    # A process whose parent died is a zombie until init collects it.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_failing_stage_is_named_with_its_own_last_words_and_next_step(checkout: Path) -> None:
    lines: list[str] = []
    with pytest.raises(VersioningError) as caught:
        dvc.repro(checkout, ["curate"], environment={"TINY_FAIL": "curate"}, on_line=lines.append)
    assert caught.value.message == "Stage curate failed: the disk is full"
    assert caught.value.hint == "make room"
    assert caught.value.reason == "stage_failed"
    # Stages run this very interpreter, whatever PATH says.
    assert f"ingest sirm {sys.executable}" in lines
    # What was done before the failure is kept, and the same command goes on from there.
    outcomes = dvc.repro(checkout, ["curate"], environment={}, on_line=lines.append)
    assert outcomes == {"ingest@sirm": "unchanged", "ingest@github": "unchanged", "curate": "ran"}


def test_a_dvc_that_refuses_is_told_in_its_words(checkout: Path) -> None:
    with pytest.raises(VersioningError, match=r"dvc repro failed.*nowhere") as caught:
        dvc.repro(checkout, ["nowhere"], environment={}, on_line=lambda _: None)
    assert caught.value.reason == "dvc_repro_failed"


def test_a_stage_that_takes_too_long_is_stopped(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(VersioningError) as caught:
        dvc.repro(checkout, environment=_sleeping(tmp_path), on_line=lambda _: None, seconds=2)
    assert caught.value.reason == "dvc_timeout"
    assert [process for process in psutil.process_iter() if _works_in(process, checkout)] == []


def test_an_interrupt_leaves_no_process_behind(checkout: Path, tmp_path: Path) -> None:
    # Kept: once it is gone it cannot be found by its number.
    stages: list[psutil.Process] = []

    def interrupt(line: str) -> None:
        if line == "Running stage 'curate':":
            stages.append(_stage_process(tmp_path))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvc.repro(checkout, environment=_sleeping(tmp_path), on_line=interrupt)
    assert _is_gone(stages[0])


@pytest.mark.parametrize("victim", ["caller", "dvc"])
def test_a_kill_of_the_caller_or_of_dvc_takes_the_stage_with_it(victim: str, checkout: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tasks.adapters import dvc\n"
        "dvc.repro(pathlib.Path(sys.argv[1]), environment={}, on_line=lambda _: None)"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code, str(checkout)],
        cwd=ROOT,
        env=os.environ | _sleeping(tmp_path),
        stderr=subprocess.DEVNULL,
    )
    stage = _stage_process(tmp_path)
    dvc_process = next(parent for parent in stage.parents() if "dvc" in parent.cmdline())
    os.kill(caller.pid if victim == "caller" else dvc_process.pid, signal.SIGKILL)
    assert _is_gone(stage)
    assert caller.wait(timeout=20) != 0
