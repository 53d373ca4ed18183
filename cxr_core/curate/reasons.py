"""Why a row is not in the cohort: every reason that curate gives, in the order in which they are checked.

Laws: a row gets the first reason that holds and no other, so a count by reason adds up to the rows left out; a
reason's code never changes its meaning. Ingest's own reasons (``file_missing``, ``truncated`` …) are passed on as they
are.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["SILENT", "ExclusionReason"]


class ExclusionReason(StrEnum):
    """The checks of curate, first to last."""

    # What the picture is.
    NOT_XRAY = "not_xray"
    """Another modality: a CT slice, say."""
    LATERAL_VIEW = "lateral_view"
    """Taken from the side."""
    VIEW_NOT_FRONTAL = "view_not_frontal"
    """A stated view that is neither frontal nor lateral."""
    VIEW_UNKNOWN = "view_unknown"
    """A source that holds lateral views as well gives none for this picture."""

    # What the source says it shows.
    NOT_LABELLED = "not_labelled"
    """No cause is given: empty, todo, Unknown, or pneumonia or ARDS without a cause."""
    BACTERIAL = "bacterial"
    FUNGAL = "fungal"
    LIPOID = "lipoid"
    ASPIRATION = "aspiration"
    MIXED_CAUSE = "mixed_cause"
    """Two causes at once, e.g. COVID-19 and a bacterium."""
    OPACITY_WITHOUT_CAUSE = "opacity_without_cause"
    """RSNA's 'Lung Opacity': which pneumonia is not known."""
    ABNORMAL_WITHOUT_OPACITY = "abnormal_without_opacity"
    """RSNA's 'No Lung Opacity / Not Normal'."""
    FINDING_NOT_MAPPED = "finding_not_mapped"
    """Words that the table of findings does not know, a doubt or a denial (suspected, negative): somebody must look."""

    # What other rows say of the same X-ray.
    LABEL_CONFLICT = "label_conflict"
    """A duplicate of it carries another label: both are left out, since one of them is wrong."""
    DUPLICATE = "duplicate"
    """The same X-ray is in the cohort, or eligible for it, under another name."""

    # What was asked for.
    OVER_QUOTA = "over_quota"
    """Usable, but the quota was filled by others."""


SILENT = frozenset({ExclusionReason.NOT_LABELLED})
"""Label reasons that claim nothing about the picture and so contradict no duplicate's label."""
