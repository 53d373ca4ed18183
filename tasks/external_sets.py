"""Sets of labelled X-rays from elsewhere, as their folders are listed: what a retrain's key names of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxr_core.ingest.listing import Listing, list_source
from tasks.settings import external_folders

__all__ = ["ExternalSet", "external_revisions", "external_sets"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalSet:
    """A set by name: its folder, and every file of it with its digest."""

    name: str
    folder: Path
    listing: Listing


def external_sets() -> list[ExternalSet]:
    """The sets that ``CXR_EXTERNAL_<NAME>`` name, by name.

    Raises:
        SettingError: One is no folder, or has a source's name.
        SourceError: A folder is empty, or holds what is no plain file.
    """
    return [
        ExternalSet(name=name, folder=folder, listing=list_source(folder))
        for name, folder in external_folders().items()
    ]


def external_revisions() -> dict[str, str]:
    """``sha256:<hex>`` over every file of each set, by its name."""
    return {each.name: each.listing.revision for each in external_sets()}
