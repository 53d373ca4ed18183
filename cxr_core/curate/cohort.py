"""The cohort on disk: rows that are kept and rows that are not, as CSV. Round trip: ``read(write(rows)) == rows``.

A source's own words may begin as a formula does, which a spreadsheet would run: such a cell gets an apostrophe first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

from cxr_core.classes import CLASSES, SOURCES, ClassSlug, Source
from cxr_core.errors import CohortError
from cxr_core.files import read_csv, write_csv

__all__ = [
    "COHORT_PATH",
    "EXCLUSIONS_PATH",
    "REPORT_PATH",
    "CohortRow",
    "Exclusion",
    "read_cohort",
    "read_exclusions",
    "write_cohort",
    "write_exclusions",
]

COHORT_PATH = Path("data/cohort/cohort.csv")
EXCLUSIONS_PATH = Path("data/cohort/exclusions.csv")
REPORT_PATH = Path("data/cohort/report.json")

_Word = TypeVar("_Word", bound=str)

# Columns that hold a source's words as they are; all others are ours and begin as nothing of the kind.
_FOREIGN = frozenset({"view", "origin_url", "licence"})
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortRow:
    """One image of the cohort."""

    name: str
    """``source:path``."""
    source: Source
    sha256: str
    """Digest of the file in data/raw."""
    source_sha256: str
    """Digest of the file in the source's listing."""
    label: ClassSlug
    label_provenance: str
    group: str
    """Images that show one patient or one X-ray share it."""
    patient: str
    """Keyed digest; never the source's own id."""
    view: str
    sex: str
    age_years: float | None
    origin_url: str
    licence: str
    synthetic: bool
    pixel_sha256: str
    """Digest of the decoded picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """One row that is not in the cohort, and the one reason why."""

    name: str
    source: Source
    reason: str
    detail: str
    label: str
    """The class it would have had; empty where it has none."""
    group: str = ""
    """As in the cohort: one patient or one X-ray; empty for what ingest left out."""


def write_cohort(path: Path, rows: Sequence[CohortRow]) -> None:
    """Write the cohort, atomically."""
    columns = _columns(CohortRow)
    values = attrgetter(*columns)
    special = [(place, _SPECIAL[column]) for place, column in enumerate(columns) if column in _SPECIAL]

    def cells(row: CohortRow) -> list[object]:
        found = list(values(row))
        for place, written in special:
            found[place] = written(found[place])
        return found

    write_csv(path, columns, map(cells, rows))


def read_cohort(path: Path) -> list[CohortRow]:
    """Read a cohort.

    Raises:
        CohortError: There is none, or it is no cohort.
    """
    return [
        CohortRow(
            name=row["name"],
            source=_member(path, row["source"], SOURCES),
            sha256=row["sha256"],
            source_sha256=row["source_sha256"],
            label=_member(path, row["label"], CLASSES),
            label_provenance=row["label_provenance"],
            group=row["group"],
            patient=row["patient"],
            view=_plain(row["view"]),
            sex=row["sex"],
            age_years=_age(path, row["age_years"]),
            origin_url=_plain(row["origin_url"]),
            licence=_plain(row["licence"]),
            synthetic=_member(path, row["synthetic"], ("true", "false")) == "true",
            pixel_sha256=row["pixel_sha256"],
        )
        for row in _rows(path, CohortRow)
    ]


def write_exclusions(path: Path, rows: Sequence[Exclusion]) -> None:
    """Write the exclusions, atomically."""
    write_csv(path, _columns(Exclusion), map(attrgetter(*_columns(Exclusion)), rows))


def read_exclusions(path: Path) -> list[Exclusion]:
    """Read exclusions.

    Raises:
        CohortError: There are none, or the table is another.
    """
    return [
        Exclusion(
            name=row["name"],
            source=_member(path, row["source"], SOURCES),
            reason=row["reason"],
            detail=row["detail"],
            label=row["label"],
            group=row["group"],
        )
        for row in _rows(path, Exclusion)
    ]


def _columns(kind: type[CohortRow] | type[Exclusion]) -> list[str]:
    return [field.name for field in fields(kind)]


def _harmless(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _yes_or_no(value: bool) -> str:
    return "true" if value else "false"


# Cells that are written otherwise than they are.
_SPECIAL: dict[str, Callable[[Any], str]] = {**dict.fromkeys(_FOREIGN, _harmless), "synthetic": _yes_or_no}


def _plain(text: str) -> str:
    """A foreign cell as its source wrote it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _rows(path: Path, kind: type[CohortRow] | type[Exclusion]) -> list[dict[str, str]]:
    try:
        return list(read_csv(path, _columns(kind)))
    except FileNotFoundError as error:
        raise CohortError(
            f"Expected {path.name} in {path.parent}, found none.", reason="no_cohort", hint="Run `dvc repro curate`."
        ) from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _member(path: Path, value: str, allowed: tuple[_Word, ...]) -> _Word:
    if value not in allowed:
        raise _damaged(path, f"expected one of {', '.join(allowed)}, found {value!r}")
    return cast("_Word", value)


def _age(path: Path, text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError as error:
        raise _damaged(path, f"expected an age in years, found {text!r}") from error


def _damaged(path: Path, what: str) -> CohortError:
    return CohortError(f"{path.name}: {what}.", reason="damaged_cohort", hint="Run `dvc repro -f curate`.")
