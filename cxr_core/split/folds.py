"""Folds: who trains, validates, tests or is held out, fold by fold, and whose test is free of leaks.

Laws: in a fold each row has one role; a row is tested by at most one fold; a held-out row is held out of every fold,
and so is every row of its group; ``read_split(write_split(x)) == x``.

Shapes: N rows, in the cohort's order, which is the store's; K folds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES, SOURCES, Source
from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.errors import CohortError
from cxr_core.files import read_csv, read_json, write_csv, write_json
from cxr_core.params import Protocol

__all__ = [
    "SPLIT_PATH",
    "SUMMARY_PATH",
    "Members",
    "Role",
    "Split",
    "Verdict",
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


class Role(IntEnum):
    """What a row is to a fold; ``NONE`` takes no part in it."""

    NONE = 0
    TRAIN = 1
    VALIDATION = 2
    TEST = 3
    HOLDOUT = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Under ``loso``, whether the other sources can teach what one source tests."""

    source: Source
    fold: int | None
    """The fold that tests the source; None where none can."""
    why: str
    """Why none can, as a sentence; empty where one does."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """A cohort dealt into folds.

    Raises:
        ValueError: The roles break a law of this file.
    """

    protocol: Protocol
    seed: int
    names: tuple[str, ...]
    sha256: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,) class indices."""
    roles: NDArray[np.int8]
    """(K, N) of :class:`Role`."""
    verdicts: tuple[Verdict, ...] = ()
    """``loso`` only: one a source that has rows."""

    def __post_init__(self) -> None:
        """Refuse roles that break a law."""
        if self.roles.ndim != 2 or self.roles.shape[1] != len(self.names):
            raise ValueError(f"expected roles of shape (folds, {len(self.names)}), found {self.roles.shape}")
        if (times := (self.roles == Role.TEST).sum(axis=0)).max(initial=0) > 1:
            raise ValueError(f"{self.names[int(times.argmax())]} is tested by {times.max()} folds")
        held = self.roles == Role.HOLDOUT
        if (held.any(axis=0) & ~held.all(axis=0)).any():
            raise ValueError("a row is held out of some folds and not of others")
        if shared := set(_those(self.groups, self.holdout)) & set(_those(self.groups, ~self.holdout)):
            raise ValueError(f"group {min(shared)} is held out in part")

    @property
    def folds(self) -> int:
        """How many folds are trained, K."""
        return len(self.roles)

    @property
    def fold(self) -> NDArray[np.int64]:
        """(N,) the fold that tests each row, [0, K); -1 where none does."""
        tests = self.roles == Role.TEST
        return np.where(tests.any(axis=0), tests.argmax(axis=0), -1).astype(np.int64)

    @property
    def holdout(self) -> NDArray[np.bool_]:
        """(N,) rows that no fold sees and the refit does not train on."""
        return (self.roles == Role.HOLDOUT).any(axis=0)


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
        fold: [0, K); None for the refit, which trains on every row but the held-out ones, and tests those.

    Raises:
        ValueError: There is no such fold.
    """
    if fold is None:
        none = np.empty(0, dtype=np.int64)
        return Members(train=np.flatnonzero(~split.holdout), validation=none, test=np.flatnonzero(split.holdout))
    if not 0 <= fold < split.folds:
        raise ValueError(f"expected a fold in [0, {split.folds}), found {fold}")
    train, validation, test = (
        np.flatnonzero(split.roles[fold] == role) for role in (Role.TRAIN, Role.VALIDATION, Role.TEST)
    )
    return Members(train=train, validation=validation, test=test)


def leak_free(split: Split) -> NDArray[np.bool_]:
    """Rows whose test says something about new patients: (N,) bool.

    True where a fold tests the row and no image that trains or validates that fold shares its group; and for held-out
    rows, which the refit tests, since whole groups are held out. False where nothing tests the row.
    """
    names, group = np.unique(np.array(split.groups, dtype=str), return_inverse=True)
    free = split.holdout.copy()
    for fold in range(split.folds):
        part = members(split, fold)
        seen = np.zeros(len(names), dtype=np.bool_)
        seen[group[part.train]] = seen[group[part.validation]] = True
        free[part.test] = ~seen[group[part.test]]
    return free


def summary(split: Split) -> dict[str, Any]:
    """What ``split.json`` holds: each fold's parts a class, what nothing tests and why, how many tests leak."""
    tested = split.fold >= 0
    n = int(tested.sum())
    leaks = int((tested & ~leak_free(split)).sum())
    return {
        "schema": 2,
        "protocol": split.protocol,
        "folds": split.folds,
        "seed": split.seed,
        "parts": [
            {"fold": fold} | {role.name.lower(): _count(split, roles == role) for role in Role if role != Role.HOLDOUT}
            for fold, roles in enumerate(split.roles)
        ],
        "holdout": _count(split, split.holdout),
        "tested": {"n": n, "of": len(split.names)},
        "verdicts": [
            asdict(each) | {"verdict": "not identifiable" if each.fold is None else "identifiable"}
            for each in split.verdicts
        ],
        "leak": {"images_sharing_a_group_with_training": leaks, "n": n, "share": leaks / n if n else 0.0},
    }


