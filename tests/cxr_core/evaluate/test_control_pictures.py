"""What controls may not see changes nothing that they see; what they see is what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.evaluate.control_pictures import CONTROLS, thumbnails
from cxr_core.imaging.field import chest_box, lung_field


def pictures(seed=0, n=3, size=64):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size), dtype=np.uint8)


@settings(max_examples=12)
@given(st.sampled_from([32, 64, 100]), st.integers(0, 99))
@pytest.mark.parametrize("name", ["rim", "blanked"])
def test_nothing_that_is_done_to_the_lungs_can_be_seen(name, size, seed):
    before = pictures(seed, size=size)
    after = before.copy()
    after[:, lung_field(size)] = 255 - after[:, lung_field(size)]
    numbers = CONTROLS[name].numbers
    assert (numbers(before) == numbers(after)).all()
    outside = before.copy()
    outside[:, 0, :] = 255 - outside[:, 0, :]
    assert not (numbers(before) == numbers(outside)).all()


def test_a_thumbnail_is_the_mean_of_each_square():
    images = pictures(size=64)
    means = images.reshape(3, 8, 8, 8, 8).mean(axis=(2, 4)).reshape(3, -1)
    np.testing.assert_allclose(thumbnails(images), means, rtol=1e-5)


def test_squares_that_cut_pixels_still_hold_all_of_them_once():
    images = pictures(size=100)
    np.testing.assert_allclose(thumbnails(images).mean(axis=1), images.mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize(("name", "numbers"), [("rim", 64 * 64 - 56 * 56), ("thumbnails", 64)])
def test_there_are_as_many_numbers_as_pixels_seen(name, numbers):
    assert CONTROLS[name].numbers(pictures(size=224)).shape == (3, numbers)
    assert CONTROLS[name].numbers(pictures(n=0, size=224)).shape == (0, numbers)


def test_a_picture_smaller_than_the_controls_own_side_has_a_rim_still():
    assert CONTROLS["rim"].numbers(pictures(size=32)).shape == (3, 32 * 32 - 28 * 28)


def test_the_box_holds_the_lungs_and_leaves_a_third_of_the_picture():
    for size in (32, 224):
        assert not (lung_field(size) & ~chest_box(size)).any()
    assert chest_box(224).mean() == pytest.approx(0.84 * 0.82, abs=0.02)
    assert lung_field(224).mean() == pytest.approx(2 * np.pi * 0.17 * 0.33, abs=0.01)
