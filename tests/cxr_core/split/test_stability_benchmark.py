import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "split_stability.py"
TINY = ["--images", "120", "--folds", "3", "--cohorts", "2", "--additions", "3"]


def run(*arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(SCRIPT), *TINY, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_ways_of_dealing_are_compared_on_the_same_cohorts_in_one_run() -> None:
    report = json.loads(run("--json"))
    for what in ("changed", "deviation"):
        assert set(report[what]) == {"ours", "arcs", "scikit_learn"}
        assert all(0 <= one["mean"] <= one["max"] <= 1 for one in report[what].values())
    assert report["ratios"]["changed_scikit_learn_to_ours"] > 1
    assert report["settings"] == {"images": 120, "folds": 3, "cohorts": 2, "additions": 3}


def test_without_json_a_table_of_three_ways_is_printed() -> None:
    assert [line.split()[0] for line in run().splitlines()[-3:]] == ["ours", "arcs", "scikit_learn"]
