"""Parameters of small trainings: those of params.yaml, made tiny."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_core.params import TrainParams, read_params

_TEXT = (Path(__file__).parents[3] / "params.yaml").read_text(encoding="utf-8")
_TINY = {
    "architecture": "resnet18",
    "weights": "none",
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 0.01,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
    "seed": 1,
}


def params_of(**changes: Any) -> TrainParams:
    """``train`` of params.yaml for a small network on one thread, with changes."""
    return read_params(_TEXT).train.replace(**(_TINY | changes))
