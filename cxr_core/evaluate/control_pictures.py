"""What is left of a picture for a control: pixels in, a few numbers an image out, in which no lung can be read.

Shapes: N images of S × S pixels, F numbers an image.
Law: what a control may not see changes none of its numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cxr_core.imaging.field import chest_box

__all__ = ["CONTROLS", "PictureName", "Remains", "thumbnails"]

PictureName = Literal["rim", "blanked", "thumbnails"]

# Sides of the shrunk pictures and width of the rim, in pixels. The store's own side bounds them.
_RIM_SIDE, _RIM_WIDTH = 64, 4
_BLANKED_SIDE = 32
_THUMBNAIL_SIDE = 8
# Images shrunk at a time: 64 of 1024 × 1024 are 268 MB as float32.
_BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Remains:
    """A control's view: what it sees, in words, and how its numbers are made from the store (N, S, S) to (N, F).

    ``lungs`` says whether lungs are part of what it sees: then what it knows need not be a shortcut.
    """

    sees: str
    lungs: bool
    numbers: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """8 × 8 pictures: (N, 64), each number the mean of its square, [0, 255]."""
    return _shrunk(images, _THUMBNAIL_SIDE).reshape(len(images), _THUMBNAIL_SIDE**2)


def _rim(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = min(_RIM_SIDE, images.shape[1])
    width = max(1, side * _RIM_WIDTH // _RIM_SIDE)
    middle = np.arange(side)
    inner = (middle >= width) & (middle < side - width)
    return _shrunk(images, side)[:, ~(inner[:, None] & inner[None, :])]


def _blanked(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    side = min(_BLANKED_SIDE, images.shape[1])
    outside = ~chest_box(images.shape[1])
    # Blanked before it is shrunk, so that no square takes in a pixel of the box.
    return _shrunk(images, side, keep=outside)[:, _any_kept(outside, side)]


CONTROLS: dict[PictureName, Remains] = {
    "rim": Remains(sees="the outermost sixteenth on each side, 4 of 64 pixels", lungs=False, numbers=_rim),
    "blanked": Remains(
        sees="what lies outside the box that holds the lungs, at 32 × 32 pixels", lungs=False, numbers=_blanked
    ),
    "thumbnails": Remains(sees="the whole picture at 8 × 8 pixels", lungs=True, numbers=thumbnails),
}


def _shrunk(images: NDArray[np.uint8], side: int, *, keep: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Means over squares: (N, side, side); pixels outside ``keep`` (S, S) count as black."""
    means = _means(images.shape[1], side)
    out = np.empty((len(images), side, side), dtype=np.float32)
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH].astype(np.float32)
        out[start : start + _BATCH] = means @ (part if keep is None else part * keep) @ means.T
    return out


def _means(size: int, side: int) -> NDArray[np.float32]:
    """Weights (side, size) of the pixels of one line in each of ``side`` equal parts of it; each sums to 1."""
    edges = np.linspace(0, size, side + 1)
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.clip(covered, 0, 1) * side / size).astype(np.float32)


def _any_kept(keep: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    means = _means(len(keep), side)
    return means @ keep.astype(np.float32) @ means.T > 0
