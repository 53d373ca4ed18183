"""The benchmark of answers times each beside the bare pass, and says where its mark is missed."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks/predict_speed.py"
TINY = ("--size", "32", "--pixels", "48", "--rounds", "4", "--threads", "1", "--architecture", "resnet18")


def test_a_files_answer_is_timed_beside_the_bare_pass_and_a_mark_not_met_is_exit_code_1() -> None:
    command = [sys.executable, "-W", "error", str(BENCHMARK), "--json", *TINY, "--at-most", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    names = {"bare", "folded", "file", "pixels", "decoding", *(["onnxruntime"] if find_spec("onnxruntime") else [])}
    for many in ("one", "sixteen"):
        assert set(report[many]) == names
        assert all(0 < each["p50_ms"] <= each["p90_ms"] for each in report[many].values())
    one = report["one"]
    assert report["file_to_bare"] == round(one["file"]["p50_ms"] / one["bare"]["p50_ms"], 3)
