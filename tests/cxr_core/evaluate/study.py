"""A small study made by code: pictures whose class is a texture in the lungs, folds, and networks that read it.

A texture is fine and has no mean, so neither the rim nor 8 × 8 pixels show it. A mark, where one is asked for, is a
bright corner of every picture of one class: a shortcut.
"""

from dataclasses import replace

import numpy as np

from cxr_core.classes import CLASSES
from cxr_core.evaluate.predictions import predictions_of
from cxr_core.imaging.field import lung_field
from cxr_core.params import EvaluateParams
from cxr_core.split.deal import deal
from cxr_core.split.folds import leak_free, members
from tests.cxr_core.curate.build import cohort_row
from tests.cxr_core.split.cohorts import options

PARAMS = EvaluateParams(confidence=0.95, bootstrap=200, seed=7)
SIZE = 32


class Study:
    """A cohort with its pictures, folds and predictions."""

    def __init__(self, n=150, *, images_a_patient=2, protocol="grouped", folds=3, mark=None, skill=3.0, seed=0):
        rng = np.random.default_rng(seed)
        self.rows = [_row(number, images_a_patient) for number in range(n)]
        self.dealt = deal(self.rows, options(protocol, folds=folds))
        self.images = _pictures(self.dealt.labels, [row.group for row in self.rows], mark=mark, rng=rng)
        self.scores = _scores(self.dealt.labels, skill, rng)
        self.predictions = self._of("test")
        self.validation = self._of("validation")

    def _of(self, part):
        clean, rows = leak_free(self.dealt), []
        for fold in range(self.dealt.folds):
            chosen = getattr(members(self.dealt, fold), part)
            rows += predictions_of(
                self.rows, fold=fold, test=chosen, probabilities=self.scores[chosen], leak_free=clean
            )
        return rows


def _row(number, images_a_patient):
    label = CLASSES[number % 3]
    patient = number // 3 // images_a_patient
    source = ("github", "rsna")[patient % 2]
    return replace(cohort_row(f"{source}:{number}", label=label, group=f"{label}{patient}"), view="PA")


def _pictures(labels, groups, *, mark, rng):
    """Noise that a patient's pictures share in part, the class's texture in the lungs."""
    of_patient = {group: rng.integers(0, 60, (8, 8)) for group in sorted(set(groups))}
    lungs, across = lung_field(SIZE), np.arange(SIZE)
    stripes = np.stack([(across % 2 * 2 - 1)[None, :].repeat(SIZE, 0), (across % 2 * 2 - 1)[:, None].repeat(SIZE, 1)])
    textures = [stripes[0], stripes[1], np.zeros((SIZE, SIZE), dtype=int)]
    images = np.empty((len(labels), SIZE, SIZE), dtype=np.uint8)
    for row, (label, group) in enumerate(zip(labels.tolist(), groups, strict=True)):
        picture = 80 + of_patient[group].repeat(4, 0).repeat(4, 1) + rng.integers(0, 20, (SIZE, SIZE))
        picture = picture + 15 * lungs * textures[label]
        if mark is not None and label == CLASSES.index(mark):
            picture[:2, :3] = 250
        images[row] = picture
    return images


def _scores(labels, skill, rng):
    scores = rng.normal(size=(len(labels), 3))
    scores[np.arange(len(labels)), labels] += skill
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)
