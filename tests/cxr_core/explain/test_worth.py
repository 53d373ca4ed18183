"""What maps are worth: each number on maps whose truth is known, its rule at the edges, JSON there and back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.explain.records import parse_saliency, saliency_json
from cxr_core.explain.sanity import Cascaded
from cxr_core.explain.worth import IMAGES_A_CLASS, FoldMaps, examine, sampled, worth
from cxr_core.explain.worth_figure import worth_figure
from cxr_core.imaging.field import lung_field
from cxr_core.params import EvaluateParams
from tests.cxr_core.evaluate.examples import predictions
from tests.cxr_core.explain.networks import ConvGapFc

PARAMS = EvaluateParams(confidence=0.95, bootstrap=200, seed=7)
Maps = NDArray[np.float64]

FOLDS, SIZE = 3, 64
ROWS = sampled(predictions(90, folds=FOLDS, leaking=0.1))
FOLD = np.array([row.fold for row in ROWS])
# Fold i tests, the fold before it validates, the others train.
TRAINED = np.array([(FOLD - fold) % FOLDS == 2 for fold in range(FOLDS)])


def noise(seed: int, side: int = 8) -> Maps:
    return np.random.default_rng(seed).random((len(ROWS), side, side))


def found(maps: Sequence[Maps], *, rank: float = 0.1, random: Maps | None = None) -> list[FoldMaps]:
    """Each fold's maps; every step of its cascade with this rank correlation, and these maps at its end."""
    made: list[FoldMaps] = []
    for fold in range(FOLDS):
        tested = np.flatnonzero(fold == FOLD)
        likeness = np.full((2, len(tested)), rank) + np.linspace(-0.05, 0.05, len(tested))
        last = (noise(99) if random is None else random)[tested]
        cascaded = Cascaded(stages=("fc", "layer4"), rank=likeness, ssim=likeness / 2, random=last)
        made.append(FoldMaps(maps=maps[fold], tested=tested, cascaded=cascaded))
    return made


def judged(maps: Sequence[Maps], **told: Any) -> Any:
    return worth(ROWS, found(maps, **told), TRAINED, PARAMS, layer="layer4", size=SIZE)


def test_the_images_are_the_first_leak_free_ones_of_each_class_whatever_was_said():
    rows = predictions(300, strength=0.5, leaking=0.4)
    chosen = sampled(rows)
    assert sampled(rows[::-1]) == chosen
    assert [sum(row.label == index for row in chosen) for index in range(3)] == [IMAGES_A_CLASS] * 3
    assert all(row.leak_free for row in chosen)
    wronged = [replace(row, probabilities=row.probabilities[1:] + row.probabilities[:1]) for row in rows]
    assert [row.name for row in sampled(wronged)] == [row.name for row in chosen]


@pytest.mark.parametrize(
    ("rank", "verdict"),
    [
        (0.1, "depend on the weights"),
        (0.9, "do not depend on the weights"),
        (0.5, "not decided"),
        (np.nan, "not decided"),
    ],
)
def test_the_verdict_follows_its_rule_and_says_it(rank: float, verdict: str) -> None:
    cascade = judged([noise(1)] * FOLDS, rank=rank).cascade
    assert (cascade.verdict, cascade.networks) == (verdict, FOLDS)
    assert [step.stage for step in cascade.steps] == ["fc", "layer4"]
    last = cascade.steps[-1]
    if np.isnan(rank):
        assert (last.rank.value, last.rank.n, last.quartiles) == (None, 0, None)
        return
    assert last.rank.value == pytest.approx(rank, abs=0.01)
    assert last.ssim.value == pytest.approx(rank / 2, abs=0.01)
    assert (last.rank.n, last.rank.low < last.rank.value < last.rank.high) == (len(ROWS), True)
    assert last.quartiles[0] < last.rank.value < last.quartiles[1]
    for words in (f"{last.rank.value:.2f}", f"n = {len(ROWS)}", "below 0.5"):
        assert words in cascade.why


