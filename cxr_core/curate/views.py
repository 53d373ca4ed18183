"""Which pictures are frontal chest X-rays: modality and view as the source states them in, a reason to exclude out.

GitHub's and SIRM's views are in their tables, where a blank may hide a lateral view. RSNA's is in the DICOM header;
where a mirror's header has none, the picture is taken as frontal, as is Kaggle's: both collections are published as
frontal views only (RSNA's pictures are ChestX-ray8's 'frontal-view X-ray images', Wang et al., CVPR 2017; Kaggle's are
'anterior-posterior', Kermany et al., Cell 2018).
"""

from __future__ import annotations

import re
from functools import lru_cache

from cxr_core.classes import Source
from cxr_core.curate.reasons import ExclusionReason

__all__ = ["exclusion_by_view"]

_FRONTAL_ONLY: frozenset[Source] = frozenset({"rsna", "kaggle"})

# DICOM's modalities of projection radiography (PS3.3 C.7.3.1.1.1) beside the collections' own word.
_XRAY = frozenset({"x-ray", "xray", "cr", "dx", "rg"})
_FRONTAL = re.compile(r"(pa|ap)\b")
_LATERAL = re.compile(r"(l|ll|rl|lat|lateral)\b")
# Early versions of the GitHub table had no modality column; planes of section tell a CT all the same.
_SECTION = re.compile(r"(axial|coronal|sagittal)\b")


# A source has few words for all its pictures.
@lru_cache(maxsize=4096)
def exclusion_by_view(source: Source, modality: str, view: str) -> ExclusionReason | None:
    """Say why a picture is no frontal X-ray; None where it is one.

    Args:
        source: Where the picture comes from.
        modality: ``X-ray``, ``CT``, or a DICOM modality; empty where the source has none.
        view: ``PA``, ``AP``, ``AP Supine``, ``L`` …; empty where the source gives none.
    """
    modality, view = modality.strip().casefold(), view.strip().casefold()
    if (modality and modality not in _XRAY) or _SECTION.match(view):
        return ExclusionReason.NOT_XRAY
    if _LATERAL.match(view):
        return ExclusionReason.LATERAL_VIEW
    if _FRONTAL.match(view) or (not view and source in _FRONTAL_ONLY):
        return None
    return ExclusionReason.VIEW_NOT_FRONTAL if view else ExclusionReason.VIEW_UNKNOWN
