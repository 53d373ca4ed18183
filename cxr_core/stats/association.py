"""How strongly two labels go together: a table of counts in, Pearson's chi-square and Cramér's V out.

Laws: order of rows and columns does not matter; an empty row or column carries no observation and changes nothing;
a table with fewer than two rows or columns left says nothing about association and is refused, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr_core.errors import EvidenceError

__all__ = ["ChiSquare", "chi_square", "contingency", "cramers_v"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChiSquare:
    """Pearson's test of independence, without Yates's correction (a perfect 2 × 2 table then has χ² = n)."""

    statistic: float
    df: int
    p: float
    n: int


def contingency(rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.int64]:
    """Count pairs of labels.

    Args:
        rows: One label an observation, e.g. its class.
        columns: The other label of the same observation, e.g. its source.

    Returns:
        Counts (r, c), labels in sorted order.

    Raises:
        EvidenceError: The two lengths differ.
    """
    if len(rows) != len(columns):
        raise EvidenceError(
            f"Expected two labels an observation, found {len(rows)} and {len(columns)}.", reason="length_mismatch"
        )
    row_of = {label: index for index, label in enumerate(sorted(set(rows)))}
    column_of = {label: index for index, label in enumerate(sorted(set(columns)))}
    table = np.zeros((len(row_of), len(column_of)), dtype=np.int64)
    for row, column in zip(rows, columns, strict=True):
        table[row_of[row], column_of[column]] += 1
    return table


def chi_square(table: ArrayLike) -> ChiSquare:
    """Test whether rows and columns are independent.

    Args:
        table: Counts (r, c), whole and not negative; empty rows and columns are left out.

    Raises:
        EvidenceError: The table is no table of counts, or fewer than two rows or columns hold a count.
    """
    # Curating needs V alone, and loading scipy would take it a quarter of its time.
    from scipy import special

    counts = _counts(table)
    statistic, n = _statistic(counts), counts.sum()
    df = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return ChiSquare(statistic=statistic, df=df, p=float(special.chdtrc(df, statistic)), n=int(n))


def cramers_v(table: ArrayLike) -> float:
    """Cramér's V in [0, 1]: 0 independent, 1 one label tells the other (Cramér 1946, § 21.9), not bias-corrected.

    Raises:
        EvidenceError: As for :func:`chi_square`.
    """
    counts = _counts(table)
    # The square can pass 1 by a rounding error where the association is perfect.
    return min(1.0, math.sqrt(_statistic(counts) / (counts.sum() * (min(counts.shape) - 1))))


def _statistic(counts: NDArray[np.float64]) -> float:
    """Pearson's chi-square of a table whose rows and columns all hold counts."""
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


def _counts(table: ArrayLike) -> NDArray[np.float64]:
    try:
        counts = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvidenceError("Expected a rectangular table of counts.", reason="not_counts") from error
    if counts.ndim != 2:
        raise EvidenceError(f"Expected a table of counts, found {counts.ndim} dimensions.", reason="not_counts")
    if not np.isfinite(counts).all() or (counts < 0).any() or (counts != np.floor(counts)).any():
        raise EvidenceError("Expected whole counts of at least 0 in every cell of the table.", reason="not_counts")
    filled = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(filled.shape) < 2:
        raise EvidenceError(
            f"Association needs two rows and two columns with counts, found {filled.shape[0]} x {filled.shape[1]}.",
            reason="degenerate_table",
        )
    return filled
