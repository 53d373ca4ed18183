"""One image under its map, as a PNG: what ``cxr predict --explain`` leaves beside a prediction."""

from __future__ import annotations

import io

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

__all__ = ["overlay_png"]

_OPACITY = 0.65


def overlay_png(pixels: NDArray[np.uint8], heat: NDArray[np.float64]) -> bytes:
    """The image on the left, the same under its map (dark to bright: weak to strong evidence) on the right.

    Args:
        pixels: uint8 (S, S).
        heat: (S, S) in [0, 1]; where it is 0 the image shows unchanged.
    """
    grey = np.repeat(pixels[..., None], 3, axis=2).astype(np.float64)  # (S, S, 3)
    colour = colormaps["inferno"](np.clip(heat, 0, 1))[..., :3] * 255.0
    alpha = np.clip(heat, 0, 1)[..., None] * _OPACITY
    mixed = grey * (1 - alpha) + colour * alpha
    out = io.BytesIO()
    Image.fromarray(np.concatenate([grey, mixed], axis=1).round().astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()
