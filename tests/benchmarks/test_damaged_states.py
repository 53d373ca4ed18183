"""The benchmark of damaged states runs, small, and finds what it must find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "damaged_states.py"


def test_no_damaged_or_foreign_state_is_loaded_and_what_is_gone_on_with_ends_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, "--json", "--damages", "12"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["tried"] == report["refused"] == 12
    assert report["fell_back"] + report["started_anew"] == 12
    assert report["gone_on_with"] == 2
    assert len(report["damages"]) > 6
