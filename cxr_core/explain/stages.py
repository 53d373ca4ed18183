"""A network in, its stages out, the last first: the head, then runs of layers whose outputs have one resolution.

Of a ResNet these are ``fc``, ``layer4`` to ``layer1`` and the stem; of every other architecture, too, six or so.

Laws: every tensor of the network stands in exactly one stage; the network comes back as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import nn

from cxr_core.errors import EvidenceError

__all__ = ["Stage", "stages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Modules that lie beside each other, by their dotted names, from the input's side to the output's."""

    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        """As tables show it: ``layer3``, ``conv1 to bn1``, ``features.14 to 18``."""
        first, last = self.modules[0], self.modules[-1]
        return first if first == last else f"{first} to {last.rpartition('.')[2]}"

    def holds(self, tensor: str) -> bool:
        """Whether a tensor, by its name in the network's state, is one of the stage's."""
        return any(tensor.startswith(f"{module}.") for module in self.modules)


def stages(network: nn.Module, features: str, *, size: int) -> tuple[Stage, ...]:
    """Take a network apart.

    Args:
        network: Of any architecture on offer.
        features: The child whose output its head pools, as the architecture's facts say.
        size: Side of its input, pixels.

    Raises:
        EvidenceError: The network has no such child.
    """
    children = dict(network.named_children())
    if features not in children:
        raise EvidenceError(f"The network has no layer {features!r}.", reason="no_such_layer")
    trunk = list(children)[: list(children).index(features) + 1]
    head = [name for name in children if name not in trunk and _holds_tensors(children[name])]
    if len(trunk) == 1:
        # All but the head is one module: its own children are what is told apart.
        trunk = [f"{features}.{name}" for name, _ in children[features].named_children()] or trunk
    sides = _sides(network, trunk, size)
    kept = [name for name in trunk if _holds_tensors(network.get_submodule(name))]
    runs = [Stage(modules=tuple(run)) for _, run in groupby(kept, key=sides.__getitem__)]
    return tuple(reversed([*runs, *([Stage(modules=tuple(head))] if head else [])]))


def _holds_tensors(module: nn.Module) -> bool:
    return bool(module.state_dict())


def _sides(network: nn.Module, names: list[str], size: int) -> dict[str, int]:
    """Side of each module's output, in positions, for an input of this size."""
    found: dict[str, int] = {}

    def keep(name: str) -> Iterator[torch.utils.hooks.RemovableHandle]:
        def hook(_module: nn.Module, _inputs: tuple[torch.Tensor, ...], maps: torch.Tensor) -> None:
            found[name] = int(maps.shape[-1])

        yield network.get_submodule(name).register_forward_hook(hook)

    hooks = [hook for name in names for hook in keep(name)]
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return found
