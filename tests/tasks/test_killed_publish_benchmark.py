"""The benchmark of killed publishes runs, small, and finds what it must find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "killed_publish.py"
ROUNDS = 1


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_no_killed_publish_claims_falsely_and_every_pull_is_complete(kind: str) -> None:
    command = [sys.executable, SCRIPT, "--json", "--rounds", str(ROUNDS), "--files", "30", "--remote", kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    found = report["remotes"][kind]
    assert found["false_claims"] == 0
    assert found["repaired"] == found["pulls_complete"] == ROUNDS
    assert found["before_marker"] + found["after_marker"] == ROUNDS
    assert found["survivors"] == 0
    assert report["ratios"]["false_claims"] == 0
    assert report["ratios"]["pulls_complete"] == 1
