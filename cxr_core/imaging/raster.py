"""PNG and JPEG bytes to grey pixels, whatever the bytes claim to be.

Laws: the result is uint8 (H, W), upright, 0 black; a file cut short either raises or gives exactly the pixels of the
whole file; no decoder but Pillow's PNG and JPEG is ever reached, and those see nothing but what draws the picture;
nothing is decompressed before its size is known; beside Pillow's own buffer, memory is one byte a pixel.

Shapes: H, W pixels of the upright picture.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr_core.errors import ImageError
from cxr_core.imaging.exif import orientation, upright
from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.jpeg import JPEG_MAGIC, read_jpeg
from cxr_core.imaging.png import PNG_MAGIC, read_png
from cxr_core.imaging.png_rows import check_rows, unpacked

__all__ = ["MAX_PIXELS", "MIN_SIDE_PIXELS", "check_shape", "full_range", "is_raster", "read_raster"]

# The largest digitised film in use, 35 x 43 cm at 50 micrometres, has 60 million.
MAX_PIXELS = 64_000_000
MIN_SIDE_PIXELS = 16

_DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
# Pixels turned grey at a time, so that what is made on the way stays small beside the picture.
_BAND_PIXELS = 1 << 20
# What Pillow's two decoders raise on damaged bytes, collected from its source and by cutting and flipping files.
_PILLOW_FAULTS = (OSError, SyntaxError, ValueError, EOFError, LookupError, OverflowError, struct.error, zlib.error)


def is_raster(data: bytes) -> bool:
    """Whether the bytes begin as PNG or JPEG do."""
    return data.startswith((PNG_MAGIC, JPEG_MAGIC))


def read_raster(data: bytes) -> tuple[NDArray[np.uint8], str]:
    """Grey pixels (H, W) and the mode of the file (``RGBA``, ``L``, ``I;16`` ...).

    Colour becomes grey by ITU-R 601 luma, as in Pillow; transparent pixels become black, the value of air, since white
    would draw a bright frame that no X-ray has; more than 8 bits are spread from the darkest to the brightest pixel.

    Raises:
        ImageError: The bytes are damaged, hold several frames or a second file, or are too large or too small.
    """
    is_png = data.startswith(PNG_MAGIC)
    container = read_png(data) if is_png else read_jpeg(data)
    check_shape(height=container.height, width=container.width)
    rows_told = unpacked(container.picture) if is_png else None
    try:
        with Image.open(io.BytesIO(rows_told or container.picture), formats=("PNG" if is_png else "JPEG",)) as image:
            if image.size != (container.width, container.height):
                raise refuse(ImageFault.CORRUPT, f"The picture says it is {image.size} and its frame says otherwise.")
            mode = image.mode
            image.load()
            # Where the last row holds anything it was reached; black may be what is missing.
            if is_png and rows_told is None and not any(image.crop((0, image.height - 1, *image.size)).tobytes()):
                check_rows(container.picture)
            grey = _grey(image)
    except _PILLOW_FAULTS as error:
        raise _damage(error) from error
    # Asked last: where the end is a false one, that the picture is not whole says more.
    if container.rest.startswith((PNG_MAGIC, JPEG_MAGIC)):
        raise refuse(ImageFault.SEVERAL_FRAMES, "Expected one picture, found another behind it.")
    if container.rest:
        words = f"{len(container.rest)} bytes follow the picture's end, beginning {container.rest[:8].hex()}."
        raise refuse(ImageFault.TRAILING_DATA, words, hint="Save the picture anew; a second file may hide there.")
    return upright(grey, orientation(container.exif)), mode


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


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 (H, W), as stored."""
    grey = np.empty((image.height, image.width), np.uint8)
    if image.mode in _DEEP_MODES:
        ends = [(int(values.min()), int(values.max())) for _, values in _deep_bands(image)]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        for rows, values in _deep_bands(image):
            grey[rows] = full_range(values.astype(np.float64), low=low, high=high)
    else:
        for rows, band in _bands(image):
            grey[rows] = np.asarray(_grey_band(band))
    return grey


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The picture in bands of whole rows, from the top."""
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        # Cropping would copy it.
        yield slice(0, image.height), image
        return
    for top in range(0, image.height, rows):
        end = min(top + rows, image.height)
        yield slice(top, end), image.crop((0, top, image.width, end))


def _deep_bands(image: Image.Image) -> Iterator[tuple[slice, NDArray[np.integer]]]:
    for rows, band in _bands(image):
        yield rows, np.asarray(band)


def _grey_band(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    # By way of RGB, because Pillow has no direct conversion from some modes (CMYK, palettes with odd sizes).
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    # Converting to the mode it has would copy it, too.
    return image if image.mode == "L" else image.convert("L")


def _damage(error: Exception) -> ImageError:
    words = " ".join(str(error).split()) or type(error).__name__
    # Pillow has no error type of its own for a short file; these are its words in PngImagePlugin and ImageFile.
    short = any(word in words.lower() for word in ("truncated", "unexpected end", "not enough data", "incomplete"))
    fault = ImageFault.TRUNCATED if short or isinstance(error, EOFError) else ImageFault.CORRUPT
    return refuse(fault, f"The picture cannot be decoded: {words}.", hint="Fetch the file again from its source.")
