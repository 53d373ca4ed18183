"""Why a row or file of a source is no usable image by nature: the closed list of ``exclusions.jsonl``.

Broken or hostile image bytes are another matter: they are quarantined, by ``ImageFault`` or ``DECODER_DIED``.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DECODER_DIED", "IngestFault"]

DECODER_DIED = "decoder_died"
"""Quarantine reason of a file whose decoding ended its worker process (a crash, or memory ran out)."""


class IngestFault(StrEnum):
    """A reason that stands in ``exclusions.jsonl``."""

    FILE_MISSING = "file_missing"
    """A row names a file that the source does not hold."""
    UNSAFE_PATH = "unsafe_path"
    """A row names an absolute path, or one that leaves the source's folder."""
    NOT_AN_IMAGE_FILE = "not_an_image_file"
    """A row names a file that is there and, by its name, no image (a CT volume, say)."""
    DUPLICATE_ROW = "duplicate_row"
    """An earlier row names the same file; the earlier one is used."""
    CONFLICTING_ROWS = "conflicting_rows"
    """Rows give one file different findings: which is true cannot be known."""
    NO_METADATA = "no_metadata"
    """An image file that no row names."""
    UNKNOWN_LAYOUT = "unknown_layout"
    """An image file at a place, or with a name, that the published layout does not have."""
    NESTED_COPY = "nested_copy"
    """An archive packed into itself: the same file stands at the outer place."""
