"""One training step: a batch in, its loss out, the network moved. Eager, or recorded once as a CUDA graph and replayed.

Shapes: b images a batch, S pixels a side. Law: what a step computes does not depend on which of the two runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from cxr_core.model.network import UsedPrecision, autocast, normalised

__all__ = ["EagerStep", "GraphedStep", "Step", "record_on_cuda"]

# PyTorch's notes ask for some steps before a capture, in which libraries make their workspaces.
_EAGER_STEPS = 3

Recorder = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes work on fixed tensors; gives what does it again each time it is called. It need not run the work itself."""


class Step(Protocol):
    """Moves the network by one batch."""

    def __call__(self, grey: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Pixels uint8 (b, S, S) and class indices int64 (b,) to the mean loss: float32 (), in nats."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EagerStep:
    """Forward, backward and the optimiser's step, kernel by kernel.

    Attributes:
        network: On the batches' device.
        optimiser: Of its parameters.
        precision: Of the forward pass.
        weights: What each class counts, float32 (C,); None where all count alike.
        frozen: Whether all but the last layer stays as it is, running statistics included.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    precision: UsedPrecision
    weights: torch.Tensor | None
    frozen: bool

    def __call__(self, grey: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """One step; see ``Step``."""
        self.network.train(not self.frozen)
        with autocast(self.precision, device=grey.device.type):
            logits = self.network(normalised(grey))  # (b, C)
        loss = F.cross_entropy(logits.float(), targets, weight=self.weights)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.detach()


class GraphedStep:
    """The same step, recorded for the first batch size it meets and replayed; batches of another size run eagerly.

    Args:
        step: What is recorded. Its optimiser must have been made for it (``capturable``).
        record: Makes a recording; ``record_on_cuda``, or on the CPU, for tests, one that calls the work again.
    """

    def __init__(self, step: Step, *, record: Recorder) -> None:
        self._step = step
        self._record = record
        self._ran = 0
        self._fixed: tuple[torch.Tensor, torch.Tensor] | None = None
        self._loss: torch.Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, grey: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """One step; see ``Step``."""
        if self._fixed is None:
            self._fixed = grey.clone(), targets.clone()
        if grey.shape != self._fixed[0].shape:
            return self._step(grey, targets)
        for fixed, given in zip(self._fixed, (grey, targets), strict=True):
            fixed.copy_(given)
        if self._ran < _EAGER_STEPS:
            self._ran += 1
            return self._step(*self._fixed)
        if self._replay is None:
            self._replay = self._record(self._work)
        self._replay()
        assert self._loss is not None
        # The next replay writes into the same tensor.
        return self._loss.clone()

    def _work(self) -> None:
        assert self._fixed is not None
        self._loss = self._step(*self._fixed)


def record_on_cuda(work: Callable[[], None]) -> Callable[[], None]:
    """Capture work on the current stream, which may not be the default one; it is computed at the first replay."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        work()
    replay: Any = graph.replay
    return replay
