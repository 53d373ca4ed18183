"""McNemar against statsmodels and the binomial written out; limits of a difference against Newcombe's and by law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference
from statsmodels.stats.proportion import confint_proportions_2indep

from cxr_core.errors import EvidenceError
from cxr_core.stats.intervals import Interval, wilson
from cxr_core.stats.paired import difference_limits, mcnemar

VERDICTS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


@given(VERDICTS)
def test_agrees_with_statsmodels_and_swaps(verdicts):
    first, second = zip(*verdicts, strict=True)
    table = [[sum(a == x and b == y for a, b in verdicts) for y in (True, False)] for x in (True, False)]
    ours, swapped = mcnemar(first, second), mcnemar(second, first)
    # statsmodels doubles the tail and may pass 1 where the two counts are equal.
    assert ours.p == pytest.approx(min(1.0, reference(table, exact=True).pvalue))
    assert (ours.only_first, ours.only_second, ours.p) == (swapped.only_second, swapped.only_first, swapped.p)
    assert ours.n == len(verdicts)


def test_six_disagreements_all_one_way():
    assert mcnemar([True] * 6 + [True], [False] * 6 + [True]).p == pytest.approx(2 * 0.5**6)


def test_no_image_or_unequal_lengths_are_refused():
    with pytest.raises(EvidenceError, match="none"):
        mcnemar([], [])
    with pytest.raises(EvidenceError, match="found 1 and 2"):
        mcnemar([True], [True, False])


SHARES = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CORRELATIONS = st.floats(-1, 1)


def limits_of(first, second, correlation):
    (k, n), (j, m) = first, second
    sides = wilson(k, n, confidence=0.95), wilson(j, m, confidence=0.95)
    return difference_limits(k / n, sides[0], j / m, sides[1], correlation=correlation), *sides


@given(SHARES, SHARES)
def test_of_two_shares_that_have_nothing_in_common_the_limits_are_newcombes(first, second):
    (ours, *_), ((k, n), (j, m)) = limits_of(first, second, 0.0), (first, second)
    # Newcombe 1998, method 10, which is this one with Wilson's limits and no correlation.
    theirs = confint_proportions_2indep(k, n, j, m, method="newcomb", compare="diff", alpha=0.05)
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-9)


@given(SHARES, SHARES, CORRELATIONS)
def test_limits_hold_the_difference_stay_between_the_sides_own_and_turn_round(first, second, correlation):
    ours, one, other = limits_of(first, second, correlation)
    value = first[0] / first[1] - second[0] / second[1]
    assert one.low - other.high - 1e-12 <= ours.low <= value <= ours.high <= one.high - other.low + 1e-12
    turned, *_ = limits_of(second, first, correlation)
    assert (ours.low, ours.high) == pytest.approx((-turned.high, -turned.low), abs=1e-12)


@given(SHARES, SHARES, CORRELATIONS, CORRELATIONS)
def test_the_more_alike_two_vary_the_surer_is_what_they_differ_by(first, second, one, other):
    less, more = (limits_of(first, second, each)[0] for each in sorted((one, other)))
    assert more.high - more.low <= less.high - less.low + 1e-12


def test_two_that_vary_alike_and_as_much_differ_for_certain():
    same = Interval(low=0.5, high=0.75)
    limits = difference_limits(0.625, same, 0.625, same, correlation=1.0)
    assert (limits.low, limits.high) == (0, 0)
