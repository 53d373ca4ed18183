"""Controls: a shortcut is found, its absence too; folds that leak are found; features that know the source are."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr_core.classes import CLASSES
from cxr_core.evaluate import control_labels
from cxr_core.evaluate.control_classifier import scores_of_test
from cxr_core.evaluate.control_contests import ADVANTAGE, TELLS, picture_controls, shortcuts
from cxr_core.evaluate.control_labels import permuted_labels
from cxr_core.evaluate.control_probe import source_probe
from cxr_core.evaluate.frozen import Look
from cxr_core.split.folds import Members, members
from tests.cxr_core.evaluate.study import PARAMS, Study


def verdicts(study: Any) -> dict[str, Any]:
    return {each.name: each for each in picture_controls(study.images, study.dealt, study.predictions, PARAMS)}


def test_networks_that_read_the_lungs_beat_every_control():
    found = verdicts(Study(n=90))
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(
        ("rim", "blanked", "thumbnails"), "beaten"
    )
    for each in found.values():
        assert (each.n, each.groups) == (90, 45)
        for contest in each.per_class.values():
            assert contest.advantage.value == pytest.approx(contest.network.value - contest.control.value)
            assert 0.05 <= contest.advantage.low < contest.advantage.value < contest.advantage.high
            assert contest.control.low < 0.7


def test_a_mark_beside_the_lungs_lets_the_controls_tell_its_class_as_well_as_any_network():
    found = verdicts(Study(n=90, mark="viral", skill=9.0))
    for name in ("rim", "blanked"):
        assert found[name].verdict == "shortcut"
        assert shortcuts(found[name]) == ("viral",)
        assert found[name].per_class["viral"].control.value > 0.97
        assert "other viral pneumonia" in found[name].why
    # The other classes are told apart by the network alone.
    assert found["rim"].per_class["covid"].advantage.low > 0


def test_networks_that_know_nothing_beat_nobody():
    found = verdicts(Study(n=90, skill=0.0))
    assert {each.verdict for each in found.values()} == {"nothing proven"}


def test_what_a_control_that_sees_the_lungs_knows_is_no_shortcut():
    study = Study(n=90, skill=0.0)
    # A class that is brighter, which every control sees.
    study.images[study.dealt.labels == 1] += 60
    found = verdicts(study)
    assert {name: each.verdict for name, each in found.items()} == {
        "rim": "shortcut",
        "blanked": "shortcut",
        "thumbnails": "nothing proven",
    }
    assert found["thumbnails"].per_class["viral"].control.low > TELLS
    assert shortcuts(found["thumbnails"]) == ()


def test_a_control_that_tells_a_class_is_no_shortcut_where_the_networks_tell_it_better():
    rim = verdicts(Study(n=90, mark="viral", skill=9.0))["rim"]
    contest = rim.per_class["viral"]
    better = contest.model_copy(update={"advantage": contest.advantage.model_copy(update={"low": ADVANTAGE})})
    assert shortcuts(rim.model_copy(update={"per_class": rim.per_class | {"viral": better}})) == ()
    weaker = contest.model_copy(update={"control": contest.control.model_copy(update={"low": TELLS - 1e-9})})
    assert shortcuts(rim.model_copy(update={"per_class": rim.per_class | {"viral": weaker}})) == ()


def test_a_class_that_is_not_tested_is_not_won():
    study = Study(n=90)
    study.predictions = [row for row in study.predictions if row.label != 0]
    rim = verdicts(study)["rim"]
    assert (rim.verdict, rim.per_class["covid"].advantage.value) == ("nothing proven", None)
    assert "COVID-19 there is no advantage" in rim.why


def test_leaking_images_are_not_judged():
    study = Study(protocol="paper", n=90)
    leaking = sum(not row.leak_free for row in study.predictions)
    assert leaking > 20
    assert verdicts(study)["rim"].n == 90 - leaking


def test_the_classifier_that_validation_likes_best_is_asked():
    study = Study(n=150)
    part, labels = members(study.dealt, 0), study.dealt.labels
    many = np.random.default_rng(2).normal(size=(150, 60)) + 0.5 * np.eye(3)[labels].repeat(20, axis=1)
    one = np.random.default_rng(3).normal(size=(150, 60))
    one[:, 7] += 8 * (labels == 0)

    def told(model: Any, numbers: Any) -> Any:
        model = make_pipeline(StandardScaler(), model).fit(numbers[part.train], labels[part.train])
        return model.predict_proba(numbers[part.test])

    balanced: Any = {"class_weight": "balanced"}
    lines = [LogisticRegression(C=c, max_iter=2000, tol=1e-3, **balanced) for c in (0.03, 0.003, 0.0003, 0.3)]
    forest = RandomForestClassifier(60, min_samples_leaf=3, random_state=0, **balanced)
    of_many, of_one = (scores_of_test(numbers, labels, part, outcomes=3) for numbers in (many, one))
    assert any(np.allclose(of_many, told(line, many), atol=1e-6) for line in lines)
    np.testing.assert_allclose(of_one, told(forest, one), atol=1e-9)


def test_a_test_image_has_no_say_in_what_it_is_told_by():
    study = Study(n=90)
    part, numbers = members(study.dealt, 1), study.images[:, ::4, ::4].reshape(90, -1).astype(float)
    labels, other = study.dealt.labels, study.dealt.labels.copy()
    other[part.test] = (other[part.test] + 1) % 3
    assert (scores_of_test(numbers, labels, part, outcomes=3) == scores_of_test(numbers, other, part, outcomes=3)).all()
    changed = numbers.copy()
    changed[part.test[1:]] = 0
    first = scores_of_test(numbers, labels, part, outcomes=3)[0]
    assert first == pytest.approx(scores_of_test(changed, labels, part, outcomes=3)[0])


def test_one_outcome_alone_is_named_always_and_an_unknown_one_never():
    numbers, none = np.random.default_rng(0).normal(size=(9, 4)), np.empty(0, dtype=np.int64)
    part = Members(train=np.arange(6), validation=none, test=np.arange(6, 9))
    alone = scores_of_test(numbers, np.array([1] * 9), part, outcomes=3)
    assert alone.tolist() == [[0, 1, 0]] * 3
    two = scores_of_test(numbers, np.array([0, 2] * 4 + [1]), part, outcomes=3)
    assert (two[:, 1] == 0).all()
    assert two.sum(axis=1) == pytest.approx(1)


def test_labels_dealt_anew_are_learned_by_chance_where_no_patient_leaks():
    study = Study(n=240, images_a_patient=4)
    found: Any = permuted_labels(study.images, study.dealt, PARAMS)
    assert (found.verdict, found.n, found.permutations) == ("at chance", 240, 1000)
    assert found.excess.low < 0 < found.excess.high
    assert found.excess.value == pytest.approx(0, abs=0.01)
    # 20 patients of each class: two of 60 agree as often as two balls of one colour are drawn.
    assert found.chance == pytest.approx(3 * 20 * 19 / (60 * 59))
    assert found.excess_all == found.excess


def test_images_dealt_at_random_let_a_patient_be_known_again_and_only_there():
    study = Study(n=240, images_a_patient=4, protocol="paper")
    found: Any = permuted_labels(study.images, study.dealt, PARAMS)
    assert found.excess_all.low > 0.1
    assert found.verdict == "at chance"
    assert 0 < found.n < 240


def all_clean(dealt: Any) -> Any:
    return np.ones(len(dealt.names), dtype=bool)


def test_folds_that_call_leaking_images_clean_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(n=240, images_a_patient=4, protocol="paper")
    monkeypatch.setattr(control_labels, "leak_free", all_clean)
    found: Any = permuted_labels(study.images, study.dealt, PARAMS)
    assert found.verdict == "above chance"
    assert found.excess.low > 0


def test_without_a_leak_free_image_nothing_is_claimed():
    study = Study(n=240, images_a_patient=40, protocol="paper")
    found: Any = permuted_labels(study.images, study.dealt, PARAMS)
    assert (found.verdict, found.excess.value, found.chance) == ("not measured", None, None)


def looks(study: Any, features: Any) -> dict[int, Look]:
    seen: dict[int, Look] = {}
    for fold in range(study.dealt.folds):
        part = members(study.dealt, fold)
        rows = np.concatenate([part.validation, part.test])
        seen[fold] = Look(rows=rows, probabilities=study.scores[rows], features=features[rows])
    return seen


def noise(study: Any) -> Any:
    return np.random.default_rng(1).normal(size=(len(study.rows), 6)).astype(np.float32)


def test_features_that_carry_the_source_are_readable_and_noise_is_not():
    study, large = Study(n=240), Study(n=1800)
    marked = noise(study)
    marked[:, 0] += [4.0 * (row.source == "rsna") for row in study.rows]
    seeing = source_probe(looks(study, marked), study.dealt, confidence=0.95)
    blind = source_probe(looks(large, noise(large)), large.dealt, confidence=0.95)
    assert (blind.verdict, seeing.verdict) == ("not readable", "readable")
    assert set(seeing.per_class) == set(CLASSES)
    estimates: list[Any] = list(seeing.per_class.values())
    for estimate in estimates:
        assert 0.75 < estimate.low <= estimate.value
        assert estimate.value > 0.9
        assert estimate.n == 80
    assert (seeing.n, seeing.groups, seeing.skipped) == (240, 120, {})
    assert "0.5 is a coin" in seeing.why


def test_of_few_images_whose_limits_reach_a_fair_area_nothing_is_said() -> None:
    study = Study(n=96)
    found = source_probe(looks(study, noise(study)), study.dealt, confidence=0.95)
    assert all(estimate.low <= 0.6 for estimate in found.per_class.values())
    assert any(estimate.high >= 0.6 for estimate in found.per_class.values())
    assert found.verdict == "not decided"


def test_a_class_that_tells_the_source_is_not_asked_about():
    study = Study(n=240)
    names = [
        f"{('sirm', 'kaggle', 'rsna')[label]}:{name}"
        for label, name in zip(study.dealt.labels, study.dealt.names, strict=True)
    ]
    dealt = replace(study.dealt, names=tuple(names))
    found = source_probe(looks(study, noise(study)), dealt, confidence=0.95)
    assert (found.verdict, found.per_class, found.n) == ("not identifiable", {}, 0)
    assert set(found.skipped) == set(CLASSES)
    assert "It takes two sources" in found.why
