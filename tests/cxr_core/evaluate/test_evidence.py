"""Evidence: each figure against scikit-learn or by hand, two populations, nothing missing passed as a number."""

import json
import random

import numpy as np
import pytest
from sklearn import metrics

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.schema import Coverage, digest_of, evidence_json, parse_evidence
from cxr_core.params import EvaluateParams
from cxr_core.stats.intervals import wilson
from tests.cxr_core.evaluate.examples import context, prediction, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=300, seed=7)


@pytest.fixture(scope="module")
def rows():
    return predictions(240, leaking=0.3, strength=1.8)


@pytest.fixture(scope="module")
def evidence(rows):
    return measure(rows, PARAMS, context=context())


def columns(rows):
    label = np.array([row.label for row in rows])
    scores = np.array([row.probabilities for row in rows])
    return label, scores.argmax(axis=1), scores


@pytest.mark.parametrize("population", ["all", "leak_free"])
def test_points_agree_with_sklearn(rows, evidence, population):
    people = getattr(evidence, population)
    label, predicted, scores = columns([row for row in rows if population == "all" or row.leak_free])
    assert people.n == len(label)
    assert people.accuracy.value == pytest.approx(metrics.accuracy_score(label, predicted))
    assert np.array(people.confusion).tolist() == metrics.confusion_matrix(label, predicted).tolist()
    recall = metrics.recall_score(label, predicted, average=None)
    aucs = [metrics.roc_auc_score(label == index, scores[:, index]) for index in range(3)]
    for index, slug in enumerate(CLASSES):
        figures = people.per_class[slug]
        assert figures.n == (label == index).sum()
        assert figures.sensitivity.value == pytest.approx(recall[index])
        specificity = metrics.recall_score(label != index, predicted != index)
        assert figures.specificity.value == pytest.approx(specificity)
        assert figures.auc.value == pytest.approx(aucs[index])
    assert people.macro_auc.value == pytest.approx(np.mean(aucs))
    assert people.macro_auc.value == pytest.approx(metrics.roc_auc_score(label, scores, multi_class="ovr"))
    brier = ((scores - np.eye(3)[label]) ** 2).sum(axis=1).mean()
    assert people.brier.value == pytest.approx(brier)


def test_every_estimate_has_an_n_and_two_intervals_around_it(evidence):
    for people in (evidence.all, evidence.leak_free):
        estimates = [people.accuracy, people.mean_fold_accuracy, people.macro_auc, people.brier]
        for figures in people.per_class.values():
            estimates += [figures.sensitivity, figures.specificity, figures.auc]
        for estimate in estimates:
            assert estimate.n > 0
            assert estimate.low < estimate.value < estimate.high
            assert estimate.cluster_low < estimate.value < estimate.cluster_high
            assert estimate.lower == min(estimate.low, estimate.cluster_low)
            assert estimate.why == ""


def test_proportions_carry_wilsons_interval(evidence):
    accuracy = evidence.all.accuracy
    limits = wilson(accuracy.k, accuracy.n, confidence=0.95)
    assert (accuracy.low, accuracy.high, accuracy.method) == (limits.low, limits.high, "wilson")
    assert accuracy.value == accuracy.k / accuracy.n


def test_the_mean_over_folds_is_the_mean_of_the_table(rows, evidence):
    shares = [np.mean([row.correct for row in rows if row.fold == fold]) for fold in range(5)]
    assert [fold.accuracy for fold in evidence.all.folds] == pytest.approx(shares)
    assert evidence.all.mean_fold_accuracy.value == pytest.approx(np.mean(shares))
    assert sum(fold.n for fold in evidence.all.folds) == len(rows)
    for fold in evidence.all.folds:
        assert fold.error == pytest.approx(1 - fold.accuracy)
        assert fold.error * fold.n == pytest.approx(fold.n - fold.correct)


