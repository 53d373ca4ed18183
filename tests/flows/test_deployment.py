"""infra/prefect.yaml registers with a real server, as its first lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.walk import ROOT


def test_the_deployment_file_registers_a_paused_nightly_retrain(prefect_server: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {
        "PREFECT_API_URL": prefect_server,
        "PREFECT_HOME": str(tmp_path),
        "CXR_CHECKOUT": str(ROOT),
        "DO_NOT_TRACK": "1",
    }
    post(f"{prefect_server}/work_pools/", {"name": "cxr", "type": "process"})
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", "infra/prefect.yaml", "--all"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (deployment,) = post(f"{prefect_server}/deployments/filter", {})
    assert (deployment["name"], deployment["entrypoint"]) == ("nightly", "flows.retrain:retrain")
    assert deployment["work_pool_name"] == "cxr"
    # Nobody's machine starts to train at night unasked.
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    (step,) = deployment["pull_steps"]
    assert step["prefect.deployments.steps.set_working_directory"]["directory"] in (str(ROOT), "{{ $CXR_CHECKOUT }}")


def post(address: str, body: object) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
