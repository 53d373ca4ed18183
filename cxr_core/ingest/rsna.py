"""The RSNA Pneumonia Detection Challenge: ``stage_2_train_images/<patientId>.dcm`` and two tables.

``stage_2_detailed_class_info.csv`` has a row a box, so a patientId stands there as often as it has boxes; that is the
layout, not a duplicate. View, sex and age are in the DICOM files. ``stage_2_train_labels.csv`` holds the boxes, which
nothing here needs.
"""

from __future__ import annotations

from cxr_core.ingest.layout import Candidate, Layout, Row, Tree, lay_out
from cxr_core.ingest.tables import read_table

__all__ = ["LICENCE", "read"]

LICENCE = "RSNA Pneumonia Detection Challenge terms of use (non-commercial)"

_TABLE = "stage_2_detailed_class_info.csv"
_ORIGIN = "https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge"


def read(tree: Tree) -> Layout:
    """Lay out the challenge's training images.

    Raises:
        SourceError: The table is absent, is no table, or lacks a column.
    """
    table = read_table(tree.read(_TABLE), name=_TABLE, required=("patientid", "class"))
    first_row: dict[tuple[str, str], int] = {}
    for number, row in enumerate(table, 1):
        first_row.setdefault((row["patientid"], row["class"]), number)
    rows = [
        Row(table=_TABLE, number=number, candidate=_candidate(patient, finding))
        for (patient, finding), number in first_row.items()
    ]
    return lay_out(tree, rows)


def _candidate(patient: str, finding: str) -> Candidate:
    return Candidate(
        path=f"stage_2_train_images/{patient}.dcm",
        finding=finding,
        modality="",
        view="",
        patient=patient,
        origin_url=_ORIGIN,
        licence=LICENCE,
        label_provenance="radiologist",
    )
