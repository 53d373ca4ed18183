"""The four connectors, by source. A new source is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable

from cxr_core.classes import Source
from cxr_core.ingest import github, kaggle, rsna, sirm
from cxr_core.ingest.layout import Layout, Tree

__all__ = ["CONNECTORS", "LICENCES"]

CONNECTORS: dict[Source, Callable[[Tree], Layout]] = {
    "sirm": sirm.read,
    "github": github.read,
    "rsna": rsna.read,
    "kaggle": kaggle.read,
}

LICENCES: dict[Source, str] = {
    "sirm": sirm.LICENCE,
    "github": github.LICENCE,
    "rsna": rsna.LICENCE,
    "kaggle": kaggle.LICENCE,
}
