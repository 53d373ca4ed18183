"""Differences of two drafts: by formula or drawn, the same turned round, and a reason where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import Draft, auc, macro_auc, proportion
from cxr_core.evaluate.estimates import draw
from tests.cxr_core.evaluate.examples import predictions

SURE = {"confidence": 0.95}


def side(strength: float, n: int = 90, *, groups: int = 1000) -> Arrays:
    rows = predictions(n, strength=strength)
    return Arrays.of([replace(row, group=str(number % groups)) for number, row in enumerate(rows)])


def accuracy(arrays: Arrays) -> Draft:
    return proportion(arrays.correct, np.ones(len(arrays.label), dtype=bool), arrays.patients, **SURE)


@pytest.mark.parametrize("figure", [lambda arrays: auc(arrays, 0, **SURE), lambda arrays: macro_auc(arrays, **SURE)])
def test_of_areas_the_limits_come_by_formula_and_turn_round(figure) -> None:
    mine, theirs = figure(side(2.0)), figure(side(1.0))
    there, back = (difference(*pair, side(2.0).patients, **SURE) for pair in ((mine, theirs), (theirs, mine)))
    assert (there.method, there.n, there.value) == ("cluster_delong", 90, mine.value - theirs.value)
    assert there.clustered.low < there.value < there.clustered.high
    assert (there.clustered.low, there.clustered.high) == pytest.approx((-back.clustered.high, -back.clustered.low))
    # Paired, it is surer than two figures apart.
    apart = sum((each.clustered.high - each.clustered.low) ** 2 for each in (mine, theirs)) ** 0.5
    assert there.clustered.high - there.clustered.low < apart


def test_of_shares_they_are_drawn() -> None:
    mine, theirs = accuracy(side(2.0)), accuracy(side(1.0))
    found = difference(mine, theirs, side(2.0).patients, **SURE)
    assert (found.method, found.clustered) == ("cluster_bootstrap", None)
    groups = [str(number) for number in range(90)]
    settled = draw({"d": found}, groups, confidence=0.95, resamples=200, seed=1)["d"]
    assert settled.value == pytest.approx(mine.value - theirs.value)
    assert settled.low < settled.value < settled.high


def test_the_same_model_leaves_nothing_to_doubt() -> None:
    one = macro_auc(side(1.0), **SURE)
    found = difference(one, one, side(1.0).patients, same=True, **SURE)
    assert (found.value, found.clustered.low, found.clustered.high) == (0, 0, 0)


def test_what_a_side_has_not_the_difference_has_not_and_says_why() -> None:
    few, one_patient = side(1.0, 2), side(1.0, groups=1)
    none = difference(auc(few, 0, **SURE), auc(few, 0, **SURE), few.patients, **SURE)
    assert (none.method, none.value) == ("cluster_delong", None)
    assert "on each side" in none.why
    without = difference(auc(one_patient, 0, **SURE), auc(one_patient, 0, **SURE), one_patient.patients, **SURE)
    assert without.clustered is None
    assert "at least 2" in without.why
    with pytest.raises(ValueError, match="two drafts"):
        difference(macro_auc(side(1.0), **SURE), accuracy(side(1.0)), side(1.0).patients, **SURE)
