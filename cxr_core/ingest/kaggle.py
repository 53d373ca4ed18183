"""Chest X-Ray Images (Pneumonia), Kermany et al.: ``chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``.

There is no table: folder and file name say all. ``personN`` is taken for one patient wherever it stands (virus and
bacteria, any folder), ``IM-nnnn`` and ``NORMAL2-IM-nnnn`` for one each: too large a group costs little, a patient in
two folds costs the claim. The published archive holds a second copy of itself in ``chest_xray/chest_xray``.
"""

from __future__ import annotations

import re

from cxr_core.errors import SourceError
from cxr_core.ingest.faults import IngestFault
from cxr_core.ingest.layout import Candidate, Layout, Tree, exclude_file
from cxr_core.ingest.record import Exclusion

__all__ = ["LICENCE", "read"]

LICENCE = "CC BY 4.0"

_ORIGIN = "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia"
_PLACE = re.compile(r"(?P<outer>(?:.*/)?)(?P<part>train|val|test)/(?P<folder>NORMAL|PNEUMONIA)/(?P<file>[^/]+)")
_PNEUMONIA = re.compile(r"(?P<patient>person\d+)_(?P<finding>virus|bacteria)_.+")
_NORMAL = re.compile(r"(?P<patient>(?:NORMAL2-)?IM-\d+)-.+")
_NESTED = "chest_xray/chest_xray/"


def read(tree: Tree) -> Layout:
    """Lay out the collection by its file names.

    Raises:
        SourceError: No file stands at a place of the published layout (``layout_not_found``).
    """
    candidates: list[Candidate] = []
    exclusions: list[Exclusion] = []
    for path in tree.images:
        candidate = _candidate(path)
        if _is_nested_copy(tree, path):
            exclusions.append(exclude_file(tree, path, IngestFault.NESTED_COPY, "the archive is packed into itself"))
        elif candidate is None:
            words = "expected {train,val,test}/{NORMAL,PNEUMONIA}/ and IM-…, NORMAL2-IM-… or personN_{virus,bacteria}_…"
            exclusions.append(exclude_file(tree, path, IngestFault.UNKNOWN_LAYOUT, words))
        else:
            candidates.append(candidate)
    if not candidates:
        raise SourceError(
            f"Expected chest_xray/{{train,val,test}}/{{NORMAL,PNEUMONIA}}/*.jpeg; {tree.root} holds none.",
            reason="layout_not_found",
            hint="Check that the folder holds the source in its published layout.",
        )
    return Layout(candidates=tuple(candidates), exclusions=tuple(exclusions))


def _candidate(path: str) -> Candidate | None:
    place = _PLACE.fullmatch(path)
    if place is None:
        return None
    normal = place["folder"] == "NORMAL"
    name = (_NORMAL if normal else _PNEUMONIA).fullmatch(place["file"])
    if name is None:
        return None
    return Candidate(
        path=path,
        finding="NORMAL" if normal else name["finding"],
        modality="X-ray",
        # The collection's description: anterior-posterior radiographs of children of one to five years.
        view="AP",
        patient=name["patient"],
        origin_url=_ORIGIN,
        licence=LICENCE,
        label_provenance="file_name",
    )


def _is_nested_copy(tree: Tree, path: str) -> bool:
    if not path.startswith(_NESTED):
        return False
    outer = tree.images.get("chest_xray/" + path.removeprefix(_NESTED))
    return outer is not None and outer.sha256 == tree.images[path].sha256
