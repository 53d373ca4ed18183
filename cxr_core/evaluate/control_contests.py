"""Picture controls against the folds' networks: who tells each class better, on the same leak-free test images.

Legend: N images of the cohort, S pixels a side, C = 3 classes.
Laws: the networks win only where the lower limit of their advantage is at least ``ADVANTAGE`` for every class; what
cannot be measured is not won. A control that is not beaten is called a shortcut only where it sees no lung and is
itself proven to tell a class: else it is the networks that have proven nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASS_NAMES, CLASSES, ClassSlug
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.control_classifier import scores_of_test
from cxr_core.evaluate.control_pictures import CONTROLS, PictureName, Remains
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import Draft, auc, macro_auc, proportion
from cxr_core.evaluate.estimates import settle
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.proofs import Contest, PictureControl
from cxr_core.params import EvaluateParams
from cxr_core.split.folds import Split, members

__all__ = ["ADVANTAGE", "TELLS", "picture_controls", "shortcuts"]

ADVANTAGE = 0.05
"""Of the area under a curve. Less is no advantage worth the name: a control that sees a mark in the corner of every
picture of one class still misses a few, and a network that reads the same mark does not. A policy may ask for more."""
TELLS = 0.55
"""Lower limit of a control's AUC from which on it is proven to tell a class. 0.5 is a coin; but a run has six such
areas (two controls without lungs, three classes), each of which may have a limit just above a coin's by chance."""


def picture_controls(
    images: NDArray[np.uint8], dealt: Split, predictions: Sequence[Prediction], params: EvaluateParams
) -> tuple[PictureControl, ...]:
    """Train each control on the run's folds and hold it against the networks.

    Args:
        images: The store, uint8 (N, S, S), in the cohort's order.
        dealt: The run's folds.
        predictions: What the folds' networks say of every tested image.
        params: Confidence.
    """
    network = sorted((row for row in predictions if row.leak_free), key=lambda row: row.sha256)
    controls = {name: _predicted(remains, images, dealt, network) for name, remains in CONTROLS.items()}
    drafts = {
        f"{name}.{figure}": draft
        for name, rows in controls.items()
        for figure, draft in _drafts(Arrays.of(rows), Arrays.of(network), params.confidence).items()
    }
    settled, groups = settle(drafts), {row.group for row in network}
    return tuple(_control(name, settled, n=len(network), groups=len(groups)) for name in CONTROLS)


def shortcuts(control: PictureControl) -> tuple[ClassSlug, ...]:
    """Classes that a control without lungs is proven to tell and the networks are not proven to tell better."""
    if CONTROLS[control.name].lungs:
        return ()
    return tuple(slug for slug, contest in control.per_class.items() if _tells(contest) and not _won(contest))


def _tells(contest: Contest) -> bool:
    return contest.control.low is not None and contest.control.low >= TELLS


def _won(contest: Contest) -> bool:
    return contest.advantage.low is not None and contest.advantage.low >= ADVANTAGE


def _predicted(
    remains: Remains, images: NDArray[np.uint8], dealt: Split, network: Sequence[Prediction]
) -> list[Prediction]:
    """What the control says of the images that the networks' rows name, in their order."""
    numbers, said = remains.numbers(images), dict[str, NDArray[np.float64]]()
    for fold in range(dealt.folds):
        part = members(dealt, fold)
        scores = scores_of_test(numbers, dealt.labels, part, outcomes=len(CLASSES))
        said |= {dealt.names[row]: score for row, score in zip(part.test.tolist(), scores, strict=True)}
    return [replace(row, probabilities=_three(said[row.name])) for row in network]


def _drafts(control: Arrays, network: Arrays, confidence: float) -> dict[str, Draft]:
    everyone = np.ones(len(control.label), dtype=bool)
    drafts = {
        "accuracy": proportion(control.correct, everyone, control.patients, confidence=confidence),
        "macro_auc": macro_auc(control, confidence=confidence),
    }
    for index, slug in enumerate(CLASSES):
        mine, theirs = (auc(side, index, confidence=confidence) for side in (network, control))
        advantage = difference(mine, theirs, network.patients, confidence=confidence)
        drafts |= {f"{slug}.network": mine, f"{slug}.control": theirs, f"{slug}.advantage": advantage}
    return drafts


def _control(name: PictureName, settled: Mapping[str, Estimate], *, n: int, groups: int) -> PictureControl:
    contests: dict[ClassSlug, Contest] = {
        slug: Contest(
            control=settled[f"{name}.{slug}.control"],
            network=settled[f"{name}.{slug}.network"],
            advantage=settled[f"{name}.{slug}.advantage"],
        )
        for slug in CLASSES
    }
    control = PictureControl(
        name=name,
        sees=CONTROLS[name].sees,
        n=n,
        groups=groups,
        accuracy=settled[f"{name}.accuracy"],
        macro_auc=settled[f"{name}.macro_auc"],
        per_class=contests,
        verdict="beaten" if all(map(_won, contests.values())) else "nothing proven",
        why=_why(contests),
    )
    if found := shortcuts(control):
        return control.model_copy(update={"verdict": "shortcut", "why": _why_shortcut(contests, found)})
    return control


def _why_shortcut(contests: Mapping[ClassSlug, Contest], found: Sequence[ClassSlug]) -> str:
    """A sentence on the class that the control tells best."""
    slug = max(found, key=lambda each: contests[each].control.low or 0.0)
    control, network = contests[slug].control, contests[slug].network
    return (
        f"{CLASS_NAMES[slug]} is told without the lungs: AUC {control.value:.3f} ({control.low:.3f} to "
        f"{control.high:.3f}) of the control, {network.value:.3f} of the networks."
    )


def _why(contests: Mapping[ClassSlug, Contest]) -> str:
    """A sentence on the class whose advantage is least proven."""
    for slug, contest in contests.items():
        if contest.advantage.low is None:
            return f"For {CLASS_NAMES[slug]} there is no advantage to tell: {contest.advantage.why}"
    slug, contest = min(contests.items(), key=lambda item: item[1].advantage.low or 0.0)
    advantage = contest.advantage
    return (
        f"Least for {CLASS_NAMES[slug]}: AUC {contest.network.value:.3f} of the networks, {contest.control.value:.3f} "
        f"of the control, {advantage.value:+.3f} ({advantage.low:+.3f} to {advantage.high:+.3f}) between them."
    )


def _three(scores: NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = scores.tolist()
    return first, second, third
