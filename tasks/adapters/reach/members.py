"""The names of a source's files, proven to be safe to write below a folder, on any file system; and where they begin.

For what comes as single files (a repository's tree, the objects of a bucket), by the laws that hold for the members
of an archive: no name leaves the folder, no two are one file anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.errors import SourceError
from cxr_core.ingest.archive_names import Names

__all__ = ["check_names", "is_hidden", "published_root"]

# What stands at the top of each published layout. An archive often wraps it into a folder of its own.
_LANDMARKS: dict[Source, str] = {
    "sirm": "cases.csv",
    "github": "metadata.csv",
    "rsna": "stage_2_detailed_class_info.csv",
    "kaggle": "chest_xray",
}
_WRAPPERS = 3


def is_hidden(name: str) -> bool:
    """Whether a source's listing leaves a file out: dot-files and ``__MACOSX``, or anything below such a folder."""
    parts = name.split("/")
    # A name that climbs is no hidden file, and must be seen to be refused.
    return ".." not in parts and any(part.startswith(".") or part == "__MACOSX" for part in parts)


def check_names(names: Iterable[str], *, where: str) -> list[str]:
    """Prove that files of these names can be written below a folder.

    Args:
        names: Relative POSIX paths, as upstream spells them.
        where: Whose they are, for messages.

    Returns:
        The paths to write them at, in the same order.

    Raises:
        SourceError: A name is not safe, or two are one file on some system; the reason is an ``ArchiveFault``.
    """
    taken = Names()
    try:
        return [taken.take(name, is_folder=False) for name in names]
    except SourceError as error:
        raise SourceError(
            f"{where}: {error.message} Nothing of it was written.",
            reason=error.reason,
            hint="Whoever keeps the source must rename it there; until then set its variable to a mirror folder.",
        ) from error


def published_root(folder: Path, source: Source) -> Path:
    """The folder in which the source's published layout begins: ``folder`` itself, or the only one inside it.

    Where the layout is not found at all, ``folder``: what is wrong with it is the connector's to say.
    """
    root = folder
    for _ in range(_WRAPPERS):
        if (root / _LANDMARKS[source]).exists():
            return root
        inside = [path for path in root.iterdir() if not is_hidden(path.name)]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        root = inside[0]
    return root if (root / _LANDMARKS[source]).exists() else folder
