"""Failures are shown beside successes, as many where there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cxr_core.explain.halves import half_wrong


@given(right=st.integers(0, 20), wrong=st.integers(0, 20), limit=st.integers(1, 12))
def test_half_are_wrong_where_there_are_enough_and_no_place_stays_empty(right: int, wrong: int, limit: int) -> None:
    shown = half_wrong([f"right {n}" for n in range(right)], [f"wrong {n}" for n in range(wrong)], limit=limit)
    failures = [one for one in shown if one.startswith("wrong")]
    assert len(shown) == min(limit, right + wrong)
    assert len(failures) >= min(wrong, limit // 2)
    assert len(shown) - len(failures) >= min(right, limit - limit // 2)
    # Right ones first, each half in its own order.
    assert shown == [f"right {n}" for n in range(len(shown) - len(failures))] + [
        f"wrong {n}" for n in range(len(failures))
    ]
