"""Which counts a printed figure can come from, against brute force over exact fractions and against printing."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.errors import EvidenceError
from cxr_core.stats.granularity import counts, denominators, fits, read_digits

SIZES = st.integers(1, 400)
DECIMALS = st.integers(0, 4)


def _brute(units: int, per_one: int, n: int, *, up: bool) -> list[int]:
    """Every k whose share is nearest to the figure, by exact fractions."""
    found = []
    for k in range(n + 1):
        value = Fraction(k, n) * per_one
        distance = value - units
        half = Fraction(1, 2)
        if -half <= distance < half or (not up and distance == half):
            found.append(k)
    return found


@given(n=SIZES, units=st.integers(0, 10_000), decimals=DECIMALS, up=st.booleans())
def test_the_counts_are_those_of_a_search_over_all(n: int, units: int, decimals: int, up: bool) -> None:
    text = f"{units // 10**decimals}.{units % 10**decimals:0{decimals}}" if decimals else str(units)
    digits = read_digits(text, scale=100)
    assert counts(digits, n, ties="up" if up else "either") == _brute(digits.units, digits.per_one, n, up=up)


@given(data=st.data(), n=SIZES, decimals=DECIMALS)
def test_what_python_prints_of_a_share_always_fits_it(data: st.DataObject, n: int, decimals: int) -> None:
    k = data.draw(st.integers(0, n))
    printed = read_digits(f"{100 * k / n:.{decimals}f}", scale=100)
    assert fits(printed, k, n)
    assert k in counts(printed, n)


@given(data=st.data(), n=SIZES)
def test_a_digit_more_never_fits_more_counts(data: st.DataObject, n: int) -> None:
    k = data.draw(st.integers(0, n))
    fine, coarse = (counts(read_digits(f"{k / n:.{decimals}f}"), n) for decimals in (4, 3))
    assert len(fine) <= len(coarse)


@given(data=st.data(), n=SIZES)
def test_printing_by_way_of_more_digits_fits_as_well(data: st.DataObject, n: int) -> None:
    k = data.draw(st.integers(0, n))
    between = Fraction(math.floor(Fraction(k, n) * 10**6 + Fraction(1, 2)), 10**6)
    units = math.floor(between * 10**5 + Fraction(1, 2))
    printed = read_digits(f"{units // 100}.{units % 100:02}", scale=1000)
    assert fits(printed, k, n, ties="up", through=6)
    assert k in counts(printed, n, ties="up", through=6)


def test_a_tie_may_be_printed_either_way_unless_the_rule_is_known() -> None:
    # 13 of 16 is 0.8125: half-way between three decimals.
    assert counts(read_digits("0.812"), 16) == counts(read_digits("0.813"), 16) == [13]
    assert counts(read_digits("0.812"), 16, ties="up") == []


def test_a_figure_between_two_shares_has_no_count() -> None:
    assert counts(read_digits("99.5", scale=100), 157) == []
    assert counts(read_digits("99.4", scale=100), 157) == [156]
    assert denominators([read_digits("99.4", scale=100)], range(150, 160)) == {
        n: (n - 1,) for n in range(150, 160) if round(100 * (n - 1) / n, 1) == 99.4
    }


@pytest.mark.parametrize("text", ["", "1.", ".5", "1e3", "99,1", "nan", "99.1 %"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        read_digits(text)
    assert caught.value.reason == "no_number"


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(EvidenceError) as caught:
        fits(read_digits("0.5"), k, n)
    assert caught.value.reason == "impossible_count"
    with pytest.raises(EvidenceError):
        counts(read_digits("0.5"), 0)
