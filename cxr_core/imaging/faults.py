"""Why one image's bytes cannot be used: the closed list of reasons that quarantine and the served model report."""

from __future__ import annotations

from enum import StrEnum

from cxr_core.errors import ImageError

__all__ = ["ImageFault", "refuse"]


class ImageFault(StrEnum):
    """A reason that stands in ``quarantine.jsonl`` and in ``ImageError.reason``."""

    EMPTY = "empty"
    """The file has no bytes."""
    NOT_AN_IMAGE = "not_an_image"
    """The bytes are no PNG, JPEG or DICOM, whatever the file's name says."""
    TRUNCATED = "truncated"
    """The file ends before its picture does."""
    CORRUPT = "corrupt"
    """The decoder found a contradiction in the bytes: a wrong checksum, say."""
    TRAILING_DATA = "trailing_data"
    """Bytes that are no padding follow the picture's end: a second file, an archive say, may hide there."""
    TOO_LARGE = "too_large"
    """More bytes, pixels, passes or packed text than any chest X-ray has: a decompression bomb, or the wrong file."""
    TOO_SMALL = "too_small"
    """A side is too short to show a chest."""
    BLANK = "blank"
    """Every pixel has the same value."""
    SEVERAL_FRAMES = "several_frames"
    """An animation or a cine loop: which frame is meant cannot be known."""
    UNSUPPORTED_JPEG = "unsupported_jpeg"
    """A kind of JPEG that is not read here: lossless, arithmetic, hierarchical, or deeper than 8 bits."""
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    """A DICOM compression that is not read here."""
    UNSUPPORTED_PHOTOMETRIC = "unsupported_photometric"
    """A DICOM picture that is not grey."""
    NO_PIXELS = "no_pixels"
    """A DICOM object without a picture, a structured report say."""
    UNSUPPORTED_DEPTH = "unsupported_depth"
    """A DICOM picture whose values lie in other containers than 8 or 16 bits."""
    TOO_COMPLEX = "too_complex"
    """A DICOM header with more elements, or more deeply nested ones, than any X-ray's: made to exhaust its reader."""
    EXECUTABLE_PREAMBLE = "executable_preamble"
    """A DICOM file whose first bytes make it a program, a script or an archive as well."""
    BURNED_IN_ANNOTATION = "burned_in_annotation"
    """The DICOM file says that text is burned into its picture: a name may be readable."""
    DECODER_FAILED = "decoder_failed"
    """A decoder stopped on an error that nobody foresaw: a fault of ours to mend, which costs this one file."""


def refuse(fault: ImageFault, detail: str, *, hint: str = "") -> ImageError:
    """The error to raise for a fault; ``detail`` says what was found."""
    return ImageError(detail, reason=fault.value, hint=hint)
