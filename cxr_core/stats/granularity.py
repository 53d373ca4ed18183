"""Which counts can a printed figure come from: digits in, whole numbers out (the GRIM test, Brown and Heathers 2017).

k of n images can only give n + 1 shares, so a printed share that lies between two of them was not measured on n images.
All arithmetic is on integers: nothing is decided by a rounding error.

Laws: what k of n prints as is always found to fit k of n; a figure with one digit more never fits more counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cxr_core.errors import EvidenceError

__all__ = ["Digits", "Ties", "counts", "denominators", "fits", "read_digits"]

Ties = Literal["up", "either"]
"""Where a share lies half-way between two printed figures: ``up``, as people and spreadsheets round, or ``either``, as
a reader who does not know the program must allow (binary floating point rounds some ties down)."""

_NUMBER = re.compile(r"-?\d+(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Digits:
    """A printed figure: ``units`` of the last digit shown, of which ``per_one`` make 1.

    ``99.31`` per cent is 9 931 units of 10 000; ``6.89`` thousandths are 689 units of 100 000.
    """

    units: int
    per_one: int


def read_digits(text: str, *, scale: int = 1) -> Digits:
    """A figure as it is printed.

    Args:
        text: Digits with or without a point, e.g. ``99.31``.
        scale: How many of its whole units make 1: 100 for per cent, 1000 for thousandths.

    Raises:
        EvidenceError: The text is no plain number.
    """
    found = _NUMBER.fullmatch(text)
    if not found:
        raise EvidenceError(f"Expected a printed number such as 99.31, found {text!r}.", reason="no_number")
    decimals = len(found[1] or "")
    return Digits(units=int(text.replace(".", "")), per_one=scale * 10**decimals)


def fits(digits: Digits, k: int, n: int, *, ties: Ties = "either", through: int | None = None) -> bool:
    """Whether k of n prints as these digits.

    Args:
        digits: What is printed.
        k: The count, 0 ≤ k ≤ n.
        n: Of how many, at least 1.
        ties: How half-way cases are rounded.
        through: Decimals the share was rounded to before, where a program printed it in between.

    Raises:
        EvidenceError: An impossible count.
    """
    if n < 1 or not 0 <= k <= n:
        raise EvidenceError(f"Expected 0 to n of n ≥ 1, found {k} of {n}.", reason="impossible_count")
    if through is None:
        return digits.units in _rounded(k * digits.per_one, n, ties)
    between = 10**through
    return any(
        digits.units in _rounded(step * digits.per_one, between, ties) for step in _rounded(k * between, n, ties)
    )


def counts(digits: Digits, n: int, *, ties: Ties = "either", through: int | None = None) -> list[int]:
    """Every k for which k of n prints as these digits; arguments as for :func:`fits`."""
    if n < 1:
        raise EvidenceError(f"Expected a count of at least 1, found {n}.", reason="impossible_count")
    # One unit of rounding on either side, and one of the step between: everything else is too far away.
    slack = 1 + (0 if through is None else -(-digits.per_one // 10**through))
    low = max(0, (digits.units - slack) * n // digits.per_one)
    high = min(n, -((digits.units + slack) * -n // digits.per_one))
    return [k for k in range(low, high + 1) if fits(digits, k, n, ties=ties, through=through)]


def denominators(
    figures: Sequence[Digits], among: Iterable[int], *, ties: Ties = "either", through: int | None = None
) -> dict[int, tuple[int, ...]]:
    """The n of which every figure can be a share, each with the smallest count of every figure.

    Args:
        figures: Figures that are said to have one denominator.
        among: The denominators to try.
        ties: As for :func:`fits`.
        through: As for :func:`fits`.
    """
    found: dict[int, tuple[int, ...]] = {}
    for n in among:
        choices = [counts(digits, n, ties=ties, through=through) for digits in figures]
        if all(choices):
            found[n] = tuple(each[0] for each in choices)
    return found


def _rounded(numerator: int, denominator: int, ties: Ties) -> tuple[int, ...]:
    """The whole numbers that numerator / denominator rounds to: one, or both where it is half-way and either counts."""
    whole, rest = divmod(numerator, denominator)
    if 2 * rest < denominator:
        return (whole,)
    if 2 * rest > denominator or ties == "up":
        return (whole + 1,)
    return (whole, whole + 1)