def test_many_images_of_few_patients_widen_the_patient_interval_alone():
    base = predictions(60, strength=1.0, images_a_patient=1)
    copies = [
        prediction(
            100 * number + row.label,
            name=f"{row.name}{number}",
            sha256=f"{row.sha256}{number}",
            **{field: getattr(row, field) for field in ("group", "label", "probabilities", "fold", "source")},
        )
        for row in base
        for number in range(10)
    ]
    accuracy = measure(copies, PARAMS, context=context()).all.accuracy
    assert accuracy.cluster_high - accuracy.cluster_low > 2 * (accuracy.high - accuracy.low)
    assert accuracy.lower == accuracy.cluster_low


def test_the_chi_square_stands_for_all_three_pairs_and_counts_the_third_class(evidence):
    assert [pair.classes for pair in evidence.all.chi_square] == [
        ("covid", "viral"),
        ("covid", "normal"),
        ("viral", "normal"),
    ]
    confusion = np.array(evidence.all.confusion)
    for pair in evidence.all.chi_square:
        first, second = (CLASSES.index(slug) for slug in pair.classes)
        third = 3 - first - second
        assert pair.outside == confusion[first, third] + confusion[second, third]
        assert pair.n + pair.outside == confusion[[first, second]].sum()
        assert pair.df == 1
        assert 0 <= pair.p < 0.001


def test_a_perfect_pair_has_a_chi_square_of_n():
    rows = [
        prediction(number, label=number % 3, probabilities=tuple(np.eye(3)[number % 3].tolist()))
        for number in range(30)
    ]
    people = measure(rows, PARAMS, context=context()).all
    assert [pair.statistic for pair in people.chi_square] == pytest.approx([20, 20, 20])
    assert people.per_class["covid"].auc.method == "newcombe"
    assert people.per_class["covid"].auc.low < 1


def test_strata_stand_worst_first_and_add_up(rows, evidence):
    values = [(stratum.too_few, stratum.accuracy.value) for stratum in evidence.leak_free.strata]
    assert values == sorted(values)
    for by in ("source", "view", "sex", "age", "label_provenance"):
        counts = [stratum.accuracy.n for stratum in evidence.all.strata if stratum.by == by]
        assert sum(counts) == len(rows)
    assert {stratum.value for stratum in evidence.all.strata if stratum.by == "age"} == {
        *("", "0-17", "18-39", "40-64", "65+")
    }


def test_a_stratum_with_too_few_images_or_patients_says_so_and_stands_behind_the_others():
    rows = predictions(150, strength=4.0)
    bad = [prediction(5000 + number, view="lateral", label=1) for number in range(5)]
    of_few = [prediction(6000 + number, view="AP supine", group=f"p{number % 4}", label=1) for number in range(40)]
    strata = measure([*rows, *bad, *of_few], PARAMS, context=context()).all.strata
    views = {each.value: each for each in strata if each.by == "view"}
    assert {value for value, each in views.items() if each.too_few} == {"lateral", "AP supine"}
    assert (views["lateral"].accuracy.n, views["AP supine"].groups) == (5, 4)
    assert views["lateral"].accuracy.value == 0
    assert [each.too_few for each in strata] == sorted(each.too_few for each in strata)


def test_evidence_of_before_strata_counted_patients_keeps_its_digest(evidence):
    body = json.loads(json.dumps(evidence_json(evidence)))
    for people in (body["all"], body["leak_free"]):
        people["strata"] = [
            {key: value for key, value in each.items() if key not in ("groups", "too_few")}
            for each in people["strata"]
            if each["by"] != "label_provenance"
        ]
    body["digest"] = digest_of(body)
    old = parse_evidence(body)
    assert evidence_json(old) == body
    assert {each.too_few for each in old.all.strata} == {None}


