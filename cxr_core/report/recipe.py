"""What a run's parameters say of its training, in sentences; one place, so that page and forms say the same.

In: parameters as MLflow keeps them, flat, text or JSON (``train.patience`` is ``null`` or ``3``). Law: what is said
follows from the value, and a parameter that was not recorded is said not to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["chosen_by", "dealt", "epochs", "loss_weights", "optimiser"]

# Names of choices that leave something out; numbers that do are 0 and null.
_OFF = ("", "none", "constant")
_NOT_RECORDED = "not recorded"
_SHOWN = ("epochs", "batch_size", "learning_rate", "seed", "threads")
# Beside the paper's choices, which all of these leave off.
_OPTIONAL = ("schedule", "weight_decay", "class_weights", "frozen_epochs", "patience")

_DEALT = {
    "paper": "images are dealt at random; fold i tests, fold i + 1 validates, the others train",
    "grouped": "a patient's images and duplicates stay together; fold i tests, fold i + 1 validates, the others train",
    "batches": "one split of random batches, 29 in 49 of which train, 10 validate and 10 test",
    "loso": "each source is tested by a network that was trained and validated on the others, a fifth of which "
    "validates; what shares a patient with the tested source takes no part, and a source whose classes the others "
    "cannot teach is not tested",
}


def dealt(protocol: str) -> str:
    """How a protocol (``cxr_core.params.Protocol``) deals images."""
    return _DEALT[protocol]


def optimiser(params: Mapping[str, str]) -> str:
    """Loss, optimiser and every choice of the recipe."""
    told = [f"{_name(one)} {params[f'train.{one}']}" for one in _SHOWN if f"train.{one}" in params]
    told += [f"{_name(one)} {params[f'train.{one}']}" for one in _OPTIONAL if _set(params, one)]
    return f"Cross-entropy, Adam; {', '.join(told)}"


def epochs(params: Mapping[str, str]) -> str:
    """Whether trainings were stopped early, and which epoch's weights were kept."""
    if "train.patience" not in params:
        return f"Whether a training may stop early is {_NOT_RECORDED}."
    if not _set(params, "patience"):
        return "Nothing was stopped early, and no epoch was chosen by its result."
    return (
        f"A fold stops once {params['train.patience']} epochs in a row did not lower its validation loss, and keeps "
        "the weights of its best epoch; the refit, which has no validation images, trains for the median of the "
        "epochs that the folds kept."
    )


def chosen_by(params: Mapping[str, str]) -> str:
    """How the registered model came to be chosen."""
    refit = "it is a refit by the same recipe on every image that is not held out"
    if _set(params, "patience"):
        return f"Not among models: {refit}. Its number of epochs follows from the folds' validation losses."
    return f"Not by a result: {refit}."


def loss_weights(params: Mapping[str, str]) -> str:
    """What the loss does about unequal classes."""
    if "train.class_weights" not in params:
        return f"Whether the loss weights classes is {_NOT_RECORDED}; nothing is resampled"
    if not _set(params, "class_weights"):
        return "Nothing: the loss is not weighted and nothing is resampled"
    return f"The loss weights classes ({params['train.class_weights']}); nothing is resampled"


def _set(params: Mapping[str, str], name: str) -> bool:
    text = params.get(f"train.{name}", "")
    try:
        return bool(json.loads(text))
    except ValueError:
        return text not in _OFF


def _name(parameter: str) -> str:
    return parameter.replace("_", " ")
