"""What arithmetic says of the paper's printed figures, each held against a calculation of its own."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from cxr_core.paper import protocol
from cxr_core.paper.check import check_paper
from cxr_core.paper.printed import COHORT, IMAGES, TABLE_2, FoldRow
from cxr_core.paper.remark import Remark


@pytest.fixture(scope="module")
def remarks() -> dict[str, Remark]:
    return {remark.code: remark for remark in check_paper()}


def test_every_remark_is_plain_json_and_says_something(remarks: dict[str, Remark]) -> None:
    json.dumps([asdict(remark) for remark in remarks.values()], allow_nan=False)
    assert len(remarks) == 10
    assert all(remark.words and remark.printed and remark.where for remark in remarks.values())


def test_722_images_assume_an_accuracy_of_989_in_1000(remarks: dict[str, Remark]) -> None:
    facts = remarks["sample_size"].facts
    assert facts["needed"] == {"0.989": 722, "0.5": 16588}
    assert (facts["p_from"], facts["p_to"]) == (0.989, 0.98901)
    # By scipy's quantile and a plain formula: one step further on either side is another size.
    z = stats.norm.ppf(0.995)
    for p, wanted in ((0.98899, 723), (0.989, 722), (0.98901, 722), (0.98902, 721)):
        assert int(np.ceil(z**2 * p * (1 - p) / 0.01**2)) == wanted


def test_the_batches_add_up(remarks: dict[str, Remark]) -> None:
    facts = remarks["batches"].facts
    assert remarks["batches"].holds
    assert (facts["full"], facts["last"], facts["images"]) == (48, 13, [464, 160, 157])
    assert sum(COHORT.values()) == IMAGES


def test_table_2_fits_581_and_its_multiples_alone(remarks: dict[str, Remark]) -> None:
    facts = remarks["table_2"].facts
    assert not remarks["table_2"].holds
    assert facts["denominators"] == facts["accuracies_fit"] == [581, 1162, 1743, 2324, 2905]
    assert facts["wrong"]["581"] == [5, 4, 3, 8, 6]
    assert facts["with_ties_either_way"] == [2904]
    assert facts["five_folds"] == 2905
    assert {156, 157, 781}.isdisjoint(facts["denominators"])


def test_a_table_of_781_images_would_be_found_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test can pass: five rows made from 781 images fit them."""
    wrong = (7, 5, 4, 11, 8)
    rows = tuple(
        FoldRow(fold=str(i), accuracy=f"{100 * (1 - k / 781):.2f}", error=f"{round(k / 781, 6) * 1000:.2f}")
        for i, k in enumerate(wrong, start=1)
    )
    monkeypatch.setattr(protocol, "TABLE_2", rows)
    assert protocol.table_2().holds
    assert 581 not in protocol.table_2().facts["denominators"]
    monkeypatch.setattr(protocol, "TABLE_2", TABLE_2)
    assert not protocol.table_2().holds


def test_the_mean_of_the_rows_is_99_10(remarks: dict[str, Remark]) -> None:
    remark = remarks["table_2_mean"]
    assert not remark.holds
    assert remark.facts["prints_as"] == "99.10"
    assert remark.facts["mean_error"] == pytest.approx(8.952)


def test_99_5_per_cent_is_777_of_781_and_of_no_test_of_a_fifth(remarks: dict[str, Remark]) -> None:
    remark = remarks["test_accuracy"]
    assert not remark.holds
    assert remark.facts == {"of_the_test": {"157": [], "160": []}, "of_all": [777]}
    assert "777/781" in remark.words


def test_the_classes_have_one_reading_which_is_the_same_777(remarks: dict[str, Remark]) -> None:
    facts = remarks["class_shares"].facts
    assert facts["correct"] == [{"covid": 240, "viral": 273, "normal": 264}]
    assert facts["sum"] == 777


def test_no_table_of_counts_has_the_printed_specificities(remarks: dict[str, Remark]) -> None:
    remark = remarks["equal_specificity"]
    assert not remark.holds
    assert (remark.facts["placements"], remark.facts["equal"]) == (8, 0)
    # One viral image taken for normal and three normal ones for viral.
    assert remark.facts["reached"]["viral"][0] == pytest.approx(1 - 3 / (781 - 274))
    assert remark.facts["reached"]["normal"][0] == pytest.approx(1 - 1 / (781 - 267))


def test_the_second_pair_has_the_chi_square_of_scipy(remarks: dict[str, Remark]) -> None:
    facts = remarks["pairs"].facts
    wanted = stats.chi2_contingency(facts["table"], correction=False)
    assert facts["statistic"] == pytest.approx(wanted.statistic, abs=1e-3)
    assert facts["df"] == wanted.dof == 1


def test_perfection_on_48_images_is_compatible_with_92_6_per_cent(remarks: dict[str, Remark]) -> None:
    facts = remarks["certainty"].facts
    for name, (k, n) in {"48/48": (48, 48), "240/240": (240, 240), "777/781": (777, 781)}.items():
        for method, theirs in (("wilson", "wilson"), ("clopper_pearson", "exact")):
            wanted = stats.binomtest(k, n).proportion_ci(0.95, method=theirs)
            assert facts[name][method] == pytest.approx([wanted.low, wanted.high], abs=1e-6)
    assert facts["48/48"]["wilson"][0] == pytest.approx(0.926, abs=5e-4)