def test_calibration_error_is_the_gap_over_bins(rows, evidence):
    label, predicted, scores = columns(rows)
    top, right = scores.max(axis=1), label == predicted
    gap = 0.0
    for low in np.arange(10) / 10:
        inside = (top > low) & (top <= low + 0.1)
        if inside.any():
            gap += inside.mean() * abs(top[inside].mean() - right[inside].mean())
    assert evidence.all.calibration_error.value == pytest.approx(gap)
    assert sum(bin_.n for bin_ in evidence.all.reliability) == len(rows)
    for bin_ in evidence.all.reliability:
        inside = (top > bin_.low) & (top <= bin_.high)
        assert bin_.n == inside.sum()
        assert bin_.low < bin_.mean_probability <= bin_.high
        assert bin_.accuracy == pytest.approx(right[inside].mean())


def test_leak_is_counted_and_without_leak_both_populations_are_one(rows, evidence):
    leaking = sum(not row.leak_free for row in rows)
    assert (evidence.leak.leaking, evidence.leak.n) == (leaking, len(rows))
    assert evidence.leak_free.n == len(rows) - leaking
    grouped = measure(predictions(60), PARAMS, context=context(protocol="grouped"))
    assert grouped.leak.share == 0
    assert grouped.leak_free == grouped.all


def test_without_any_leak_free_image_its_figures_are_null_and_say_why():
    rows = [prediction(number, label=number % 3, leak_free=False) for number in range(12)]
    people = measure(rows, PARAMS, context=context()).leak_free
    assert (people.n, people.groups, people.strata, people.folds) == (0, 0, (), ())
    assert people.largest_class_share is None
    for estimate in (people.accuracy, people.mean_fold_accuracy, people.macro_auc, people.brier):
        assert estimate.value is estimate.lower is None
        assert estimate.why
    assert all(pair.statistic is None and pair.why for pair in people.chi_square)


def test_a_class_with_one_image_has_no_auc_and_says_so():
    rows = [prediction(number, label=min(number, 2)) for number in range(10)]
    people = measure(rows, PARAMS, context=context()).all
    assert people.per_class["covid"].auc.value is None
    assert "2 images on each side, found 1 and 9" in people.per_class["covid"].auc.why
    assert "found 1 covid, 1 viral, 8 normal" in people.macro_auc.why


def test_one_patient_only_leaves_no_bound_to_read():
    rows = [prediction(number, label=number % 3, group="same") for number in range(30)]
    people = measure(rows, PARAMS, context=context()).all
    assert people.accuracy.value is not None
    assert people.accuracy.lower is None
    assert "at least 2 of them" in people.accuracy.why
    assert people.macro_auc.value is None


def test_class_by_source_is_null_where_one_source_gave_everything(evidence):
    assert 0 < evidence.class_by_source.value <= 1
    alone = measure([prediction(number, label=number % 3) for number in range(9)], PARAMS, context=context())
    assert alone.class_by_source.value is None
    assert alone.class_by_source.why


def test_order_of_rows_changes_nothing(rows, evidence):
    shuffled = list(rows)
    random.Random(1).shuffle(shuffled)
    assert measure(shuffled, PARAMS, context=context()) == evidence


def test_json_comes_back_whole_and_a_changed_number_is_found(evidence):
    body = json.loads(json.dumps(evidence_json(evidence), allow_nan=False))
    assert parse_evidence(body) == evidence
    assert evidence.digest == digest_of(body)
    body["leak_free"]["accuracy"]["low"] += 1e-9
    with pytest.raises(EvidenceError) as caught:
        parse_evidence(body)
    assert caught.value.reason == "digest_mismatch"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("leak_free", "accuracy", "low"), float("nan")),
        (("leak_free", "accuracy", "low"), "0.9"),
        (("context", "synthetic"), None),
        (("schema",), 2),
        (("surprise",), 1),
    ],
)
def test_evidence_of_another_shape_is_refused_with_its_path(evidence, path, value):
    body = json.loads(json.dumps(evidence_json(evidence)))
    node = body
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    with pytest.raises(EvidenceError, match=r"\.".join(path)) as caught:
        parse_evidence(body)
    assert caught.value.reason == "bad_evidence"


def test_impossible_predictions_make_no_evidence():
    with pytest.raises(EvidenceError, match="predicted 2 times"):
        measure([prediction(), prediction()], PARAMS, context=context())


