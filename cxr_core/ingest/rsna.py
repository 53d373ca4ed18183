"""The RSNA Pneumonia Detection Challenge: ``stage_2_train_images/<patientId>.dcm`` and two tables.

``stage_2_detailed_class_info.csv`` has a row a box, so a patientId stands there as often as it has boxes; that is the
layout, not a duplicate. View, sex and age are in the DICOM files. ``stage_2_train_labels.csv`` holds the boxes, which
nothing here needs.

A patientId names a picture, not a person: the challenge's 26 684 are some 11 400 patients of the NIH. Where the folder
also holds ``nih_patients.csv`` (columns ``patientId,nih_patient``; made by whoever has the mapping, no part of the
challenge), the pictures of one NIH patient are one patient's; an id that it leaves out, or leaves blank, stays a
patient of its own.
"""

from __future__ import annotations

from cxr_core.errors import SourceError
from cxr_core.ingest.layout import Candidate, Layout, Row, Tree, lay_out
from cxr_core.ingest.tables import read_table

__all__ = ["LICENCE", "read"]

LICENCE = "RSNA Pneumonia Detection Challenge terms of use (non-commercial)"

_TABLE = "stage_2_detailed_class_info.csv"
_PATIENTS = "nih_patients.csv"
_ORIGIN = "https://www.kaggle.com/competitions/rsna-pneumonia-detection-challenge"


def read(tree: Tree) -> Layout:
    """Lay out the challenge's training images.

    Raises:
        SourceError: The table is absent, is no table, or lacks a column; or the table of patients gives one picture
            to two patients (``conflicting_patients``).
    """
    person = _patients(tree)
    table = read_table(tree.read(_TABLE), name=_TABLE, required=("patientid", "class"))
    first_row: dict[tuple[str, str], int] = {}
    for number, row in enumerate(table, 1):
        first_row.setdefault((row["patientid"], row["class"]), number)
    rows = [
        Row(table=_TABLE, number=number, candidate=_candidate(picture, finding, person.get(picture, picture)))
        for (picture, finding), number in first_row.items()
    ]
    return lay_out(tree, rows)


def _patients(tree: Tree) -> dict[str, str]:
    """Who each patientId is, where the folder says so."""
    if _PATIENTS not in tree.entries:
        return {}
    table = read_table(tree.read(_PATIENTS), name=_PATIENTS, required=("patientid", "nih_patient"))
    person: dict[str, str] = {}
    for number, row in enumerate(table, 1):
        # A word before it, so that a number of the NIH's is never taken for a patientId.
        patient = f"nih {row['nih_patient']}"
        if row["nih_patient"] and person.setdefault(row["patientid"], patient) != patient:
            # Without the ids: messages are kept, and they are patients'.
            raise SourceError(
                f"{_PATIENTS}, row {number}: expected one patient a picture, found a second for the same patientId.",
                reason="conflicting_patients",
                hint=f"Correct {_PATIENTS}, or take it out of the folder.",
            )
    return person


def _candidate(picture: str, finding: str, patient: str) -> Candidate:
    return Candidate(
        path=f"stage_2_train_images/{picture}.dcm",
        finding=finding,
        modality="",
        view="",
        patient=patient,
        origin_url=_ORIGIN,
        licence=LICENCE,
        label_provenance="radiologist",
    )
