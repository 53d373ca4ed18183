"""The benchmark of planted marks: found where they are, silent where they are not, exit 1 where one is missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BENCHMARK = Path(__file__).parents[2] / "benchmarks/planted_shortcut.py"
# Networks that hardly learn: what is asked of the controls may not hang on them.
TINY = ("--images", "42", "--epochs", "2", "--size", "32")


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-W", "error", str(BENCHMARK), "--json", *TINY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=390, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_mark_is_called_a_shortcut_and_clean_films_never_are() -> None:
    code, report = run("--seeds", "2")
    assert (code, report["ok"]) == (0, True)
    assert (report["flagged"], report["false_alarms"]) == (2, 0)
    assert [(row["seed"], row["marked"]) for row in report["rows"]] == [(0, False), (0, True), (1, False), (1, True)]
    for row in report["rows"]:
        assert (row["class"] in [slug for found in row["shortcuts"].values() for slug in found]) is row["marked"]
        assert set(row["verdicts"]) == {"rim", "blanked", "thumbnails"}
        assert "thumbnails" not in row["shortcuts"]
        assert all(0 <= area <= 1 for area in row["auc"].values())


def test_a_mark_that_no_film_carries_is_not_found_and_the_benchmark_fails() -> None:
    code, report = run("--seeds", "1", "--share", "0")
    assert (code, report["ok"], report["flagged"]) == (1, False, 0)