@pytest.fixture(scope="module")
def held_out():
    """Held-out images as the refit sees them: others than the folds'."""
    return [
        prediction(1000 + number, group=f"h{number}", fold=None, label=row.label, probabilities=row.probabilities)
        for number, row in enumerate(predictions(60, seed=3))
    ]


def coverage(**changes):
    return Coverage(**({"tested": 240, "held_out": 60, "cohort": 330, "not_identifiable": {}} | changes))


def test_held_out_images_have_a_table_of_their_own_and_change_no_other(rows, evidence, held_out):
    both = measure(rows, PARAMS, context=context(), coverage=coverage(), holdout=held_out)
    assert (both.all, both.leak_free, both.leak) == (evidence.all, evidence.leak_free, evidence.leak)
    people = both.holdout
    label, predicted, scores = columns(held_out)
    assert (people.n, people.groups) == (60, 60)
    assert people.accuracy.value == pytest.approx(metrics.accuracy_score(label, predicted))
    assert people.accuracy.low < people.accuracy.value < people.accuracy.high
    assert people.macro_auc.value == pytest.approx(metrics.roc_auc_score(label, scores, multi_class="ovr"))
    assert {slug: figures.n for slug, figures in people.per_class.items()} == dict.fromkeys(CLASSES, 20)
    assert people.folds == ()
    assert people.mean_fold_accuracy.value is None
    assert "refit" in people.mean_fold_accuracy.why
    assert parse_evidence(json.loads(json.dumps(evidence_json(both)))) == both


def test_a_change_of_a_held_out_prediction_changes_the_evidence(rows, held_out):
    first, *others = held_out
    low, middle, high = first.probabilities
    other = prediction(1000, group="h0", fold=None, label=first.label, probabilities=(middle, high, low))
    one, two = (measure(rows, PARAMS, context=context(), holdout=each) for each in (held_out, [other, *others]))
    assert one.holdout_predictions != two.holdout_predictions
    assert one.digest != two.digest


def test_evidence_without_held_out_images_reads_as_it_always_did(evidence):
    # Digests of evidence that stands in ledgers cover exactly these keys.
    assert set(evidence_json(evidence)) == {
        *("schema", "context", "predictions", "confidence", "bootstrap", "seed", "all", "leak_free", "leak"),
        *("class_by_source", "digest"),
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "240 of 330 images tested, 60 held out"),
        ({"held_out": 0, "cohort": 240}, "240 of 240 images tested"),
        ({"held_out": 0, "not_identifiable": {"rsna": "Why."}}, "240 of 330 images tested; not identifiable: rsna"),
    ],
)
def test_what_was_not_tested_is_said_with_its_number(changes, words):
    assert coverage(**changes).words == words


@pytest.mark.parametrize("changes", [{"tested": 241}, {"held_out": 59}])
def test_predictions_that_miss_an_image_are_no_evidence(rows, held_out, changes):
    with pytest.raises(EvidenceError, match="found 240 and 60") as caught:
        measure(rows, PARAMS, context=context(), coverage=coverage(**changes), holdout=held_out)
    assert caught.value.reason == "incomplete_predictions"


def test_folds_and_refit_are_never_pooled(rows, held_out):
    for predicted, apart in (([*rows, *held_out], ()), (rows, rows[:5]), (rows, [*held_out, held_out[0]])):
        with pytest.raises(EvidenceError):
            measure(predicted, PARAMS, context=context(), holdout=apart)


def test_classes_that_no_fold_tests_are_said():
    # As where one source is left out: none of its images is of the third class.
    rows = [row for row in predictions(120, seed=5) if row.label != 2]
    people = measure(rows, PARAMS, context=context(protocol="loso")).all
    normal = people.per_class["normal"]
    assert normal.n == 0
    assert (normal.sensitivity.value, normal.sensitivity.why) == (None, "There is no image to count.")
    assert normal.specificity.value is not None
    assert "0 normal" in people.macro_auc.why
    assert people.accuracy.value is not None
