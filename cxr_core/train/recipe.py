"""What ``train`` of params.yaml says about a step: parameters in, optimiser, step sizes, class weights, what is frozen.

The paper's choice is Adam at one step size, no decay, every image alike, nothing frozen; the others are PyTorch's own.
Law: everything here follows from the parameters and the number of the step, so a training that goes on needs no state
of it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from cxr_core.classes import CLASSES
from cxr_core.model.architectures import facts
from cxr_core.params import TrainParams

__all__ = ["class_weights", "freeze", "learning_rates", "optimiser_of", "set_learning_rate"]

_STEP_DROPS = 3
_STEP_FACTOR = 0.1


def optimiser_of(network: nn.Module, params: TrainParams, *, graphed: bool = False) -> torch.optim.Adam:
    """Adam (Kingma & Ba 2015), with decoupled weight decay where there is any (Loshchilov & Hutter 2019).

    Args:
        network: On its device.
        params: Step size and decay.
        graphed: Whether a CUDA graph records its steps; its step size is a tensor then, which a replay reads anew.
    """
    device = next(network.parameters()).device
    rate = torch.tensor(params.learning_rate, device=device) if graphed else params.learning_rate
    # fused: one pass over memory for the update instead of a dozen.
    return torch.optim.Adam(
        network.parameters(),
        lr=rate,
        weight_decay=params.weight_decay,
        decoupled_weight_decay=params.weight_decay > 0,
        fused=True,
        capturable=graphed,
    )


def learning_rates(params: TrainParams, *, steps: int) -> tuple[float, ...] | None:
    """The step size of every step of a whole training; None where it never moves.

    Args:
        params: Schedule, epochs and the highest step size.
        steps: Steps an epoch.
    """
    if params.schedule == "constant":
        return None
    total = params.epochs * steps
    stand_in = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=params.learning_rate)
    scheduler: LRScheduler
    match params.schedule:
        case "cosine":
            scheduler = CosineAnnealingLR(stand_in, T_max=total)
        case "step":
            drop_after = steps * math.ceil(params.epochs / _STEP_DROPS)
            scheduler = StepLR(stand_in, step_size=drop_after, gamma=_STEP_FACTOR)
        case "one_cycle":
            # Adam's betas stay: a recorded CUDA graph holds them fixed. One step more than are taken: none has size 0.
            scheduler = OneCycleLR(stand_in, params.learning_rate, total_steps=total + 1, cycle_momentum=False)
    rates: list[float] = []
    for _ in range(total):
        rates.append(float(stand_in.param_groups[0]["lr"]))
        stand_in.step()
        scheduler.step()
    return tuple(rates)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Make the next step use this step size."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def class_weights(
    params: TrainParams, labels: NDArray[np.integer], *, classes: int = len(CLASSES)
) -> torch.Tensor | None:
    """What each class counts in the loss: float32 (C,), n / (C x its images); None where all count alike.

    Args:
        params: The choice.
        labels: Class indices of the training images.
        classes: How many there are, C.
    """
    if params.class_weights == "none":
        return None
    counts = np.bincount(labels, minlength=classes)
    # A class without an image has no weight to find; it never occurs either.
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return torch.from_numpy(weights.astype(np.float32))


def freeze(network: nn.Module, params: TrainParams, *, frozen: bool) -> None:
    """Let the steps to come move the last layer alone, or everything again."""
    head = facts(params.architecture).head
    for name, parameter in network.named_parameters():
        if not name.startswith(head):
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None
