"""Predictions made by code: classes told apart about as well as asked, patients with several images."""

import numpy as np

from cxr_core.classes import CLASSES
from cxr_core.evaluate.predictions import Prediction
from cxr_core.evaluate.schema import Context

CONTEXT = Context(
    cohort="sha256:" + "a" * 64,
    split="sha256:" + "b" * 64,
    protocol="paper",
    synthetic=False,
    weights="sha256:" + "c" * 64,
    commit="0" * 40,
    trained_by="ada",
    runs={"parent": "1f"},
)


def context(**changes):
    return CONTEXT.model_copy(update=changes)


def prediction(number=0, **changes):
    facts = {
        "name": f"kaggle:{number:05d}.png",
        "sha256": f"sha256:{number:064x}",
        "group": f"g{number}",
        "source": "kaggle",
        "fold": 0,
        "label": 0,
        "probabilities": (0.5, 0.3, 0.2),
        "leak_free": True,
        "view": "PA",
        "sex": "F",
        "age_years": 40.0,
    }
    return Prediction(**(facts | changes))


def predictions(n=150, *, seed=0, strength=2.5, folds=5, leaking=0.0, images_a_patient=2):
    """``strength`` is how far the true class's logit stands above the others' noise of 1."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        label = number % len(CLASSES)
        logits = rng.normal(size=3)
        logits[label] += strength
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        rows.append(
            prediction(
                number,
                group=f"g{number // (3 * images_a_patient)}-{label}",
                source=("github", "rsna", "kaggle")[label] if rng.random() < 0.8 else "sirm",
                fold=int(rng.integers(folds)),
                label=label,
                probabilities=tuple(float(score) for score in scores),
                leak_free=bool(rng.random() >= leaking),
                view=("PA", "AP")[int(rng.integers(2))],
                sex=("M", "F", "")[int(rng.integers(3))],
                age_years=float(rng.integers(1, 90)) if rng.random() < 0.8 else None,
            )
        )
    return rows
