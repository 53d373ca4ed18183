"""With what a run was measured: versions of programs and libraries, and the kind of machine, without its name."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["SOFTWARE_FILE", "software"]

SOFTWARE_FILE = "software.json"

# What computes or decides: everything else stands in constraints.txt, whose digest is part of each training's key.
_LIBRARIES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "imagecodecs", "captum"),
    *("matplotlib", "mlflow", "prefect", "dvc"),
)
_CPU_FACTS = Path("/proc/cpuinfo")


def software() -> dict[str, Any]:
    """``software``: version by name; ``machine``: system, processor, cores."""
    return {
        "software": {"Python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        "machine": {
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "processor": _processor(),
            "cores": str(os.cpu_count() or "not known"),
        },
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The model's name where Linux tells it; ``platform.processor`` is empty on most systems."""
    if _CPU_FACTS.is_file():
        for line in _CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "not known"
