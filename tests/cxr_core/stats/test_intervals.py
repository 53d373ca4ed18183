"""Intervals of a proportion against statsmodels, and their laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from cxr_core.errors import EvidenceError
from cxr_core.stats.intervals import clopper_pearson, normal_quantile, wilson

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CONFIDENCES = st.floats(0.5, 0.999)


@given(COUNTS, CONFIDENCES)
@pytest.mark.parametrize(("ours", "method"), [(wilson, "wilson"), (clopper_pearson, "beta")])
def test_agrees_with_statsmodels(ours, method, counts, confidence):
    k, n = counts
    interval = ours(k, n, confidence=confidence)
    low, high = proportion_confint(k, n, alpha=1 - confidence, method=method)
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)


@given(COUNTS, CONFIDENCES)
@pytest.mark.parametrize("limits", [wilson, clopper_pearson])
def test_holds_the_point_and_mirrors(limits, counts, confidence):
    k, n = counts
    here, there = limits(k, n, confidence=confidence), limits(n - k, n, confidence=confidence)
    assert 0 <= here.low <= k / n <= here.high <= 1
    assert here.low == pytest.approx(1 - there.high, abs=1e-9)


@given(COUNTS, CONFIDENCES, CONFIDENCES)
@pytest.mark.parametrize("limits", [wilson, clopper_pearson])
def test_more_confidence_is_never_narrower(limits, counts, one, other):
    less, more = sorted((one, other))
    narrow, wide = limits(*counts, confidence=less), limits(*counts, confidence=more)
    assert wide.low <= narrow.low + 1e-12
    assert narrow.high <= wide.high + 1e-12


def test_what_48_of_48_can_claim():
    assert wilson(48, 48, confidence=0.95).low == pytest.approx(0.926, abs=5e-4)
    assert wilson(48, 48, confidence=0.95).high == 1.0


def test_the_normal_quantile_is_scipys():
    assert normal_quantile(0.95) == pytest.approx(stats.norm.ppf(0.975))


@pytest.mark.parametrize(
    ("k", "n", "confidence", "reason"),
    [
        (0, 0, 0.95, "no_observations"),
        (3, 2, 0.95, "impossible_count"),
        (-1, 2, 0.95, "impossible_count"),
        (1, 2, 1.0, "out_of_range"),
        (1, 2, float("nan"), "out_of_range"),
    ],
)
@pytest.mark.parametrize("limits", [wilson, clopper_pearson])
def test_impossible_input_is_refused_by_name(limits, k, n, confidence, reason):
    with pytest.raises(EvidenceError) as caught:
        limits(k, n, confidence=confidence)
    assert caught.value.reason == reason
