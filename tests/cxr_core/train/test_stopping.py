"""Which epoch is kept, and when enough is enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.train.progress import EpochResult
from cxr_core.train.stopping import exhausted, kept_epoch, refit_epochs


def _epochs(losses: list[float | None]) -> list[EpochResult]:
    return [
        EpochResult(epoch=number, train_loss=1.0, val_loss=loss, error_rate=None, images_per_second=1.0, seconds=1.0)
        for number, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("losses", "patience", "kept", "stops"),
    [
        ([3.0, 2.0, 1.0], 1, 3, False),
        ([1.0, 2.0], 1, 1, True),
        ([1.0, 2.0], 2, 1, False),
        ([1.0, 2.0, 0.5, 0.6], 2, 3, False),
        ([1.0, 1.0, 1.0], 2, 1, True),
        ([1.0, 2.0, 3.0], None, 3, False),
        ([None, None, None], 1, 3, False),
    ],
)
def test_the_first_lowest_loss_is_kept_and_patience_is_counted_from_it(losses, patience, kept, stops) -> None:
    assert kept_epoch(_epochs(losses), patience) == kept
    assert exhausted(_epochs(losses), patience) is stops


def test_nothing_is_exhausted_before_it_began() -> None:
    assert not exhausted([], 1)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.integers(1, 5))
def test_the_kept_epoch_has_the_lowest_loss_and_is_at_most_patience_old_until_it_stops(losses, patience) -> None:
    for n in range(1, len(losses) + 1):
        finished = _epochs(losses[:n])
        kept = kept_epoch(finished, patience)
        assert losses[kept - 1] == min(losses[:n])
        if exhausted(finished, patience):
            assert n - kept == patience
            break
        assert n - kept < patience


@pytest.mark.parametrize(("kept", "epochs"), [([4], 4), ([1, 9, 3], 3), ([2, 3, 8, 9], 8)])
def test_a_refit_trains_for_the_median_of_what_the_folds_kept(kept, epochs) -> None:
    assert refit_epochs(kept) == epochs
