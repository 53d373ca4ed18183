import pytest

from cxr_core.curate.views import exclusion_by_view


@pytest.mark.parametrize("view", ["PA", "AP", "AP Supine", "AP supine", "AP semi erect", "AP erect", " pa "])
@pytest.mark.parametrize("modality", ["X-ray", "CR", "DX", ""])
def test_frontal_xrays_are_kept(modality, view):
    assert exclusion_by_view("github", modality, view) is None


@pytest.mark.parametrize(
    ("modality", "view", "reason"),
    [
        ("X-ray", "L", "lateral_view"),
        ("X-ray", "LL", "lateral_view"),
        ("X-ray", "Lateral", "lateral_view"),
        ("CT", "Axial", "not_xray"),
        ("CT", "", "not_xray"),
        ("", "Coronal", "not_xray"),
        ("CT", "PA", "not_xray"),
        ("X-ray", "", "view_unknown"),
        ("", "", "view_unknown"),
        ("X-ray", "oblique", "view_not_frontal"),
        ("X-ray", "apical lordotic", "view_not_frontal"),
    ],
)
def test_everything_else_gets_its_reason(modality, view, reason):
    assert exclusion_by_view("github", modality, view) == reason


@pytest.mark.parametrize(("source", "reason"), [("sirm", "view_unknown"), ("rsna", None), ("kaggle", None)])
def test_an_unstated_view_is_frontal_only_where_the_whole_collection_is(source, reason):
    assert exclusion_by_view(source, "X-ray", "") == reason
    assert exclusion_by_view(source, "X-ray", "LL") == "lateral_view"
