import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.classes import SOURCES
from cxr_core.curate.quota import allocate, draw
from cxr_core.digests import digest_bytes

AVAILABLE = st.dictionaries(st.sampled_from(SOURCES), st.integers(0, 40), min_size=1)


def digests(source, n):
    return [digest_bytes(f"{source} {i}".encode()) for i in range(n)]


@st.composite
def fillable(draw_value):
    available = draw_value(AVAILABLE)
    return available, draw_value(st.integers(0, sum(available.values())))


@given(fillable())
def test_a_quota_is_filled_exactly_and_as_evenly_as_the_sources_allow(case):
    available, wanted = case
    taken = allocate(available, wanted)
    assert sum(taken.values()) == wanted
    assert all(0 <= taken[source] <= available[source] for source in available)
    # Who still has images to give has given as much as anybody, but for the remainder of the division.
    for giver in available:
        if taken[giver] < available[giver]:
            assert taken[giver] >= max(taken.values()) - 1


def test_a_small_source_gives_all_and_the_rest_share():
    assert allocate({"sirm": 1, "github": 14, "rsna": 300, "kaggle": 1500}, 267) == {
        "sirm": 1,
        "github": 14,
        "rsna": 126,
        "kaggle": 126,
    }


@given(fillable(), st.integers(0, 5))
def test_the_draw_takes_what_was_asked_and_depends_on_the_seed_and_digests_alone(case, seed):
    available, wanted = case
    images = {source: digests(source, n) for source, n in available.items()}
    chosen = draw(images, wanted=wanted, seed=seed)
    assert len(chosen) == wanted
    backwards = {source: list(reversed(images[source])) for source in reversed(images)}
    assert draw(backwards, wanted=wanted, seed=seed) == chosen


def test_null_takes_every_image():
    images = {"sirm": digests("sirm", 3), "kaggle": digests("kaggle", 9)}
    assert draw(images, wanted=None, seed=1) == {*images["sirm"], *images["kaggle"]}


def test_another_seed_draws_others():
    images = {"kaggle": digests("kaggle", 200)}
    assert draw(images, wanted=20, seed=1) != draw(images, wanted=20, seed=2)


@pytest.mark.parametrize("source", SOURCES)
def test_one_image_more_changes_few_draws(source):
    images = {name: digests(name, n) for name, n in (("sirm", 30), ("github", 90), ("rsna", 70), ("kaggle", 120))}
    before = draw(images, wanted=150, seed=7)
    after = draw(images | {source: [*images[source], digest_bytes(b"new")]}, wanted=150, seed=7)
    assert len(before - after) <= 2
