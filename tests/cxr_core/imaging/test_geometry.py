"""Resizing is torchvision's, and its result is pinned."""

from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from cxr_core.digests import digest_bytes
from cxr_core.imaging.geometry import resize
from tests.cxr_core.imaging.pictures import ramp

# Pillow 12 and 13; another value means that every store, and every model trained on one, would change.
GOLDEN = "sha256:98a02babc4824a4c223f7d46a7c1dfa9ea26c937b5f2dd8a3d333fe07a279336"


@pytest.mark.parametrize(("height", "width", "size"), [(300, 200, 64), (40, 56, 64), (64, 64, 64), (1000, 37, 32)])
def test_it_is_what_torchvision_makes_of_a_grey_image(height, width, size):
    # In this order: the first makes the second importable beside a CPU-only torch.
    import_module("cxr_core.model.vision")
    transforms = import_module("torchvision.transforms")
    pixels = np.random.default_rng(1).integers(0, 256, (height, width)).astype(np.uint8)
    theirs = np.asarray(transforms.Resize((size, size))(Image.fromarray(pixels)))
    assert np.array_equal(resize(pixels, size), theirs)


def test_golden_pixels():
    small = resize(ramp(height=100, width=150), 32)
    assert small.shape == (32, 32)
    assert small.dtype == np.uint8
    assert digest_bytes(small.tobytes()) == GOLDEN


def test_a_picture_of_the_right_size_is_left_alone_and_not_shared():
    pixels = ramp(height=48, width=48)
    same = resize(pixels, 48)
    assert np.array_equal(same, pixels)
    same[0, 0] = 99
    assert pixels[0, 0] == 0
