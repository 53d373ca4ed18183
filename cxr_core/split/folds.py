"""Folds: who trains, validates and tests whom, and whose test is free of leaks.

Fold i tests; fold i + 1 (the last one's is fold 0) validates; the others train: with five folds the paper's 60/20/20.
Laws: every row stands in exactly one fold; ``read_split(write_split(x)) == x``.

Shapes: N rows, in the cohort's order, which is the store's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.errors import CohortError
from cxr_core.files import read_csv, read_json, write_csv, write_json
from cxr_core.params import Protocol

__all__ = [
    "SPLIT_PATH",
    "SUMMARY_PATH",
    "Members",
    "Split",
    "leak_free",
    "members",
    "read_split",
    "summary",
    "write_split",
]

SPLIT_PATH = Path("data/split/split.csv")
SUMMARY_PATH = Path("data/split/split.json")

_COLUMNS = ("name", "sha256", "label", "group", "fold")
_HINT = "Run `dvc repro split`."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A cohort dealt into folds."""

    protocol: Protocol
    folds: int
    seed: int
    names: tuple[str, ...]
    sha256: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,) class indices."""
    fold: NDArray[np.int64]
    """(N,) the fold that tests each row, [0, folds)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Members:
    """Row numbers of one fold's three parts, ascending."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def members(split: Split, fold: int | None) -> Members:
    """Who trains, validates and tests in one fold.

    Args:
        split: The folds.
        fold: [0, folds); None for the refit, which trains on every row and tests none.

    Raises:
        ValueError: There is no such fold.
    """
    if fold is None:
        none = np.empty(0, dtype=np.int64)
        return Members(train=np.arange(len(split.fold), dtype=np.int64), validation=none, test=none)
    if not 0 <= fold < split.folds:
        raise ValueError(f"expected a fold in [0, {split.folds}), found {fold}")
    validates = (fold + 1) % split.folds
    return Members(
        train=np.flatnonzero((split.fold != fold) & (split.fold != validates)),
        validation=np.flatnonzero(split.fold == validates),
        test=np.flatnonzero(split.fold == fold),
    )


def leak_free(split: Split) -> NDArray[np.bool_]:
    """Rows whose test says something about new patients: (N,) bool.

    True where no image that trains or validates the fold testing this row shares its group. All rows that a fold does
    not test train or validate it, so this holds where the whole group stands in one fold.
    """
    _, group = np.unique(np.array(split.groups), return_inverse=True)
    lowest = np.full(len(split.groups), split.folds, dtype=np.int64)
    highest = np.full(len(split.groups), -1, dtype=np.int64)
    np.minimum.at(lowest, group, split.fold)
    np.maximum.at(highest, group, split.fold)
    return (lowest == highest)[group]


def summary(split: Split) -> dict[str, Any]:
    """What ``split.json`` holds: the protocol, fold sizes a class, and how many tests leak."""
    n = len(split.fold)
    leaks = int(n - leak_free(split).sum())
    sizes: list[dict[str, int]] = []
    for fold in range(split.folds):
        labels = split.labels[split.fold == fold]
        per_class = {slug: int((labels == index).sum()) for index, slug in enumerate(CLASSES)}
        sizes.append({"fold": fold, "n": len(labels), **per_class})
    return {
        "schema": 1,
        "protocol": split.protocol,
        "folds": split.folds,
        "seed": split.seed,
        "sizes": sizes,
        "leak": {"images_sharing_a_group_with_training": leaks, "n": n, "share": leaks / n if n else 0.0},
    }


def write_split(workspace: Path, split: Split) -> None:
    """Write ``split.csv`` and ``split.json``."""
    labels = [CLASSES[index] for index in split.labels.tolist()]
    rows = zip(split.names, split.sha256, labels, split.groups, split.fold.tolist(), strict=True)
    write_csv(workspace / SPLIT_PATH, _COLUMNS, rows)
    write_json(workspace / SUMMARY_PATH, summary(split))


def read_split(workspace: Path) -> Split:
    """Read a workspace's folds and check that they are its cohort's.

    Raises:
        CohortError: There are none (``no_split``), the two files do not hold together (``damaged_split``), or they are
            the folds of another cohort (``foreign_split``).
    """
    try:
        head = cast("dict[str, Any]", read_json(workspace / SUMMARY_PATH))
        rows = list(read_csv(workspace / SPLIT_PATH, _COLUMNS))
        split = Split(
            protocol=head["protocol"],
            folds=head["folds"],
            seed=head["seed"],
            names=tuple(row["name"] for row in rows),
            sha256=tuple(row["sha256"] for row in rows),
            groups=tuple(row["group"] for row in rows),
            labels=np.array([[*CLASSES].index(row["label"]) for row in rows], dtype=np.int64),
            fold=np.array([int(row["fold"]) for row in rows], dtype=np.int64),
        )
        found = summary(split)
    except FileNotFoundError as error:
        raise CohortError("Expected folds in data/split, found none.", reason="no_split", hint=_HINT) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CohortError(f"data/split cannot be read: {error}.", reason="damaged_split", hint=_HINT) from error
    if found != head:
        raise CohortError(
            "split.json does not describe split.csv: one of the two was changed.", reason="damaged_split", hint=_HINT
        )
    wanted = [(row.name, row.sha256, row.label, row.group) for row in read_cohort(workspace / COHORT_PATH)]
    if wanted != list(zip(split.names, split.sha256, (row["label"] for row in rows), split.groups, strict=True)):
        raise CohortError("data/split holds the folds of another cohort.", reason="foreign_split", hint=_HINT)
    return split
