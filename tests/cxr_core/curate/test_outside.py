"""What a backbone may learn from has nothing to do with the cohort, however patients and duplicates are chained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.curate.duplicates import Pair
from cxr_core.curate.groups import components, same_value_edges
from cxr_core.curate.outside import outside_cohort, outside_csv, read_outside, seen_in_cohort, validates
from cxr_core.curate.selection import select
from cxr_core.errors import CohortError
from tests.cxr_core.curate.build import params, record

FINDINGS = ["COVID-19", "Pneumonia/Viral/SARS", "No Finding", "Pneumonia/Bacterial"]


def _params(*, seed=1, **quota):
    wanted = {"covid": 1, "viral": 1, "normal": 1} | quota
    return params(f"curate.seed={seed}", *(f"curate.quota.{slug}={n}" for slug, n in wanted.items())).curate


@st.composite
def collections(draw: st.DrawFn):
    """Records of few patients, so that they share them, and pairs of duplicates among them."""
    n = draw(st.integers(12, 40))
    records = [
        record(
            f"github:{i:02}.png",
            finding=FINDINGS[i] if i < len(FINDINGS) else draw(st.sampled_from(FINDINGS)),
            patient=f"patient-{i if i < 8 else draw(st.integers(0, 20))}",
        )
        for i in range(n)
    ]
    pairs = draw(st.lists(st.tuples(st.integers(4, n - 1), st.integers(4, n - 1)), max_size=6))
    return records, [
        Pair(first=min(p), second=max(p), kind="near", hamming=1, correlation=0.99) for p in pairs if p[0] != p[1]
    ]


@settings(max_examples=60)
@given(collections(), st.integers(0, 5))
def test_nothing_outside_shares_an_image_a_patient_or_a_chain_of_duplicates_with_the_cohort(drawn, seed) -> None:
    records, pairs = drawn
    try:
        chosen = select(records, pairs, _params(seed=seed))
        outside = outside_cohort(chosen.rows, chosen.exclusions, records)
    except CohortError:
        return
    # Beside the code under test: the graph itself.
    edges = [*same_value_edges([one.patient for one in records]), *((p.first, p.second) for p in pairs)]
    part = dict(zip([one.name for one in records], components(len(records), edges).tolist(), strict=True))
    inside = {part[row.name] for row in chosen.rows}
    assert outside
    assert not inside & {part[row.name] for row in outside}
    assert not seen_in_cohort(outside, chosen.rows, chosen.exclusions)
    held = [validates(row, share=0.4, seed=seed) for row in outside]
    parts = np.array([part[row.name] for row in outside])
    assert not set(parts[np.array(held)]) & set(parts[~np.array(held)])


def _example(**changes):
    records = [
        *(record(f"github:c{i}.png", finding="COVID-19", patient=f"c{i}") for i in range(3)),
        *(record(f"github:v{i}.png", finding="Pneumonia/Viral/SARS", patient=f"v{i}") for i in range(3)),
        *(record(f"github:n{i}.png", finding="No Finding", patient=f"n{i}") for i in range(3)),
        record("github:b.png", finding="Pneumonia/Bacterial", patient="b"),
    ]
    return records, select(records, [], _params(**changes))


def test_left_over_and_classless_x_rays_are_there_with_their_labels() -> None:
    records, chosen = _example()
    outside = outside_cohort(chosen.rows, chosen.exclusions, records)
    assert sorted(row.label for row in outside) == ["bacterial", *["covid"] * 2, *["normal"] * 2, *["viral"] * 2]


def test_a_cohort_that_takes_in_what_a_backbone_has_seen_is_told_by_name() -> None:
    records, chosen = _example()
    outside = outside_cohort(chosen.rows, chosen.exclusions, records)
    _, larger = _example(covid=3)
    seen = seen_in_cohort(outside, larger.rows, larger.exclusions)
    assert seen == [row.name for row in outside if row.label == "covid"]


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    records, chosen = _example()
    outside = outside_cohort(chosen.rows, chosen.exclusions, records)
    (tmp_path / "images.csv").write_text(outside_csv(outside), encoding="utf-8")
    assert read_outside(tmp_path / "images.csv") == outside


def test_a_cohort_that_takes_everything_leaves_nothing_to_learn_from() -> None:
    records, chosen = _example(covid=3, viral=3, normal=3)
    with pytest.raises(CohortError) as caught:
        outside_cohort(chosen.rows, chosen.exclusions, records)
    assert caught.value.reason == "nothing_outside"
