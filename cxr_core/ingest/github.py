"""The COVID-19 image data collection of Cohen et al.: ``metadata.csv`` and ``images/``.

The table changed over 410 published versions: early ones write ``Patientid`` and `` url``, and have neither
``modality`` nor ``folder`` nor ``RT_PCR_positive``; a few files stand in several rows, under different patient ids.
"""

from __future__ import annotations

from collections.abc import Mapping

from cxr_core.ingest.layout import Candidate, Layout, Row, Tree, lay_out
from cxr_core.ingest.tables import age_years, read_table, sex

__all__ = ["LICENCE", "read"]

LICENCE = "as metadata.csv says for each image"

_TABLE = "metadata.csv"
_COLUMNS = ("patientid", "finding", "view", "filename")
_CT_VIEWS = frozenset({"axial", "coronal"})


def read(tree: Tree) -> Layout:
    """Lay out the collection.

    Raises:
        SourceError: The table is absent, is no table, or lacks a column.
    """
    table = read_table(tree.read(_TABLE), name=_TABLE, required=_COLUMNS)
    return lay_out(tree, [Row(table=_TABLE, number=n, candidate=_candidate(row)) for n, row in enumerate(table, 1)])


def _candidate(row: Mapping[str, str]) -> Candidate:
    filename = row["filename"]
    return Candidate(
        # An absolute name stays one, so that it is refused rather than joined.
        path=filename if filename.startswith("/") else f"{row.get('folder') or 'images'}/{filename}",
        finding=row["finding"],
        # Versions before the column held X-rays and CT slices, told apart by the view.
        modality=row.get("modality", "CT" if row["view"].lower() in _CT_VIEWS else "X-ray"),
        view=row["view"],
        patient=row["patientid"],
        sex=sex(row.get("sex", "")),
        age_years=age_years(row.get("age", "")),
        origin_url=row.get("url") or _doi_address(row.get("doi", "")),
        licence=row.get("license", ""),
        label_provenance="rt_pcr" if row.get("rt_pcr_positive", "").upper() == "Y" else "case_report",
    )


def _doi_address(doi: str) -> str:
    """Where a DOI leads; empty where there is none."""
    return f"https://doi.org/{doi}" if doi.startswith("10.") else doi
