"""A trained network in, the same function in fewer passes over memory out: for answering, not for training.

In evaluation mode a batch normalisation is a scale and a shift a channel; both go into the weights of the convolution
before it (Jacob et al. 2018, § 3.2). Law: class scores differ by rounding alone. Served models carry this file.
"""

from __future__ import annotations

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["folded"]


def folded(network: nn.Module) -> nn.Module:
    """A copy whose convolutions have taken in the batch normalisations that follow them; the network stays as it is.

    Args:
        network: Of torchvision, in evaluation mode.
    """
    traced = fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        norm = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        source = node.args[0]
        convolution = modules.get(str(source.target)) if source.op == "call_module" else None
        # Read by another node too, the convolution's own output is still needed.
        if not isinstance(convolution, nn.Conv2d) or len(source.users) > 1:
            continue
        _put(traced, str(source.target), fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]  (as in network.py)


def _put(root: fx.GraphModule, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
