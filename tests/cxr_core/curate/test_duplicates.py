from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.curate import duplicates, neighbours
from cxr_core.curate.duplicates import find_joins, find_pairs, hash_values
from cxr_core.curate.groups import components


def pictures(seed, n):
    """Thumbnails that resemble each other in part, and hashes a few bits apart; some of one tone."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (3, 64, 64))
    grain = rng.integers(0, 256, (n, 64, 64))
    weight = rng.choice([0.0, 0.02, 0.1, 0.2, 1.0], (n, 1, 1))
    thumbnails = (base[rng.integers(0, 3, n)] * (1 - weight) + grain * weight).astype(np.uint8)
    thumbnails[rng.random(n) < 0.1] = 7
    flips = np.where(rng.random((n, 64)) < 0.06, np.uint64(1), np.uint64(0)) << np.arange(64, dtype=np.uint64)
    return np.uint64(0x5A5A5A5A5A5A5A5A) ^ np.bitwise_xor.reduce(flips, axis=1), thumbnails


def names(n):
    return [f"sha256:{i:064x}" for i in range(n)]


def near_by_definition(hashes, thumbnails, max_hamming, min_correlation):
    found = {}
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            textured = thumbnails[i].std() > 0 and thumbnails[j].std() > 0
            if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= max_hamming and textured:
                r = np.corrcoef(thumbnails[i].ravel(), thumbnails[j].ravel())[0, 1]
                if r >= min_correlation:
                    found[i, j] = r
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 20), st.sampled_from([0.0, 0.5, 0.9, 0.97, 0.995]))
def test_the_search_finds_exactly_the_pairs_of_the_definition(seed, n, max_hamming, min_correlation):
    hashes, thumbnails = pictures(seed, n)
    pairs = find_pairs(names(n), names(n), hashes, thumbnails, max_hamming=max_hamming, min_correlation=min_correlation)
    expected = near_by_definition(hashes, thumbnails, max_hamming, min_correlation)
    assert {(pair.first, pair.second) for pair in pairs} == set(expected)
    for pair in pairs:
        assert pair.kind == "near"
        assert pair.correlation == pytest.approx(expected[pair.first, pair.second])
        assert pair.hamming == (int(hashes[pair.first]) ^ int(hashes[pair.second])).bit_count()


def test_tiles_and_chunks_smaller_than_the_data_change_nothing(monkeypatch):
    hashes, thumbnails = pictures(5, 60)
    bounds = {"max_hamming": 12, "min_correlation": 0.9}
    whole = find_pairs(names(60), names(60), hashes, thumbnails, **bounds)
    assert len(whole) > 10
    for name, value in (("_TILE_ROWS", 3), ("_TILE_COLUMNS", 7)):
        monkeypatch.setattr(neighbours, name, value)
    for name, value in (("_PICTURES", 2), ("_BOUNDED", 5), ("_CONFIRMED", 3)):
        monkeypatch.setattr(duplicates, name, value)
    assert find_pairs(names(60), names(60), hashes, thumbnails, **bounds) == whole


def parts(n, pairs):
    members = defaultdict(set)
    for row, number in enumerate(components(n, [(pair.first, pair.second) for pair in pairs]).tolist()):
        members[number].add(row)
    return sorted(map(sorted, members.values()))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0.9, 0.97]), st.integers(1, 40))
def test_joins_give_the_clusters_of_all_pairs_and_close_no_circle(seed, n, min_correlation, batch):
    hashes, thumbnails = pictures(seed, n)
    files, pixels = [f"f{i % 50}" for i in range(n)], [f"p{i % 50 % 45}" for i in range(n)]
    for row in range(n):
        hashes[row], thumbnails[row] = hashes[row % 50 % 45], thumbnails[row % 50 % 45]
    bounds = {"max_hamming": 12, "min_correlation": min_correlation}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BOUNDED", batch)
        patch.setattr(duplicates, "_CONFIRMED", 1 + batch // 4)
        joins = find_joins(files, pixels, hashes, thumbnails, **bounds)
    pairs = find_pairs(files, pixels, hashes, thumbnails, **bounds)
    assert parts(n, joins) == parts(n, pairs)
    assert len(joins) == n - len(parts(n, pairs))
    assert set(joins) <= set(pairs)


def test_thousands_of_versions_of_one_picture_are_joined_without_naming_every_pair():
    n = 4000
    grain = np.random.default_rng(0).normal(0, 3, (n, 64, 64))
    thumbnails = np.clip(np.linspace(20, 220, 64)[:, None] + grain, 0, 255).astype(np.uint8)
    bounds = {"max_hamming": 8, "min_correlation": 0.97}
    joins = find_joins(names(n), names(n), np.full(n, 5, dtype=np.uint64), thumbnails, **bounds)
    assert len(joins) == n - 1
    assert len(parts(n, joins)) == 1


def test_thumbnails_may_lie_on_disk(tmp_path):
    hashes, thumbnails = pictures(8, 40)
    np.save(tmp_path / "thumbnails.npy", thumbnails)
    on_disk = np.load(tmp_path / "thumbnails.npy", mmap_mode="r")
    bounds = {"max_hamming": 12, "min_correlation": 0.9}
    pairs = find_pairs(names(40), names(40), hashes, thumbnails, **bounds)
    assert find_pairs(names(40), names(40), hashes, on_disk, **bounds) == pairs != []


@given(st.integers(0, 2**32), st.sampled_from([0, 1, 127, 255]))
@settings(max_examples=15, deadline=None)
def test_a_sketch_never_says_less_than_the_correlation(seed, level):
    _, thumbnails = pictures(seed, 12)
    rng = np.random.default_rng(seed)
    # One tone, one tone but for a pixel, and two tones: the least that can be textured.
    thumbnails[0], thumbnails[1], thumbnails[2] = level, level, rng.choice([0, 255], (64, 64))
    thumbnails[1, 5, 7] ^= 1
    sketches = duplicates._sketches(np.arange(12), thumbnails).astype(np.float64)
    for i in range(12):
        assert sketches[i].any() == (thumbnails[i].std() > 0)
        for j in range(i):
            if thumbnails[i].std() > 0 and thumbnails[j].std() > 0:
                r = np.corrcoef(thumbnails[i].ravel(), thumbnails[j].ravel())[0, 1]
                assert sketches[i] @ sketches[j] >= r - duplicates._SLACK


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_clusters_do_not_depend_on_the_order_of_rows(seed, random):
    hashes, thumbnails = pictures(seed, 20)
    pixels = [f"sha256:{i % 17:064x}" for i in range(20)]
    hashes[17:], thumbnails[17:] = hashes[:3], thumbnails[:3]
    order = list(range(20))
    random.shuffle(order)

    def clusters(rows):
        pairs = find_pairs(
            [names(20)[i] for i in rows],
            [pixels[i] for i in rows],
            hashes[rows],
            thumbnails[rows],
            max_hamming=8,
            min_correlation=0.9,
        )
        members = defaultdict(set)
        for row, number in zip(rows, components(20, [(p.first, p.second) for p in pairs]), strict=True):
            members[number].add(row)
        return sorted(map(sorted, members.values()))

    assert clusters(order) == clusters(list(range(20)))


def test_equal_bytes_and_equal_pixels_are_pairs_whatever_the_hash_says():
    hashes, thumbnails = np.array([0, 2**63, 5, 9], dtype=np.uint64), np.zeros((4, 64, 64), dtype=np.uint8)
    pairs = find_pairs(
        ["a", "a", "b", "c"], ["p", "p", "p", "q"], hashes, thumbnails, max_hamming=0, min_correlation=0.9
    )
    assert [(pair.first, pair.second, pair.kind) for pair in pairs] == [(0, 1, "bytes"), (0, 2, "pixels")]


def test_many_copies_of_one_file_give_a_star_not_every_pair():
    n = 3000
    hashes, thumbnails = np.zeros(n, dtype=np.uint64), np.broadcast_to(pictures(0, 1)[1], (n, 64, 64))
    pairs = find_pairs(["a"] * n, ["p"] * n, hashes, thumbnails, max_hamming=6, min_correlation=0.9)
    assert len(pairs) == n - 1


def test_hashes_are_read_as_64_bits():
    assert hash_values(["ffffffffffffffff", "0000000000000001"]).tolist() == [2**64 - 1, 1]
