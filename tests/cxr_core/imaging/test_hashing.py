"""Digests tell exact copies, perceptual hashes near ones."""

import io

import imagehash
import numpy as np
from PIL import Image

from cxr_core.imaging.decode import decode
from cxr_core.imaging.hashing import perceptual_hash, pixel_digest, thumbnail
from cxr_core.imaging.phantom_studio import Studio
from tests.cxr_core.imaging.pictures import encoded, png, ramp

CHEST = Studio(seed=4, size=160).shot("rsna", "normal", patient=1, number=1).pixels


def test_two_lossless_files_of_one_picture_have_one_pixel_digest():
    grey, colour = png(CHEST), encoded(Image.fromarray(CHEST).convert("RGB"))
    assert grey != colour
    assert pixel_digest(decode(grey).pixels) == pixel_digest(decode(colour).pixels)


def test_shape_and_every_pixel_enter_the_digest():
    pixels = ramp()
    changed = pixels.copy()
    changed[3, 5] ^= 1
    digests = {pixel_digest(p) for p in (pixels, changed, pixels.T, pixels.reshape(56, 40), pixels[:-1])}
    assert len(digests) == 5


def test_memory_layout_does_not_enter_the_digest():
    pixels = ramp()
    assert pixel_digest(np.asfortranarray(pixels)) == pixel_digest(pixels)


def test_the_hash_is_imagehash_s_bits_most_significant_first():
    theirs = imagehash.phash(Image.fromarray(CHEST)).hash.ravel()
    ours = perceptual_hash(CHEST)
    assert [bool(ours >> (63 - place) & 1) for place in range(64)] == theirs.tolist()


def test_another_encoding_and_size_stay_near():
    small = Image.fromarray(CHEST).resize((110, 128), Image.Resampling.LANCZOS)
    again = np.asarray(Image.open(io.BytesIO(encoded(small, "JPEG", quality=60))))
    assert (perceptual_hash(CHEST) ^ perceptual_hash(again)).bit_count() <= 4
    assert np.corrcoef(thumbnail(CHEST).ravel(), thumbnail(again).ravel())[0, 1] > 0.99


def test_another_chest_is_far():
    other = Studio(seed=5, size=160).shot("rsna", "normal", patient=1, number=1).pixels
    assert (perceptual_hash(CHEST) ^ perceptual_hash(other)).bit_count() > 14
