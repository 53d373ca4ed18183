"""Whole retrains on phantoms, as a user starts them: for benchmarks that look at what surrounds the training."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import CLASSES
from cxr_core.imaging.phantom import write_sources
from tasks.adapters.records import RunRecord
from tasks.settings import Home
from tasks.stores import tracker_of

__all__ = ["Stand", "trainings"]

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("CXR_", "MLFLOW", "PREFECT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stand:
    """Phantom sources and settings that several retrains share.

    Attributes:
        folder: Where homes and sources lie.
        images: Images a class.
        settings: ``key=value`` for params.yaml.
    """

    folder: Path
    images: int
    settings: tuple[str, ...]

    def draw(self) -> None:
        """Write the phantoms."""
        write_sources(self.folder / "sources", seed=7, images=dict.fromkeys(CLASSES, self.images + 4))

    def retrain(self, name: str, extra: Sequence[str] = (), **variables: str) -> float:
        """Run ``cxr retrain`` in a home; returns its seconds.

        Raises:
            RuntimeError: It failed; its last words are in the message.
        """
        quotas = (f"curate.quota.{slug}={self.images}" for slug in CLASSES)
        sets = [word for one in (*self.settings, *quotas, *extra) for word in ("--set", one)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(_OURS)}
        environment |= {
            "CXR_HOME": str(self.folder / name),
            "CXR_SOURCES": str(self.folder / "sources"),
            "OMP_WAIT_POLICY": "PASSIVE",
            **variables,
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "retrain", *sets],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"cxr retrain ended with {done.returncode}: {done.stdout[-1500:]}")
        return time.monotonic() - began


def trainings(home: Path) -> list[RunRecord]:
    """The finished runs of folds and refit, in the order they began."""
    runs = tracker_of(Home(root=home)).search({}, status="FINISHED")
    return sorted((run for run in runs if "cxr.weights" in run.tags), key=lambda run: run.started_ms)
