"""The stage verbs as programs: what they print, and with which code they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_core.cli import main


def test_a_rule_is_told_in_a_line_and_as_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    main(["samplesize"])
    assert capsys.readouterr().out.startswith("n 722, confidence 0.99")
    main(["samplesize", "--p", "0.5", "--json"])
    assert json.loads(capsys.readouterr().out)["n"] == 16588


def test_phantoms_are_written_where_they_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["phantom", str(tmp_path / "sources"), "--covid", "3", "--viral", "3", "--normal", "3", "--json"])
    census = json.loads(capsys.readouterr().out)
    found = {path.name for path in (tmp_path / "sources").iterdir() if path.is_dir()}
    assert found == set(census["files"]) == {"sirm", "github", "rsna", "kaggle"}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["curate"], "no_params"),
        (["prepare"], "no_params"),
        (["split"], "no_params"),
        (["ingest", "x"], "unknown_source"),
    ],
)
def test_a_refusal_is_one_object_with_its_reason_and_exit_code_1(
    words: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--workspace", str(tmp_path), "--json"])
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == reason


@pytest.mark.parametrize("words", [[], ["nothing"], ["phantom", "here", "--covid", "2"], ["split", "--what"]])
def test_words_that_no_verb_knows_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: python -m cxr_core" in capsys.readouterr().err


def test_a_refusal_in_words_has_no_traceback_and_names_the_next_step(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "cxr_core", "split", "-w", tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: Expected params.yaml")
    assert "next: Run in a checkout" in done.stderr
