"""Calibration: honest networks need none, boasters are told so, and no test image judges itself."""

from dataclasses import replace

import pytest

from cxr_core.evaluate.calibrate import calibrate, tempered
from tests.cxr_core.evaluate.examples import prediction
from tests.cxr_core.evaluate.study import PARAMS, Study


def boasting(study, factor):
    """The same study by networks that are surer than they are right."""
    study.predictions, study.validation = (tempered(rows, 1 / factor) for rows in (study.predictions, study.validation))
    return study


def test_boasters_get_a_temperature_that_mends_their_probabilities_and_no_answer():
    study = boasting(Study(n=300, skill=1.5), 3.0)
    found = calibrate(study.validation, study.predictions, PARAMS)
    assert 1.5 < found.temperature.low < found.temperature.value < found.temperature.high
    assert (found.images, found.temperature.n) == (300, 300)
    for figure in ("log_loss", "brier", "calibration_error"):
        assert getattr(found.after, figure).value < getattr(found.before, figure).value
    before, after = (sum(row.correct for row in rows) for rows in (study.predictions, tempered(study.predictions, 3.0)))
    assert before == after
    assert sum(tenth.n for tenth in found.after.reliability) == 300


def test_the_temperature_undoes_what_was_done():
    plain = Study(n=300, skill=1.5)
    first = calibrate(plain.validation, plain.predictions, PARAMS).temperature.value
    study = boasting(Study(n=300, skill=1.5), 2.5)
    assert calibrate(study.validation, study.predictions, PARAMS).temperature.value == pytest.approx(2.5 * first)


def test_no_test_image_and_no_patient_of_one_has_a_say_in_its_own_temperature():
    study = Study(n=240, skill=1.5)
    tested = [row for row in study.predictions if row.fold == 0]
    theirs = {row.group for row in tested}
    changed = [replace(row, label=(row.label + 1) % 3) if row.group in theirs else row for row in study.validation]
    assert sum(row.group in theirs for row in study.validation) > 30
    one, other = (calibrate(rows, tested, PARAMS) for rows in (study.validation, changed))
    assert one.after == other.after
    assert one.temperature.value != other.temperature.value


def test_where_every_validation_image_is_right_there_is_no_temperature_and_nothing_changes():
    study = Study(n=60, skill=30.0)
    found = calibrate(study.validation, study.predictions, PARAMS)
    assert found.temperature.value is None
    assert "60 of 60 validation images are right" in found.temperature.why
    assert found.after == found.before


def test_leaking_images_are_not_judged_and_none_at_all_is_said():
    rows = [prediction(number, label=number % 3, leak_free=False) for number in range(30)]
    found = calibrate(Study(n=60, skill=1.0).validation, rows, PARAMS)
    assert found.before.brier.n == 0
    assert found.before.brier.value is None
    assert found.before.reliability == ()
    assert tempered([], 2.0) == []
