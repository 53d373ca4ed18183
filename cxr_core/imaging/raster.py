"""PNG and JPEG bytes to grey pixels, whatever the bytes claim to be.

Laws: the result is uint8 (H, W), upright, 0 black; a file cut short either raises or gives exactly the pixels of the
whole file; no decoder but Pillow's PNG and JPEG is ever reached; nothing is decompressed before its size is known.

Shapes: H, W pixels of the upright picture.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cxr_core.errors import ImageError
from cxr_core.imaging.faults import ImageFault, refuse

__all__ = ["MAX_PIXELS", "MIN_SIDE_PIXELS", "check_shape", "full_range", "is_raster", "read_raster"]

# The largest digitised film in use, 35 x 43 cm at 50 micrometres, has 60 million.
MAX_PIXELS = 64_000_000
MIN_SIDE_PIXELS = 16

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_EXIF_ORIENTATION = 0x0112
# What Pillow's two decoders raise on damaged bytes, collected from its source and by cutting and flipping files.
_PILLOW_FAULTS = (OSError, SyntaxError, ValueError, EOFError, LookupError, OverflowError, struct.error, zlib.error)


def is_raster(data: bytes) -> bool:
    """Whether the bytes begin as PNG or JPEG do."""
    return data.startswith((_PNG_MAGIC, _JPEG_MAGIC))


def read_raster(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Grey pixels (H, W) and the mode of the file (``RGBA``, ``L``, ``I;16`` ...).

    Colour becomes grey by ITU-R 601 luma, as in Pillow; transparent pixels become black, the value of air, since white
    would draw a bright frame that no X-ray has; more than 8 bits are spread from the darkest to the brightest pixel.

    Raises:
        ImageError: The bytes are damaged, hold several frames, or are too large or too small.
    """
    try:
        if data.startswith(_PNG_MAGIC):
            # Pillow decodes past a wrong checksum; only verify() looks at them.
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                image.verify()
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise refuse(ImageFault.SEVERAL_FRAMES, "Expected one picture, found several frames.")
            check_shape(height=image.height, width=image.width)
            mode = image.mode
            image.load()
            return _grey(_upright(image)), mode
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refuse(ImageFault.TOO_LARGE, f"Expected at most {MAX_PIXELS} pixels: {error}") from error
    except _PILLOW_FAULTS as error:
        raise _damage(error) from error


def check_shape(*, height: int, width: int) -> None:
    """Refuse a picture by its size, before it is decompressed.

    Raises:
        ImageError: More than ``MAX_PIXELS`` pixels, or a side under ``MIN_SIDE_PIXELS``.
    """
    found = f"found {width} x {height}"
    if height * width > MAX_PIXELS:
        raise refuse(ImageFault.TOO_LARGE, f"Expected at most {MAX_PIXELS} pixels, {found}.")
    if min(height, width) < MIN_SIDE_PIXELS:
        raise refuse(ImageFault.TOO_SMALL, f"Expected sides of at least {MIN_SIDE_PIXELS} pixels, {found}.")


def full_range(values: NDArray[np.float64], *, low: float, high: float) -> NDArray[np.uint8]:
    """Spread ``low`` .. ``high`` over 0 .. 255, clipping what lies outside; all black where the two are equal."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _upright(image: Image.Image) -> Image.Image:
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _DEEP_MODES:
        values = np.asarray(image).astype(np.float64)
        return full_range(values, low=float(values.min()), high=float(values.max()))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    # By way of RGB, because Pillow has no direct conversion from some modes (CMYK, palettes with odd sizes).
    grey = image if image.mode == "L" else image.convert("RGB").convert("L")
    return np.array(grey, dtype=np.uint8)


def _damage(error: Exception) -> ImageError:
    words = " ".join(str(error).split()) or type(error).__name__
    # Pillow has no error type of its own for a short file; these are its words in PngImagePlugin and ImageFile.
    short = any(word in words.lower() for word in ("truncated", "unexpected end", "not enough data", "incomplete"))
    fault = ImageFault.TRUNCATED if short or isinstance(error, EOFError) else ImageFault.CORRUPT
    return refuse(fault, f"The picture cannot be decoded: {words}.", hint="Fetch the file again from its source.")
