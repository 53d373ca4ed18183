"""Predictions of images that did not train: cohort rows and probabilities in, one checked table out, and its CSV.

Legend: 3 classes, in the order of ``CLASSES``.

Laws: every image is predicted once, by a network that never trained on it; ``parse_predictions(predictions_csv(rows))``
gives the same rows, bit for bit; a table with a fault is refused whole, all faults named.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import digest_bytes
from cxr_core.errors import EvidenceError

__all__ = [
    "Prediction",
    "check_predictions",
    "digest_predictions",
    "parse_predictions",
    "predictions_csv",
    "predictions_of",
]

_COLUMNS = (
    *("name", "sha256", "group", "source", "fold", "label", "leak_free", "view", "sex", "age_years"),
    *(f"p_{slug}" for slug in CLASSES),
)
# Absent where no row has any: a table of before it was kept reads, and is written, as it always was.
_PROVENANCE = "label_provenance"
# Softmax in float32 misses 1 by less than this; anything else is no probability.
_SUM_TOLERANCE = 1e-4
_FAULTS_SHOWN = 5
_REFIT = "refit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What the fold that tests an image says of it; of a held-out image, what the refit says.

    ``label`` is the index of the true class; ``probabilities`` sum to 1; ``fold`` counts from 0 and is None for the
    refit; ``leak_free`` means that no image which trained or validated that network shares this image's patient or
    duplicate cluster; ``label_provenance`` says what the label rests on, and is empty where nobody knows.
    """

    name: str
    sha256: str
    group: str
    source: str
    fold: int | None
    label: int
    probabilities: tuple[float, float, float]
    leak_free: bool
    view: str
    sex: str
    age_years: float | None
    label_provenance: str = ""

    @property
    def predicted(self) -> int:
        """Index of the likeliest class; the first where two tie."""
        return max(range(len(CLASSES)), key=lambda index: self.probabilities[index])

    @property
    def correct(self) -> bool:
        """Whether the likeliest class is the true one."""
        return self.predicted == self.label


def predictions_of(
    cohort: Sequence[CohortRow],
    *,
    fold: int | None,
    test: Sequence[int] | NDArray[np.int64],
    probabilities: NDArray[np.float64],
    leak_free: Sequence[bool] | NDArray[np.bool_],
) -> list[Prediction]:
    """Join the probabilities of one fold, or of the refit, to the cohort.

    Args:
        cohort: All rows of the cohort (N).
        fold: The fold that was left out, from 0; None for the refit.
        test: Indices into the cohort (n,), in the order of the probabilities.
        probabilities: (n, 3), rows sum to 1.
        leak_free: For every row of the cohort (N,).

    Raises:
        EvidenceError: The shapes do not fit each other.
    """
    indices = [int(index) for index in test]
    if probabilities.shape != (len(indices), len(CLASSES)) or len(leak_free) != len(cohort):
        raise EvidenceError(
            f"Expected probabilities {(len(indices), len(CLASSES))} and {len(cohort)} leak flags for "
            f"{_REFIT if fold is None else f'fold {fold}'}, "
            f"found {probabilities.shape} and {len(leak_free)}.",
            reason="length_mismatch",
        )
    return [
        Prediction(
            name=(row := cohort[index]).name,
            sha256=row.sha256,
            group=row.group,
            source=row.source,
            fold=fold,
            label=CLASSES.index(row.label),
            probabilities=(float(scores[0]), float(scores[1]), float(scores[2])),
            leak_free=bool(leak_free[index]),
            view=row.view,
            sex=row.sex,
            age_years=row.age_years,
            label_provenance=row.label_provenance,
        )
        for index, scores in zip(indices, probabilities, strict=True)
    ]


def check_predictions(rows: Sequence[Prediction]) -> None:
    """Refuse a table that is empty, holds an image twice, or holds what is no probability or no class.

    Raises:
        EvidenceError: It does; the first faults are named, the others counted.
    """
    if not rows:
        raise EvidenceError("Expected predictions, found none.", reason="no_predictions")
    faults = [fault for row in rows if (fault := _fault(row))]
    for field in ("name", "sha256"):
        counts = Counter(str(getattr(row, field)) for row in rows)
        faults += [f"{value} is predicted {times} times" for value, times in counts.items() if times > 1]
    if faults:
        rest = f" and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise EvidenceError(f"Predictions: {'; '.join(faults[:_FAULTS_SHOWN])}{rest}.", reason="bad_predictions")


def predictions_csv(rows: Iterable[Prediction]) -> str:
    """Write predictions as CSV, sorted by image name; floats keep every bit."""
    ordered = sorted(rows, key=lambda row: row.name)
    known = any(row.label_provenance for row in ordered)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*_COLUMNS, _PROVENANCE) if known else _COLUMNS)
    for row in ordered:
        age = "" if row.age_years is None else repr(row.age_years)
        fold = _REFIT if row.fold is None else row.fold
        facts = (row.name, row.sha256, row.group, row.source, fold, CLASSES[row.label], int(row.leak_free))
        provenance = (row.label_provenance,) if known else ()
        writer.writerow((*facts, row.view, row.sex, age, *map(repr, row.probabilities), *provenance))
    return out.getvalue()


def digest_predictions(rows: Iterable[Prediction]) -> str:
    """``sha256:<hex>`` of the CSV's bytes: what binds evidence and comparisons to their images."""
    return digest_bytes(predictions_csv(rows).encode())


def parse_predictions(text: str) -> list[Prediction]:
    """Read predictions from CSV and check them.

    Raises:
        EvidenceError: The header differs, a value cannot be read (line and value named), or the table does not hold.
    """
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) not in (_COLUMNS, (*_COLUMNS, _PROVENANCE)):
        raise EvidenceError(
            f"Expected the columns {', '.join(_COLUMNS)}; found {', '.join(reader.fieldnames or ('none',))}.",
            reason="bad_predictions",
        )
    rows: list[Prediction] = []
    for cells in reader:
        try:
            if None in cells.values():
                raise ValueError("a cell is missing")
            rows.append(_row(cells))
        except (KeyError, TypeError, ValueError) as error:
            raise EvidenceError(f"Predictions, line {reader.line_num}: {error}.", reason="bad_predictions") from error
    check_predictions(rows)
    return rows


def _row(cells: dict[str, str]) -> Prediction:
    covid, viral, normal = (float(cells[f"p_{slug}"]) for slug in CLASSES)
    return Prediction(
        name=cells["name"],
        sha256=cells["sha256"],
        group=cells["group"],
        source=cells["source"],
        fold=None if cells["fold"] == _REFIT else int(cells["fold"]),
        label=[str(slug) for slug in CLASSES].index(cells["label"]),
        probabilities=(covid, viral, normal),
        leak_free={"0": False, "1": True}[cells["leak_free"]],
        view=cells["view"],
        sex=cells["sex"],
        age_years=float(cells["age_years"]) if cells["age_years"] else None,
        label_provenance=cells.get(_PROVENANCE, ""),
    )


def _fault(row: Prediction) -> str:
    if not 0 <= row.label < len(CLASSES) or (row.fold is not None and row.fold < 0):
        return f"{row.name} has label {row.label} and fold {row.fold}"
    if not all(0 <= p <= 1 for p in row.probabilities):
        return f"{row.name} has probabilities {row.probabilities}"
    if abs(math.fsum(row.probabilities) - 1) > _SUM_TOLERANCE:
        return f"{row.name} has probabilities that sum to {math.fsum(row.probabilities):.6f}"
    return ""
