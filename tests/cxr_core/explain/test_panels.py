"""Panels: chosen without looking, half right and half wrong, and drawn with the counts that put them right."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxr_core.classes import CLASSES
from cxr_core.errors import EvidenceError
from cxr_core.explain.panels import Panel, choose, panels_figure
from tests.cxr_core.evaluate.examples import prediction, predictions


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 9))
def test_half_are_wrong_unless_one_half_has_too_few(right, wrong, per_class):
    rows = [
        prediction(number, probabilities=(0.6, 0.2, 0.2) if number < right else (0.2, 0.6, 0.2))
        for number in range(right + wrong)
    ]
    shown = choose(rows, per_class=per_class)["covid"]
    assert len(shown) == min(per_class, right + wrong)
    wrong_shown = sum(not row.correct for row in shown)
    assert wrong_shown >= min(wrong, per_class // 2)
    assert len(shown) - wrong_shown >= min(right, per_class - per_class // 2)


def test_the_choice_depends_on_names_alone_and_new_images_do_not_reshuffle_it():
    rows = predictions(120, strength=1.0)
    chosen = choose(rows, per_class=4)
    assert choose(rows[::-1], per_class=4) == chosen
    kept = {row.name for shown in chosen.values() for row in shown}
    grown = choose([*rows, *(prediction(number) for number in range(500, 520))], per_class=4)
    old = {row.name for row in rows}
    for shown in grown.values():
        assert {row.name for row in shown} & old <= kept
    for slug, shown in chosen.items():
        assert all(CLASSES[row.label] == slug for row in shown)


def panels(rows):
    rng = np.random.default_rng(0)
    return [
        Panel(prediction=row, pixels=rng.integers(0, 256, (32, 32), dtype=np.uint8), heat=np.eye(32) * (index > 0))
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize("per_class", [1, 2, 5])
def test_panels_are_drawn_the_same_each_time(per_class):
    rows = predictions(60, strength=1.0)
    shown = panels(choose(rows, per_class=per_class)["viral"])
    data = panels_figure("viral", shown, rows)
    picture = np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB"))
    assert picture.shape[1] >= 1300
    assert data == panels_figure("viral", shown, rows)


def test_the_picture_changes_with_the_counts_behind_it():
    rows = predictions(60, strength=1.0)
    shown = panels(choose(rows, per_class=1)["viral"])
    assert panels_figure("viral", shown, rows) != panels_figure("viral", shown, rows[:30])


def test_no_panel_or_a_foreign_one_is_refused():
    rows = predictions(30)
    with pytest.raises(EvidenceError) as caught:
        panels_figure("covid", [], rows)
    assert caught.value.reason == "no_panels"
    with pytest.raises(EvidenceError) as caught:
        panels_figure("covid", panels(choose(rows, per_class=1)["normal"]), rows)
    assert caught.value.reason == "foreign_panel"
