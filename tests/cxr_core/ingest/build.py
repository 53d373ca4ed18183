"""Sources and workspaces made by code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_core.classes import SOURCES, Source
from cxr_core.ingest import stage
from cxr_core.ingest.layout import Tree
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, pin_of, with_pin
from cxr_core.params import Params, override_params, read_params

KEY = b"a key of the tests, no patient's"
NO_PINS = "schema: 1\n# a comment\nsources:\n  sirm: null\n  github: null # another\n  rsna: null\n  kaggle: null\n"

_PARAMS = Path(__file__).parents[3] / "params.yaml"


def params(*overrides: str) -> Params:
    return read_params(override_params(_PARAMS.read_text(), overrides))


def fill(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files under a folder."""
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def tree(source: Source, root: Path, files: Mapping[str, bytes | str]) -> Tree:
    return Tree(source=source, root=fill(root, files), listing=list_source(root))


def pinned_workspace(workspace: Path, sources: Path) -> Path:
    """A workspace whose lock file pins every source that the folder holds."""
    text = NO_PINS
    for source in SOURCES:
        if (sources / source).is_dir():
            text = with_pin(text, source, pin_of(list_source(sources / source), licence="any"))
    fill(workspace, {PINS_PATH: text})
    return workspace


def ingest(source: Source, *, workspace: Path, sources: Path, key: bytes = KEY, **more: Any) -> dict[str, Any]:
    more.setdefault("params", params())
    return stage.run(source, workspace=workspace, address=sources / source, patient_key=key, **more)
