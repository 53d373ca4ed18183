"""McNemar against statsmodels and the binomial written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as reference

from cxr_core.errors import EvidenceError
from cxr_core.stats.paired import mcnemar

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
