"""What tells whether two files show one picture: exactly (a digest), nearly (a perceptual hash and a thumbnail)."""

from __future__ import annotations

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_core.digests import digest_bytes
from cxr_core.imaging.geometry import resize

__all__ = ["THUMBNAIL_PIXELS", "perceptual_hash", "pixel_digest", "thumbnail"]

THUMBNAIL_PIXELS = 64


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """``sha256:<hex>`` over shape and values of uint8 (H, W): equal for one picture in two lossless files."""
    height, width = pixels.shape
    return digest_bytes(f"grey8 {height} {width}\n".encode() + np.ascontiguousarray(pixels).tobytes())


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """64 bits of the picture's lowest 8 x 8 cosine frequencies against their median (ImageHash's ``phash``).

    Two encodings or sizes of one picture differ in few bits; the first bit of the hash is its most significant.
    """
    return int(str(imagehash.phash(Image.fromarray(pixels))), 16)


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (64, 64), by which a match of perceptual hashes is confirmed."""
    return resize(pixels, THUMBNAIL_PIXELS)
