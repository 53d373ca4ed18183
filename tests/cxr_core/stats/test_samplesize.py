"""Sample size: the paper's figures, and the smallest n that keeps the margin."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cxr_core.errors import EvidenceError
from cxr_core.stats.samplesize import samplesize


def test_the_papers_722_holds_at_its_own_result_only():
    assert samplesize(confidence=0.99, margin=0.01, p=0.989) == 722
    assert samplesize(confidence=0.99, margin=0.01, p=264 / 267) != 722
    assert samplesize(confidence=0.99, margin=0.01, p=0.5) == 16_588


@given(st.floats(0.5, 0.999), st.floats(0.005, 0.3), st.floats(0.01, 0.99))
def test_is_the_smallest_n_whose_interval_keeps_the_margin(confidence, margin, p):
    n = samplesize(confidence=confidence, margin=margin, p=p)
    z = stats.norm.ppf((1 + confidence) / 2)
    assert z * math.sqrt(p * (1 - p) / n) <= margin * (1 + 1e-9)
    if n > 1:
        assert z * math.sqrt(p * (1 - p) / (n - 1)) > margin * (1 - 1e-9)


@pytest.mark.parametrize("name", ["confidence", "margin", "p"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.1, float("nan")])
def test_values_outside_zero_and_one_are_refused(name, value):
    with pytest.raises(EvidenceError, match=name):
        samplesize(**({"confidence": 0.95, "margin": 0.05, "p": 0.5} | {name: value}))
