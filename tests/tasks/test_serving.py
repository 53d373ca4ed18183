"""The champion answers wherever MLflow is: without this repository on the path, for PNG, JPEG and DICOM alike."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_core.classes import CLASSES
from tests.walk import Place, Retrained

PROGRAM = """
import base64, importlib.abc, json, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cxr_core", "tasks", "flows"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import mlflow, pandas as pd

model = mlflow.pyfunc.load_model("models:/cxr-resnet34@champion")
images = [base64.b64decode(text) for text in json.load(sys.stdin)]
print(model.predict(pd.DataFrame({"image": images})).to_json(orient="records"))
"""


def files(place: Place) -> dict[str, Path]:
    patterns = {"png": "github/images/phantom-1-*.png", "jpeg": "sirm/*/*.jpg", "dicom": "rsna/*/*.dcm"}
    return {kind: sorted(place.sources.glob(pattern))[0] for kind, pattern in patterns.items()}


def test_the_champion_answers_for_png_jpeg_and_dicom_without_this_repository(
    promoted: Retrained, tmp_path: Path
) -> None:
    images = files(promoted.place)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([base64.b64encode(path.read_bytes()).decode() for path in images.values()]),
        cwd=tmp_path,
        env=promoted.place.environment
        | {"MLFLOW_TRACKING_URI": f"sqlite:///{promoted.place.home}/mlflow/mlflow.db", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == len(images)
    for row in rows:
        assert set(row) == {*CLASSES, "label"}
        assert sum(row[slug] for slug in CLASSES) == pytest.approx(1)
        assert row["label"] == max(CLASSES, key=lambda slug: row[slug])
