"""The benchmark of accounting counts by itself, and says which X-ray is nowhere."""

import json
import subprocess
import sys
from pathlib import Path

from cxr_core.imaging.phantom import write_sources

BENCHMARK = Path(__file__).parents[2] / "benchmarks/accounting.py"


def test_every_x_ray_of_the_phantoms_is_found_in_one_place(tmp_path):
    write_sources(tmp_path, seed=5, images={"covid": 5, "viral": 4, "normal": 5}, size=64)
    command = [sys.executable, str(BENCHMARK), str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    for source, row in report["sources"].items():
        images = [path for path in (tmp_path / source).rglob("*.*") if path.suffix not in (".csv", ".txt")]
        assert row["images"] == len(images) == row["kept"] + row["left_out"] + row["quarantine"]
        assert sum(row["reasons"].values()) == row["left_out"] + row["quarantine"]
    assert sum(row["quarantine"] for row in report["sources"].values()) == 1
    assert report["ratios"] == {"accounted": 1.0}
