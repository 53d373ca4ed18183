"""The benchmark of training speed times every loop in one run, and says where a mark is missed."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks/train_speed.py"
TINY = (
    *("--size", "32", "--pixels", "48", "--images", "8", "--batch", "4", "--rounds", "2"),
    *("--threads", "1", "--workers", "0", "--product", "64", "--architecture", "resnet18"),
)


def test_every_loop_is_timed_in_one_run_and_a_ratio_not_reached_is_exit_code_1() -> None:
    command = [sys.executable, "-W", "error", str(BENCHMARK), "--json", *TINY, "--at-least", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    rivals = {"pil_dataloader", *(name for name in ("fastai", "lightning") if find_spec(name))}
    plain = {"plain_fp32", "plain_fp32_channels_last", "plain_bf16_channels_last"}
    speeds = report["images_per_second"]
    assert set(speeds) == rivals | plain | {"ours"}
    assert all(speed["median"] > 0 and len(speed["rounds"]) == 2 for speed in speeds.values())
    ratios = report["ratios"]
    assert ratios.pop("ours_to_fastest_rival") == min(ratios[f"ours_to_{name}"] for name in rivals)
    assert set(ratios) == {f"ours_to_{name}" for name in rivals | plain}
    limit = report["limit"]
    assert set(limit["gflop_per_second"]) == {"bf16", "fp32"}
    # ResNet-18 has 1.82 billion multiplications at 224 pixels (its paper's table 1), three times that with gradients.
    assert 0.9 < limit["gflop_an_image"] / (2 * 3 * 1.82 * (32 / 224) ** 2) < 1.05
    assert 0 < limit["share"] < 1
    assert 0 < report["outside_passes"] < 1
