"""The mirrors, pinned and ingested once for all tests that look at what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cxr_core.classes import SOURCES, Source
from tests.cxr_core.ingest.build import ingest, pinned_workspace


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """A workspace in which all four sources were read, and what each stage said."""

    workspace: Path
    summaries: dict[Source, dict[str, Any]]


@pytest.fixture(scope="session")
def ingested_mirrors(mirrors: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    workspace = pinned_workspace(tmp_path_factory.mktemp("mirrors"), mirrors)
    summaries = {source: ingest(source, workspace=workspace, sources=mirrors) for source in SOURCES}
    return Ingested(workspace=workspace, summaries=summaries)
