"""Figures: real pictures of the data given, the same bytes each time, without pyplot."""

import io
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from cxr_core.errors import EvidenceError
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.figures import confusion_figure, curves_figure, roc_figure
from cxr_core.params import EvaluateParams
from tests.cxr_core.evaluate.examples import context, prediction, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=100, seed=7)


@dataclass(frozen=True)
class Epoch:
    epoch: int
    train_loss: float
    val_loss: float
    error_rate: float


def history(folds, epochs, scale=1.0):
    return {
        fold: [Epoch(n, scale / n, 1.2 / n, 0.5 / n) for n in range(1, epochs + 1 - (fold == folds - 1))]
        for fold in range(folds)
    }


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)).convert("RGB"))


@pytest.fixture(scope="module")
def rows():
    return predictions(90, leaking=0.3)


@pytest.fixture(scope="module")
def evidence(rows):
    return measure(rows, PARAMS, context=context())


def test_pictures_are_wide_enough_to_read_and_hold_the_palette(rows, evidence):
    for data in (roc_figure(rows, evidence), confusion_figure(evidence.all, title="All"), curves_figure(history(5, 6))):
        picture = pixels(data)
        assert picture.shape[1] >= 1300
        assert picture.shape[0] >= 400
    colours = {tuple(colour) for colour in pixels(roc_figure(rows, evidence)).reshape(-1, 3)}
    assert {(0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73), (0, 0, 0)} <= colours


def test_the_same_data_give_the_same_bytes_and_other_data_others(rows, evidence):
    assert roc_figure(rows, evidence) == roc_figure(rows, evidence)
    assert curves_figure(history(3, 4)) != curves_figure(history(3, 4, scale=1.3))
    assert confusion_figure(evidence.all, title="All") != confusion_figure(evidence.leak_free, title="All")


def test_populations_without_a_curve_or_a_chi_square_are_still_drawn():
    rows = [prediction(number, label=min(number, 1), leak_free=number > 3) for number in range(8)]
    evidence = measure(rows, PARAMS, context=context())
    assert pixels(roc_figure(rows, evidence)).size
    assert pixels(confusion_figure(evidence.leak_free, title="Leak-free")).size


def test_many_folds_and_one_epoch_are_drawn():
    assert pixels(curves_figure(history(12, 3))).size
    assert pixels(curves_figure({0: [Epoch(1, 0.5, 0.4, 0.1)]})).size
    assert pixels(curves_figure({0: [Epoch(1, 0.5, None, None)]})).size


@pytest.mark.parametrize("histories", [{}, {0: []}])
def test_curves_without_an_epoch_are_refused(histories):
    with pytest.raises(EvidenceError) as caught:
        curves_figure(histories)
    assert caught.value.reason == "no_epochs"


def test_drawing_needs_neither_pyplot_nor_torch():
    code = (
        "import sys, cxr_core.evaluate.figures, cxr_core.evaluate.evidence, cxr_core.evaluate.tables;"
        "sys.exit(bool({'matplotlib.pyplot', 'torch', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
