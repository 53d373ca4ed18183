"""An archive that has come to a version in the store: unpacked, freed of a wrapping folder, taken in whole."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.errors import SourceError
from cxr_core.ingest.archive import unpack
from tasks.adapters.reach.members import published_root
from tasks.adapters.reach.store import Store

__all__ = ["Fetched", "take_in"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A version of a source on this machine.

    Attributes:
        folder: Its files; dot-files in it are no part of it.
        upstream: The version, its kind first; ``folder`` for a folder of the user's own.
    """

    folder: Path
    upstream: str


def take_in(
    archive: Path, upstream: str, *, source: Source, store: Store, shown: str, address: str = "", version: str = ""
) -> Fetched:
    """Unpack an archive into the store and remove it, whether or not it can be used.

    Args:
        archive: The file, in a folder of its download's own.
        upstream: The version it is.
        source: Whose.
        store: Where it goes.
        shown: Where it came from, for messages.
        address: As ``Store.keep`` takes it.
        version: As ``Store.keep`` takes it.

    Raises:
        SourceError: It is no archive, or a hostile one; nothing of it is kept.
    """
    try:
        with store.staging() as staging:
            unpack(archive, staging / "files")
            root = published_root(staging / "files", source)
            return Fetched(folder=store.keep(root, upstream, address=address, version=version), upstream=upstream)
    except SourceError as error:
        # The archive's own name says nothing to anybody.
        raise SourceError(f"{shown}: {error.message}", reason=error.reason, hint=error.hint) from error
    finally:
        shutil.rmtree(archive.parent, ignore_errors=True)
