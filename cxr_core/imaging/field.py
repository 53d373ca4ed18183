"""Where lungs lie in a frontal chest film: two fixed ellipses, and a box that holds all of both. No segmentation.

Both are the same for every image. In a film that shows a whole chest most of the lungs lie in the ellipses and all of
them in the box, and of a film that shows less, or more, both are wrong. So a share of anything inside the ellipses
means little by itself, and is told beside the share of the picture that they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chest_box", "lung_field"]

# Centre across and down, half axes across and down, each as a share of the side.
_LUNGS = ((0.31, 0.44, 0.17, 0.33), (0.69, 0.44, 0.17, 0.33))
# Left, right, top and bottom, the same.
_BOX = (0.08, 0.92, 0.06, 0.88)


def lung_field(size: int) -> NDArray[np.bool_]:
    """The two ellipses: True inside (S, S).

    Args:
        size: Side of the picture S, in pixels.
    """
    middle = (np.arange(size) + 0.5) / size
    across, down = middle[None, :], middle[:, None]
    inside = np.zeros((size, size), dtype=np.bool_)
    for x, y, half_width, half_height in _LUNGS:
        inside |= ((across - x) / half_width) ** 2 + ((down - y) / half_height) ** 2 <= 1
    return inside


def chest_box(size: int) -> NDArray[np.bool_]:
    """The box: True inside (S, S). Outside it are shoulders, arms, belly, air and what is written on the film.

    Args:
        size: Side of the picture S, in pixels.
    """
    left, right, top, bottom = _BOX
    middle = (np.arange(size) + 0.5) / size
    return ((middle > top) & (middle < bottom))[:, None] & ((middle > left) & (middle < right))[None, :]
