"""Where a benchmark retrains: a clone of this checkout's last commit, phantoms, and homes of their own.

A clone, so that nothing of a benchmark lands in the checkout's own git refs, and that editing the checkout meanwhile
changes no key.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import CLASSES
from cxr_core.imaging.phantom import write_sources

__all__ = ["ROOT", "Place", "clone", "make_place", "overrides", "start_retrain"]

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("CXR_", "MLFLOW", "PREFECT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A clone and the sources that retrains in it read."""

    folder: Path

    @property
    def checkout(self) -> Path:
        """The clone."""
        return self.folder / "checkout"

    @property
    def sources(self) -> Path:
        """Phantoms in the four published layouts."""
        return self.folder / "sources"

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """This process's variables without its own settings, with a home and the sources."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        # Threads that spin while they wait take the cores from each other.
        return {"OMP_WAIT_POLICY": "PASSIVE", **kept, "CXR_HOME": str(home), "CXR_SOURCES": str(self.sources), **more}


def clone(checkout: Path) -> Path:
    """Clone the checkout's last commit, where that has not been done."""
    if not checkout.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    return checkout


def make_place(folder: Path, *, images: int) -> Place:
    """Clone the checkout's last commit and draw so many phantoms a class, and some more to choose from."""
    place = Place(folder=folder)
    clone(place.checkout)
    write_sources(place.sources, seed=7, images=dict.fromkeys(CLASSES, images + 4))
    return place


def overrides(*, images: int, size: int, epochs: int, folds: int = 3) -> tuple[str, ...]:
    """A small retrain in which every stage runs."""
    return (
        "train.weights=none",
        "train.precision=fp32",
        "train.architecture=resnet18",
        f"train.epochs={epochs}",
        f"prepare.size={size}",
        f"split.folds={folds}",
        "split.protocol=grouped",
        "evaluate.bootstrap=100",
        "explain.panels=1",
        *(f"curate.quota.{slug}={images}" for slug in CLASSES),
    )


def start_retrain(
    place: Place, home: Path, settings: Iterable[str], *, log: Path, **more: str
) -> subprocess.Popen[bytes]:
    """Start ``cxr retrain`` in a process group of its own; what it says goes to a file."""
    words = [word for setting in settings for word in ("--set", setting)]
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "retrain", *words],
            cwd=place.checkout,
            env=place.environment(home, **more),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
