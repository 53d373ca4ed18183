"""The cluster bootstrap: patients move whole, and the interval is as wide as their number asks."""

import numpy as np
import pytest

from cxr_core.errors import EvidenceError
from cxr_core.stats.bootstrap import cluster_replicates, studentised_interval
from cxr_core.stats.clusters import t_quantile


def share_of(values):
    column = np.asarray(values, dtype=float)
    return lambda weights: weights @ column / weights.sum(axis=1)


def interval(values, groups, *, seed=0, resamples=2000):
    statistic, rng = share_of(values), np.random.default_rng(seed)
    (line,) = cluster_replicates(groups, [statistic], resamples=resamples, rng=rng)
    point = float(statistic(np.ones((1, len(values))))[0])
    return studentised_interval(point, line, groups=len(set(groups)), confidence=0.95)


def test_images_of_a_patient_always_move_together():
    groups = ["a", "b", "a", "c", "b", "a"]
    seen = []

    def keep(weights):
        seen.append(weights)
        return weights.sum(axis=1)

    cluster_replicates(groups, [keep], resamples=50, rng=np.random.default_rng(1))
    weights = np.concatenate(seen)
    assert (weights[:, [0]] == weights[:, [2, 5]]).all()
    assert (weights[:, [1]] == weights[:, [4]]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 5


def test_single_image_groups_give_the_binomial_standard_error():
    values = [1] * 160 + [0] * 40
    limits = interval(values, [str(index) for index in range(200)])
    half = t_quantile(0.95, 200) * np.sqrt(0.8 * 0.2 / 199)
    assert limits.low == pytest.approx(0.8 - half, abs=0.012)
    assert limits.high == pytest.approx(0.8 + half, abs=0.012)


def test_copies_of_images_within_a_patient_add_no_certainty():
    values = np.array([1] * 40 + [0] * 10)
    alone = interval(values, [str(index) for index in range(50)])
    copied = interval(np.repeat(values, 8), [str(index // 8) for index in range(400)])
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))


def test_one_seed_one_result_whatever_the_memory_steps():
    values, groups = [1, 0, 1, 1], ["a", "b", "c", "d"]
    assert interval(values, groups, seed=3) == interval(values, groups, seed=3)
    many, apart = list(np.linspace(0, 1, 40)), [str(index) for index in range(40)]
    assert interval(many, apart, seed=3) != interval(many, apart, seed=4)
    big = [f"g{index % 7}" for index in range(3000)]
    replicates = cluster_replicates(big, [share_of(np.ones(3000))], resamples=3001, rng=np.random.default_rng(0))
    assert replicates.shape == (1, 3001)
    assert (replicates == 1).all()


def test_where_no_patient_moves_the_figure_the_limits_are_what_their_number_allows():
    limits = interval(np.full(40, 0.3), [str(index) for index in range(40)])
    away = 1 - 0.025 ** (1 / 40)
    assert (limits.low, limits.high) == (pytest.approx(0.3 - away), pytest.approx(0.3 + away))


def test_too_few_groups_or_defined_samples_are_refused():
    def limits(line, *, groups=9, confidence=0.95):
        return studentised_interval(0.5, np.array(line), groups=groups, confidence=confidence)

    refusals = {
        "too_few_groups": lambda: interval([1, 0], ["a", "a"]),
        "unstable_bootstrap": lambda: limits([0.5] * 94 + [np.nan] * 6),
        "out_of_range": lambda: limits([0.5], confidence=1.0),
    }
    for reason, refused in refusals.items():
        with pytest.raises(EvidenceError) as caught:
            refused()
        assert caught.value.reason == reason
    with pytest.raises(EvidenceError) as caught:
        limits([0.5], groups=1)
    assert caught.value.reason == "too_few_groups"
    with pytest.raises(EvidenceError) as caught:
        cluster_replicates(["a", "b"], [share_of([1, 1])], resamples=0, rng=np.random.default_rng(0))
    assert caught.value.reason == "out_of_range"
