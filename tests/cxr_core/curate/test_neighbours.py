import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.curate import neighbours
from cxr_core.curate.neighbours import close_pairs, plan

UNIFORM, CLUMPY, ONE_CLUMP, FEW_VALUES = "uniform", "clumpy", "one clump", "few values"
KINDS = (UNIFORM, CLUMPY, ONE_CLUMP, FEW_VALUES)


def hashes(kind, seed, n):
    """Hashes as they may be met, from none alike to all alike."""
    rng = np.random.default_rng(seed)
    free = rng.integers(0, 2**64, n, dtype=np.uint64)
    if kind == UNIFORM:
        return free
    if kind == FEW_VALUES:
        return rng.choice(free[: max(1, n // 10)], n)
    # Each bit flips with a chance of its own around a centre; X-rays have several centres, blank pictures one.
    centres = free[: 1 if kind == ONE_CLUMP else 5]
    chances = rng.uniform(0, 0.1 if kind == ONE_CLUMP else 0.5, 64)
    flips = (rng.random((n, 64)) < chances) @ (np.uint64(1) << np.arange(64, dtype=np.uint64))
    return rng.choice(centres, n) ^ flips.astype(np.uint64)


def found(values, max_hamming):
    """The pairs as a sorted list, so that a pair that comes twice is seen."""
    return sorted(
        (int(a), int(b)) for one, other in close_pairs(values, max_hamming) for a, b in zip(one, other, strict=True)
    )


def by_definition(values, max_hamming):
    distance = np.bitwise_count(values[:, None] ^ values[None, :])
    a, b = np.nonzero(np.triu(distance <= max_hamming, k=1))
    return sorted(zip(a.tolist(), b.tolist(), strict=True))


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(0, 150), st.integers(0, 64))
def test_every_pair_within_the_bound_is_found_once_and_no_other(kind, seed, n, max_hamming):
    values = hashes(kind, seed, max(n, 1))[:n]
    assert found(values, max_hamming) == by_definition(values, max_hamming)


@settings(max_examples=25)
@given(st.sampled_from(KINDS), st.integers(0, 2**32), st.integers(2, 120), st.integers(0, 14), st.integers(3, 9))
def test_whatever_the_plan_the_pairs_are_the_same(kind, seed, n, max_hamming, pieces):
    values = hashes(kind, seed, n)
    order = neighbours._most_telling_first(values)
    cut = neighbours._cut(order, pieces, max_hamming)
    # Wide pieces with a large radius are probed too often to be of use, and to be tested.
    if any(piece.probes > 3000 for piece in cut):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "plan", lambda *_: cut)
        patch.setattr(neighbours, "_BATCH", 64)
        assert found(values, max_hamming) == by_definition(values, max_hamming)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", range(3, 10))
def test_a_plan_shares_out_all_bits_and_leaves_no_distance_unsearched(kind, count):
    values = hashes(kind, 1, 500)
    pieces = neighbours._cut(neighbours._most_telling_first(values), count, 8)
    assert sorted(bit for piece in pieces for bit in piece.bits) == list(range(64))
    assert sum(piece.radius + 1 for piece in pieces) == 8 + 1


def test_bits_that_all_hashes_share_are_not_dealt_to_one_piece():
    values = hashes(UNIFORM, 2, 500) & np.uint64(0xFFFF_FFFF)
    for piece in neighbours._cut(neighbours._most_telling_first(values), 4, 8):
        assert sum(bit >= 32 for bit in piece.bits) == 8


@pytest.mark.parametrize("kind", [UNIFORM, CLUMPY])
def test_many_rows_are_searched_by_an_index_and_lose_nothing(kind):
    n, bound = 30_000, 8
    values = hashes(kind, 3, n)
    rng = np.random.default_rng(4)
    for row in range(0, 400, 2):
        flipped = rng.choice(64, int(rng.integers(0, bound + 1)), replace=False)
        values[row + 1] = values[row] ^ np.bitwise_or.reduce(
            np.uint64(1) << flipped.astype(np.uint64), initial=np.uint64(0)
        )
    assert plan(values, bound)

    def numbered(batches):
        return np.sort(np.concatenate([one * n + other for one, other in batches]))

    pairs = numbered(close_pairs(values, bound))
    assert np.array_equal(pairs, numbered(neighbours._exhaustive(values, bound)))
    assert set(np.arange(0, 400, 2) * n + np.arange(1, 401, 2)) <= set(pairs.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_is_never_dearer_than_comparing_all(kind):
    values = hashes(kind, 5, 2000)
    assert plan(values[:1], 8) == plan(values[:0], 8) == ()
    # Where every pair is close, an index would only be in the way.
    assert plan(values, 64) == ()


def test_a_batch_of_pairs_stays_small_however_many_there_are(monkeypatch):
    monkeypatch.setattr(neighbours, "_BATCH", 1000)
    values = hashes(FEW_VALUES, 6, 3000)
    cut = neighbours._cut(neighbours._most_telling_first(values), 4, 4)
    monkeypatch.setattr(neighbours, "plan", lambda *_: cut)
    sizes = [len(one) for one, _ in close_pairs(values, 4)]
    assert sum(sizes) > 10_000
    # One row's neighbours at most are added to a full batch.
    assert max(sizes) <= 1000 + len(values)


def test_no_hashes_have_no_pairs():
    assert found(np.zeros(0, dtype=np.uint64), 8) == found(np.zeros(1, dtype=np.uint64), 8) == []
