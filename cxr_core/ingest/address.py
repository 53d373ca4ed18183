"""Where a source is reached: a setting of the machine, never a pin. Read when called; failures name the variable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cxr_core.classes import Source
from cxr_core.errors import SettingError

__all__ = ["source_address", "source_variable"]


def source_variable(source: Source) -> str:
    """The variable that says where one source lies."""
    return f"CXR_SOURCE_{source.upper()}"


def source_address(source: Source, environment: Mapping[str, str]) -> Path:
    """A source's folder: ``CXR_SOURCE_<NAME>``, or the folder of its name under ``CXR_SOURCES``.

    Raises:
        SettingError: Neither is set (``source_not_set``), or the folder is not there (``source_not_found``).
    """
    own, shared = environment.get(source_variable(source)), environment.get("CXR_SOURCES")
    if not own and not shared:
        raise SettingError(
            f"No place is set for the source {source}.",
            reason="source_not_set",
            hint=f"Set CXR_SOURCES to a folder that holds {source}/ (or {source_variable(source)} to the folder "
            "itself), or run `cxr demo` to see the walk on phantoms.",
        )
    variable = source_variable(source) if own else "CXR_SOURCES"
    folder = (Path(own) if own else Path(str(shared)) / source).expanduser().absolute()
    if not folder.is_dir():
        raise SettingError(
            f"{variable} says that {source} lies at {folder}; there is no such folder.",
            reason="source_not_found",
            hint=f"Mirror the source there, correct {variable}, or leave the source out with "
            "`--set ingest.sources=[...]`.",
        )
    return folder
