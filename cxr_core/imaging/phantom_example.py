"""One phantom as the bytes of a PNG: what a served model shows as its input example, where no patient may stand."""

from __future__ import annotations

from cxr_core.imaging.phantom_files import png
from cxr_core.imaging.phantom_studio import Studio

__all__ = ["example_image"]

_SEED = 2021
_SIZE = 256


def example_image() -> bytes:
    """A grey PNG of a phantom with clear lungs, about 256 × 256 pixels; always the same bytes on one machine."""
    studio = Studio(seed=_SEED, size=_SIZE)
    return png(studio.shot("rsna", "normal", patient=1, number=1).pixels)