def test_mass_is_counted_where_the_field_is_and_told_beside_the_field_s_area():
    field = lung_field(SIZE).astype(float)
    inside, anywhere = (np.repeat(each[None], len(ROWS), axis=0) for each in (field, np.ones((SIZE, SIZE))))
    lungs = judged([inside] * FOLDS, random=anywhere).lungs
    assert lungs.area == pytest.approx(field.mean())
    for row in lungs.per_class.values():
        assert row.share.value == pytest.approx(1)
        assert row.random.value == pytest.approx(lungs.area)
        assert row.share.n == IMAGES_A_CLASS
    assert "no segmentation and no expert's mask" in lungs.field
    outside = judged([1 - inside] * FOLDS).lungs
    assert all(row.share.value == pytest.approx(0, abs=1e-9) for row in outside.per_class.values())


def test_only_the_network_that_tests_an_image_is_asked_where_its_map_lies():
    field = np.repeat(lung_field(SIZE)[None].astype(float), len(ROWS), axis=0)
    maps = [np.where(np.equal(FOLD, fold)[:, None, None], field, 1 - field) for fold in range(FOLDS)]
    assert all(row.share.value == pytest.approx(1) for row in judged(maps).lungs.per_class.values())


def test_agreement_is_of_the_image_not_of_the_place_and_flat_maps_count_nowhere():
    same = judged([noise(1), 2 * noise(1), noise(1) ** 3]).agreement.per_class
    apart = judged([noise(1), noise(2), noise(3)]).agreement.per_class
    place = judged([np.repeat(noise(1)[:1], len(ROWS), axis=0)] * FOLDS).agreement.per_class
    for slug in CLASSES:
        assert (same[slug].unseen.value, same[slug].every.value) == (pytest.approx(1), pytest.approx(1))
        assert same[slug].unseen.low < same[slug].unseen.high == 1
        assert abs(same[slug].others.value) < 0.2
        assert abs(apart[slug].every.value) < 0.2
        assert place[slug].others.value == pytest.approx(1)
    flat = noise(1)
    flat[0] = 0
    assert judged([flat] * FOLDS).agreement.per_class["covid"].every.n == IMAGES_A_CLASS - 1


def test_pairs_that_have_not_trained_on_the_image_are_told_apart_from_those_that_have():
    # Networks that have trained on an image agree on it with nobody.
    maps = [np.where(TRAINED[fold][:, None, None], noise(10 + fold), noise(1)) for fold in range(FOLDS)]
    for row in judged(maps).agreement.per_class.values():
        assert row.unseen.value == pytest.approx(1)
        assert row.every.value < 0.6
    everyone = worth(ROWS, found(maps), np.ones_like(TRAINED), PARAMS, layer="layer4", size=SIZE)
    assert all(row.unseen.value is None and row.every.value for row in everyone.agreement.per_class.values())


def test_a_run_without_a_leak_free_image_or_with_one_fold_claims_nothing():
    empty = worth((), [], np.zeros((0, 0), dtype=bool), PARAMS, layer="layer4", size=SIZE)
    assert (empty.images, empty.cascade.verdict, empty.cascade.steps) == (0, "not decided", ())
    alone = worth(ROWS, found([noise(1)] * FOLDS)[:1], TRAINED[:1], PARAMS, layer="layer4", size=SIZE)
    assert alone.agreement.per_class["covid"].every.value is None
    for each in (empty, alone):
        assert parse_saliency(json.loads(json.dumps(saliency_json(each)))) == each
        assert worth_figure(each).startswith(b"\x89PNG")


def test_json_there_and_back_is_the_same_and_a_fault_is_named():
    made = judged([noise(1), noise(2), noise(3)])
    data = json.loads(json.dumps(saliency_json(made)))
    assert parse_saliency(data) == made
    assert worth_figure(made) == worth_figure(parse_saliency(data))
    del data["lungs"]["area"]
    with pytest.raises(EvidenceError, match=r"lungs\.area"):
        parse_saliency(data)


def test_a_network_is_examined_on_every_image_and_drawn_anew_on_those_it_tests():
    pixels = np.random.default_rng(0).integers(0, 256, (len(ROWS), 16, 16), dtype=np.uint8)
    made = examine(ConvGapFc(), ConvGapFc(seed=3), "layer4", pixels, ROWS, 1)
    assert made.maps.shape[:1] == (len(ROWS),)
    assert made.tested.tolist() == np.flatnonzero(FOLD == 1).tolist()
    assert made.cascaded is not None
    assert made.cascaded.rank.shape == (2, len(made.tested))
    assert examine(ConvGapFc(), ConvGapFc(seed=3), "layer4", pixels, ROWS, 9).cascaded is None
