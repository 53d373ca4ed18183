import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "train_speed.py"
TINY = [
    "--size",
    "32",
    "--images",
    "4",
    "--batch",
    "4",
    "--rounds",
    "2",
    "--threads",
    "1",
    "--architecture",
    "resnet18",
]


def test_every_variant_is_timed_in_one_run_and_a_ratio_not_reached_is_exit_code_1() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, "--json", *TINY, "--at-least", "1000"], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    speeds = report["images_per_second"]
    assert set(speeds) == {"plain_fp32", "plain_fp32_channels_last", "plain_bf16_channels_last", "ours"}
    assert all(speed["median"] > 0 for speed in speeds.values())
    assert len(speeds["ours"]["rounds"]) == 2
    plain = {f"ours_to_{name}" for name in speeds if name != "ours"}
    assert set(report["ratios"]) == plain | {"ours_to_fastest_plain"}
    assert report["ratios"]["ours_to_fastest_plain"] == min(report["ratios"][name] for name in plain)
