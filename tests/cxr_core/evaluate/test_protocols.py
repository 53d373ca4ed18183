"""Protocols side by side: the laws of the table, its words and its picture."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.compare import compare
from cxr_core.evaluate.parts import Coverage
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.protocol_figure import protocols_figure
from cxr_core.evaluate.protocol_parts import ProtocolTable, parse_protocols, protocols_json
from cxr_core.evaluate.protocol_tables import drop_words, protocol_metrics, protocols_csv
from cxr_core.evaluate.protocols import Dealt, protocol_table
from cxr_core.params import EvaluateParams, Protocol
from tests.cxr_core.evaluate.examples import predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=200, seed=1)
WHY = "To test sirm each of its classes needs 5 patient groups elsewhere: covid has 0."


def dealt(
    protocol: Protocol, rows: Sequence[Prediction], *, cohort: int = 150, refused: dict[str, str] | None = None
) -> Dealt:
    return Dealt(
        protocol=protocol,
        predictions=rows,
        coverage=Coverage(tested=len(rows), held_out=0, cohort=cohort, not_identifiable=refused or {}),
        sources={"sirm": 30, "github": 40, "rsna": 40, "kaggle": 40},
        split="sha256:" + "b" * 64,
        commit="0" * 40,
        runs={"fold-0": "1f"},
    )


def table_of(*each: Dealt) -> ProtocolTable:
    return protocol_table(each, PARAMS, cohort="sha256:" + "a" * 64, synthetic=False)


@pytest.fixture(scope="module")
def three() -> ProtocolTable:
    """The first leaks and is right; the second has the same images and is worse; the third tests three sources."""
    left = [row for row in predictions(150, strength=1.0) if row.source != "sirm"]
    return table_of(
        dealt("paper", predictions(150, leaking=0.2)),
        dealt("grouped", predictions(150, strength=1.2)),
        dealt("loso", left, refused={"sirm": WHY}),
    )


def test_the_order_of_images_changes_nothing(three: ProtocolTable) -> None:
    rows = predictions(150, leaking=0.2), predictions(150, strength=1.2)
    shuffled = [random.Random(3).sample(each, len(each)) for each in rows]
    assert table_of(dealt("paper", shuffled[0]), dealt("grouped", shuffled[1])) == table_of(
        dealt("paper", rows[0]), dealt("grouped", rows[1])
    )


def test_json_gives_the_table_back_and_a_changed_figure_is_found(three: ProtocolTable) -> None:
    body = protocols_json(three)
    assert parse_protocols(body) == three
    body["rows"][1]["leak"]["leaking"] = 1
    with pytest.raises(EvidenceError) as caught:
        parse_protocols(body)
    assert caught.value.reason == "digest_mismatch"


def test_figures_are_counted_on_the_images_of_the_protocol(three: ProtocolTable) -> None:
    for row, rows in zip(three.rows, (predictions(150, leaking=0.2), predictions(150, strength=1.2)), strict=False):
        assert (row.people.accuracy.k, row.people.n) == (sum(each.correct for each in rows), len(rows))
        assert row.leak.leaking == sum(not each.leak_free for each in rows)
        clean = [each for each in rows if each.leak_free]
        assert (row.leak_free_accuracy.k, row.leak_free_accuracy.n) == (sum(e.correct for e in clean), len(clean))
        assert sum(one.n for one in row.sources) == row.people.n
        means = [fold.accuracy for fold in row.people.folds]
        assert row.people.mean_fold_accuracy.value == pytest.approx(sum(means) / len(means))


def test_a_drop_is_paired_on_the_images_that_both_test(three: ProtocolTable) -> None:
    paper, _, loso = three.rows
    assert paper.against is None
    assert loso.against is not None
    assert loso.against.n == loso.people.n < paper.people.n
    # Where nothing leaks, it is what two runs side by side show.
    first, second = predictions(150, strength=1.2), predictions(150)
    against = table_of(dealt("paper", second), dealt("grouped", first)).rows[1].against
    known = compare(first, second, confidence=0.95, resamples=200, seed=1)
    assert against is not None
    assert (against.accuracy, against.macro_auc) == (known.accuracy, known.macro_auc)
    assert (against.only_this_right, against.only_reference_right) == (known.only_first_right, known.only_second_right)
    assert against.mcnemar_p == known.mcnemar_p


def test_images_that_leak_count_on_both_sides() -> None:
    rows = predictions(150, leaking=0.5)
    clean = [replace(row, leak_free=True) for row in rows]
    against = table_of(dealt("paper", rows), dealt("grouped", clean)).rows[1].against
    assert against is not None
    assert against.n == len(rows)
    # The same probabilities leave nothing to doubt.
    for one in (against.accuracy, against.macro_auc, *against.auc.values()):
        assert (one.value, one.low, one.high) == (0, 0, 0)


def test_no_image_in_common_is_said_and_compares_nothing() -> None:
    rows = predictions(60)
    table = table_of(dealt("paper", rows[:30]), dealt("grouped", rows[30:]))
    against = table.rows[1].against
    assert against is not None
    assert (against.n, against.accuracy.value, against.mcnemar_p) == (0, None, None)
    assert against.accuracy.why
    assert "no image in common" in drop_words(table.rows[1])
    assert parse_protocols(protocols_json(table)) == table


@pytest.mark.parametrize("protocol", ["grouped", "loso"])
def test_a_leak_where_none_may_be_gives_no_table(protocol: Protocol) -> None:
    with pytest.raises(EvidenceError) as caught:
        table_of(dealt("paper", predictions(60)), dealt(protocol, predictions(60, leaking=0.5)))
    assert caught.value.reason == "leaking_folds"


def test_one_protocol_twice_is_refused() -> None:
    with pytest.raises(EvidenceError) as caught:
        table_of(dealt("paper", predictions(60)), dealt("paper", predictions(60)))
    assert caught.value.reason == "doubled_protocol"


def test_a_source_that_cannot_be_tested_says_why_and_one_of_one_class_has_no_auc(three: ProtocolTable) -> None:
    sources = {one.source: one for one in three.rows[2].sources}
    assert (sources["sirm"].verdict, sources["sirm"].n, sources["sirm"].why) == ("not identifiable", 0, WHY)
    assert sources["sirm"].accuracy.value is None
    kaggle = sources["kaggle"]
    assert kaggle.images == {"covid": 0, "viral": 0, "normal": kaggle.n}
    assert "one class, normal" in kaggle.why
    assert all(kaggle.auc[slug].value is None and kaggle.auc[slug].why for slug in CLASSES)
    assert kaggle.accuracy.value is not None


def test_a_source_that_no_fold_tests_is_not_hidden() -> None:
    rows = [row for row in predictions(150) if row.source != "sirm"]
    sources = {one.source: one for one in table_of(dealt("batches", rows)).rows[0].sources}
    assert sources["sirm"].verdict == "not tested"
    assert sources["sirm"].why


def test_what_is_pooled_is_said_by_class_and_source(three: ProtocolTable) -> None:
    for row in three.rows:
        for one in row.sources:
            for slug, n in one.images.items():
                assert (f"{one.source} {n}" in row.pools) or n == 0, (row.protocol, slug)
    assert "saw no image of its source" in three.rows[2].pools
    only = [row for row in predictions(60) if row.label != 0]
    assert "no image of COVID-19" in table_of(dealt("loso", only)).rows[0].pools


def test_the_csv_and_the_metrics_say_what_the_table_says(three: ProtocolTable) -> None:
    lines = list(csv.DictReader(io.StringIO(protocols_csv(three))))
    metrics = protocol_metrics(three)
    assert [line["protocol"] for line in lines] == ["paper", "grouped", "loso"]
    for line, row in zip(lines, three.rows, strict=True):
        accuracy = row.people.accuracy
        assert (float(line["accuracy"]), float(line["accuracy.low"])) == (accuracy.value, accuracy.low)
        assert (int(line["leaking"]), int(line["n"])) == (row.leak.leaking, row.people.n)
        assert metrics[f"{row.protocol}.accuracy"] == accuracy.value
        assert (f"{row.protocol}.against.accuracy" in metrics) == (row.against is not None)
    assert lines[0]["against.accuracy"] == ""
    assert float(lines[2]["against.n"]) == three.rows[2].people.n
    assert lines[2]["not_identifiable"] == "sirm"


def test_a_drop_is_told_with_n_and_interval_and_none_is_claimed_without(three: ProtocolTable) -> None:
    text = drop_words(three.rows[1])
    assert "on the 150 images" in text
    assert "a drop" in text
    same = table_of(dealt("paper", predictions(60)), dealt("grouped", predictions(60, seed=5)))
    assert "no difference shown" in drop_words(same.rows[1])


def test_the_picture_is_the_same_each_time_also_where_a_figure_is_missing(three: ProtocolTable) -> None:
    assert protocols_figure(three) == protocols_figure(three)
    only = [row for row in predictions(60) if row.label != 0]
    table = table_of(dealt("paper", predictions(60)), dealt("loso", only))
    assert table.rows[1].people.macro_auc.value is None
    assert protocols_figure(table).startswith(b"\x89PNG")
