"""Association: Pearson's chi-square and Cramér's V against SciPy, and what a table must be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.stats.contingency import association

from cxr_core.errors import EvidenceError
from cxr_core.stats.association import chi_square, contingency, cramers_v

TABLES = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(1, 300))
)


@given(TABLES)
def test_agrees_with_scipy(table):
    ours, theirs = chi_square(table), stats.chi2_contingency(table, correction=False)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)
    assert (ours.df, ours.n) == (theirs.dof, table.sum())
    assert cramers_v(table) == pytest.approx(association(table, method="cramer"), rel=1e-9, abs=1e-9)


@given(TABLES, st.randoms(use_true_random=False))
def test_order_and_empty_lines_change_nothing(table, random):
    rows, columns = list(range(table.shape[0])), list(range(table.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = np.zeros((table.shape[0] + 1, table.shape[1] + 1), dtype=np.int64)
    shuffled[:-1, 1:] = table[rows][:, columns]
    assert cramers_v(shuffled) == pytest.approx(cramers_v(table), abs=1e-12)
    assert chi_square(shuffled).df == chi_square(table).df


def test_the_papers_two_tables_imply_the_statistics_it_does_not_print():
    assert chi_square([[240, 0], [0, 267]]).statistic == pytest.approx(507)
    assert chi_square([[273, 1], [3, 264]]).statistic == pytest.approx(525.14, abs=0.01)


def test_one_label_that_tells_the_other_is_one_and_independence_is_zero():
    assert cramers_v([[7, 0, 0], [0, 5, 3]]) == 1.0
    assert cramers_v([[2, 4], [3, 6]]) == pytest.approx(0, abs=1e-12)


def test_counts_pairs_of_labels():
    assert contingency(["b", "a", "b"], ["x", "x", "y"]).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(EvidenceError) as caught:
        contingency(["a"], [])
    assert caught.value.reason == "length_mismatch"


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([[1, 2]], "degenerate_table"),
        ([[1, 2], [0, 0]], "degenerate_table"),
        ([[0, 0], [0, 0]], "degenerate_table"),
        ([], "not_counts"),
        ([[1, 2], [3]], "not_counts"),
        ([[1, -1], [2, 2]], "not_counts"),
        ([[1.5, 1], [2, 2]], "not_counts"),
        ([[float("nan"), 1], [2, 2]], "not_counts"),
    ],
)
def test_a_table_without_an_answer_is_refused_by_name(table, reason):
    for measure in (chi_square, cramers_v):
        with pytest.raises(EvidenceError) as caught:
            measure(table)
        assert caught.value.reason == reason
