"""SIRM's COVID-19 cases: ``cases.csv`` and ``caso-NN/rx-K.jpg``.

The society publishes case pages and no bulk file; this is the layout of a folder kept by whoever saved them. A case is
a patient.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_core.ingest.layout import Candidate, Layout, Row, Tree, lay_out
from cxr_core.ingest.tables import age_years, read_table, sex

__all__ = ["LICENCE", "read"]

LICENCE = "as cases.csv says for each image"

_TABLE = "cases.csv"
_COLUMNS = ("case", "file", "finding", "view", "sex", "age", "url", "license")


def read(tree: Tree) -> Layout:
    """Lay out the SIRM cases.

    Raises:
        SourceError: The table is absent, is no table, or lacks a column.
    """
    table = read_table(tree.read(_TABLE), name=_TABLE, required=_COLUMNS)
    return lay_out(tree, [Row(table=_TABLE, number=n, candidate=_candidate(row)) for n, row in enumerate(table, 1)])


def _candidate(row: Mapping[str, str]) -> Candidate:
    return Candidate(
        path=row["file"],
        finding=row["finding"],
        # The folder holds radiographs (rx) alone; a copy that also keeps CT says so in a column of its own.
        modality=row.get("modality", "X-ray"),
        view=row["view"],
        patient=row["case"],
        sex=sex(row["sex"]),
        age_years=age_years(row["age"]),
        origin_url=row["url"],
        licence=row["license"],
        label_provenance="case_report",
    )
