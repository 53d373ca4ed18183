"""What is wrong on purpose in the phantom sources."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Defect", "DefectKind"]


class DefectKind(StrEnum):
    """What is wrong with a file or row that was written on purpose."""

    RGBA = "rgba"
    """A usable PNG with an alpha channel."""
    INVERTED = "inverted"
    """A usable DICOM file in MONOCHROME1."""
    NEAR_DUPLICATE = "near_duplicate"
    """A SIRM picture, smaller and encoded anew, in github under another patient."""
    BYTE_DUPLICATE = "byte_duplicate"
    """A kaggle file again under another patient's name."""
    TRUNCATED = "truncated"
    """A JPEG cut in half."""
    LATERAL = "lateral"
    """A side view."""
    CT = "ct"
    """A CT slice."""
    BACTERIAL = "bacterial"
    """Bacterial pneumonia, none of the three classes."""
    OTHER_FINDING = "other_finding"
    """A finding that says neither normal nor what disease."""
    ROW_WITHOUT_FILE = "row_without_file"
    """A metadata row whose file is not there."""
    FILE_WITHOUT_ROW = "file_without_row"
    """A file that no metadata row names."""
    DUPLICATE_ROW = "duplicate_row"
    """A second row for a file, under another patient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """One defect; ``name`` is ``source:path`` of the file it concerns, ``original`` the picture it repeats, if any."""

    kind: DefectKind
    name: str
    original: str | None = None
