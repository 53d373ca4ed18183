"""The benchmark of curation runs, finds what it planted, and fails where a limit is not met."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/curation.py"


def run(folder, *arguments):
    command = [sys.executable, str(BENCHMARK), "--folder", str(folder), "--rounds", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("hashes", ["clumpy", "uniform"])
def test_one_object_with_seconds_memory_ratios_and_no_lost_copy(tmp_path, hashes):
    done = run(tmp_path, "--json", "--sizes", "400", "1200", "--hashes", hashes)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    for row in report["sizes"].values():
        assert row["planted_copies"] > 0
        assert row["lost_copies"] == 0
        assert row["seconds"]["median"] > 0
        assert row["peak_mib"] > 0
    assert set(report["ratios"]) == {"400_to_1200", "largest_to_smallest", "against_linear"}
    assert not list(tmp_path.iterdir())


def test_words_for_a_person_and_a_limit_that_is_not_met(tmp_path):
    done = run(tmp_path, "--sizes", "300", "600", "--most-seconds", "0")
    assert done.returncode == 1
    assert "NOT within the limits" in done.stdout
    assert "copies found" in done.stdout