def write_split(workspace: Path, split: Split) -> None:
    """Write ``split.csv`` (the fold that tests a row, then its role in each fold, in words) and ``split.json``."""
    labels = [CLASSES[index] for index in split.labels.tolist()]
    tests = ["holdout" if held else str(fold) if fold >= 0 else "none" for fold, held in _tests(split)]
    words = {role.value: role.name.lower() for role in Role}
    roles = [[words[role] for role in column] for column in split.roles.T.tolist()]
    facts = zip(split.names, split.sha256, labels, split.groups, tests, roles, strict=True)
    write_csv(workspace / SPLIT_PATH, _columns(split.folds), ((*row[:-1], *row[-1]) for row in facts))
    write_json(workspace / SUMMARY_PATH, summary(split))


def read_split(workspace: Path) -> Split:
    """Read a workspace's folds and check that they are its cohort's.

    Raises:
        CohortError: There are none (``no_split``), the two files do not hold together (``damaged_split``), or they are
            the folds of another cohort (``foreign_split``).
    """
    try:
        head = cast("dict[str, Any]", read_json(workspace / SUMMARY_PATH))
        rows = list(read_csv(workspace / SPLIT_PATH, _columns(head["folds"])))
        split = _split(head, rows)
        found = summary(split)
    except FileNotFoundError as error:
        raise CohortError("Expected folds in data/split, found none.", reason="no_split", hint=_HINT) from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CohortError(f"data/split cannot be read: {error}.", reason="damaged_split", hint=_HINT) from error
    tests = ["holdout" if held else str(fold) if fold >= 0 else "none" for fold, held in _tests(split)]
    if found != head or tests != [row["fold"] for row in rows]:
        raise CohortError(
            "split.json does not describe split.csv: one of the two was changed.", reason="damaged_split", hint=_HINT
        )
    wanted = [(row.name, row.sha256, row.label, row.group) for row in read_cohort(workspace / COHORT_PATH)]
    if wanted != list(zip(split.names, split.sha256, (row["label"] for row in rows), split.groups, strict=True)):
        raise CohortError("data/split holds the folds of another cohort.", reason="foreign_split", hint=_HINT)
    return split


def _split(head: dict[str, Any], rows: list[dict[str, str]]) -> Split:
    columns = [[Role[row[column].upper()] for row in rows] for column in _columns(head["folds"])[len(_COLUMNS) :]]
    return Split(
        protocol=head["protocol"],
        seed=head["seed"],
        names=tuple(row["name"] for row in rows),
        sha256=tuple(row["sha256"] for row in rows),
        groups=tuple(row["group"] for row in rows),
        labels=np.array([[*CLASSES].index(row["label"]) for row in rows], dtype=np.int64),
        roles=np.array(columns, dtype=np.int8).reshape(len(columns), len(rows)),
        verdicts=tuple(
            Verdict(source=SOURCES[SOURCES.index(each["source"])], fold=each["fold"], why=each["why"])
            for each in head["verdicts"]
        ),
    )


def _columns(folds: int) -> tuple[str, ...]:
    return (*_COLUMNS, *(f"fold_{fold}" for fold in range(folds)))


def _tests(split: Split) -> list[tuple[int, bool]]:
    return list(zip(split.fold.tolist(), split.holdout.tolist(), strict=True))


def _those(values: tuple[str, ...], chosen: NDArray[np.bool_]) -> list[str]:
    return [values[row] for row in np.flatnonzero(chosen).tolist()]


def _count(split: Split, chosen: NDArray[np.bool_]) -> dict[str, int]:
    labels = split.labels[chosen]
    return {"n": len(labels)} | {slug: int((labels == index).sum()) for index, slug in enumerate(CLASSES)}
