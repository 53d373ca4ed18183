"""Each kind of broken or hostile picture is refused by its own reason, whatever the draw."""

import numpy as np
import pytest

from cxr_core.errors import ImageError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.faults import ImageFault
from tests.hostile.dicoms import DICOMS
from tests.hostile.good import GOOD
from tests.hostile.pictures import PICTURES

KINDS = [*PICTURES.values(), *DICOMS.values()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_refused_by_its_reason(kind):
    for seed in (1, 2):
        with pytest.raises(ImageError) as caught:
            decode(kind.make(np.random.default_rng(seed)))
        assert caught.value.reason == kind.reason


def test_every_reason_of_a_picture_has_a_kind():
    # What no bytes are known to bring about: that a library fails in a way that nobody foresaw.
    assert {kind.reason for kind in KINDS} == set(ImageFault) - {ImageFault.DECODER_FAILED}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_gives_its_picture(name):
    _, make = GOOD[name]
    for seed in (1, 2, 3):
        pixels = decode(make(np.random.default_rng(seed))).pixels
        assert pixels.dtype == np.uint8
        assert min(pixels.shape) >= 16
