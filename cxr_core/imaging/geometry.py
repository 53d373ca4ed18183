"""The one way a picture gets the network's size: preparing the store and serving call this; nobody else resizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["resize"]


def resize(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash a picture to a square, antialiased bilinear.

    Bit for bit what ``torchvision.transforms.Resize((size, size))`` makes of a grey Pillow image. The aspect ratio is
    not kept, as in the paper.

    Args:
        pixels: uint8 (H, W).
        size: Side of the square, in pixels, at least 1.

    Returns:
        uint8 (size, size).
    """
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)
