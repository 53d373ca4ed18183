"""An architecture to its outline, by tracing the network itself (torch.fx) on tensors without memory.

Laws: nothing is drawn from a name or a table: another network gives another outline; parameters of the stages sum to
the network's own.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from cxr_core.classes import CLASSES
from cxr_core.model.architectures import facts
from cxr_core.model.vision import models
from cxr_core.report.outline import Block, Outline, Stage, Step

__all__ = ["outline_of", "trace_outline"]

_JOINS = {operator.add: "+", operator.iadd: "+", torch.add: "+", torch.cat: "concatenate"}


def outline_of(architecture: str, *, size: int) -> Outline:
    """The outline of one of our architectures.

    Args:
        architecture: A name that the model room knows.
        size: Side of the square it reads, in pixels.

    Raises:
        WeightsError: The architecture is none of ours.
    """
    features = facts(architecture).features
    with torch.device("meta"):
        network: nn.Module = models.get_model(architecture, weights=None, num_classes=len(CLASSES))
    return trace_outline(network, architecture=architecture, features=features, size=size)


def trace_outline(network: nn.Module, *, architecture: str, features: str, size: int) -> Outline:
    """The outline of any network that torch.fx can trace.

    Args:
        network: On the device ``meta`` or any other; it is not changed but for its mode.
        architecture: What to call it.
        features: The module whose maps Grad-CAM reads.
        size: Side of the square it reads, in pixels.
    """
    traced = fx.symbolic_trace(network.eval())
    device = next(network.parameters()).device
    ShapeProp(traced).propagate(torch.empty(1, 3, size, size, device=device))
    nodes = [node for node in traced.graph.nodes if node.op not in ("placeholder", "output")]
    stages = tuple(_stages(traced, nodes))
    block = _first_block(traced, nodes)
    return Outline(
        architecture=architecture,
        input=(3, size, size),
        stages=stages,
        block=block,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weighted_layers=_weighted_layers(traced),
        features=features,
        classes=stages[-1].shape[0],
    )


def _stages(traced: fx.GraphModule, nodes: list[fx.Node]) -> Iterator[Stage]:
    """Runs of nodes whose results have one height and width, each parameter counted where it is first used."""
    # What is pooled to weigh channels and comes back (squeeze-and-excitation) does not end a stage.
    height, heights = 0, {}
    for node in reversed(nodes):
        heights[node] = height = max(height, *_shape(node)[1:2], 0)
    groups: list[list[fx.Node]] = []
    for node in nodes:
        if not groups or heights[node] != heights[groups[-1][-1]]:
            groups.append([])
        groups[-1].append(node)
    stages_of = Counter(top for group in groups for top in {_top(node) for node in group if _is_module(node)})
    seen: set[str] = set()
    for group in groups:
        modules = [(str(node.target), traced.get_submodule(str(node.target))) for node in group if _is_module(node)]
        # A module that is called twice (ResNet's relu) has its parameters once.
        own = {name: module for name, module in modules if name not in seen}
        seen |= set(own)
        yield Stage(
            name=_name([name for name, _ in modules] or [_word(node) for node in group], stages_of),
            shape=_shape(group[-1]),
            convolutions=sum(isinstance(module, nn.Conv2d) for module in own.values()),
            shortcuts=sum(_join(node) is not None for node in group),
            parameters=sum(_parameters(module) for module in own.values()),
        )


def _first_block(traced: fx.GraphModule, nodes: list[fx.Node]) -> Block | None:
    """The first join of two paths, and what lies on each since they parted."""
    depths = _depths(traced)
    for node in nodes:
        paths = _paths(node, depths) if _join(node) else None
        if paths is None:
            continue
        sides = [[_step(traced, one) for one in reversed(path)] for path in paths]
        main, shortcut = sorted(sides, key=len, reverse=True)
        return Block(
            name=_common([str(one.target) for path in paths for one in path if _is_module(one)]),
            main=tuple(main),
            shortcut=tuple(shortcut),
            join=_join(node) or "",
            after=tuple(_after(traced, node)),
        )
    return None


def _after(traced: fx.GraphModule, join: fx.Node) -> Iterator[Step]:
    following = join.next
    if following.op == "call_module" and isinstance(traced.get_submodule(str(following.target)), nn.ReLU):
        yield _step(traced, following)


def _depths(traced: fx.GraphModule) -> dict[fx.Node, int]:
    """Steps from the network's input by the shortest way."""
    depths: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        depths[node] = 1 + min((depths[one] for one in _inputs(node)), default=-1)
    return depths


def _paths(join: fx.Node, depths: dict[fx.Node, int]) -> list[list[fx.Node]] | None:
    """What lies on each of the two paths into a join since they parted, last first; None where they are not two."""
    lines: list[list[fx.Node]] = []
    for node in _inputs(join):
        line = [node]
        while inputs := _inputs(line[-1]):
            # Where several come together inside a path, the shortest way is the one that carries the pictures.
            line.append(min(inputs, key=lambda one: depths[one]))
        lines.append(line)
    if len(lines) != 2:
        return None
    start = next(one for one in lines[0] if one in lines[1])
    return [line[: line.index(start)] for line in lines]


def _weighted_layers(traced: fx.GraphModule) -> int:
    """Convolutions and linear layers, those on shortcuts left out (He et al. 2016, table 1 counts so)."""
    depths = _depths(traced)
    on_shortcuts: set[str] = set()
    for node in traced.graph.nodes:
        if _join(node) == "+" and (paths := _paths(node, depths)):
            on_shortcuts |= {str(one.target) for one in min(paths, key=len)}
    modules = {str(node.target) for node in traced.graph.nodes if _is_module(node)} - on_shortcuts
    return sum(isinstance(traced.get_submodule(name), nn.Conv2d | nn.Linear) for name in modules)


def _step(traced: fx.GraphModule, node: fx.Node) -> Step:
    if not _is_module(node):
        return Step(kind=_word(node), parameters=0)
    module = traced.get_submodule(str(node.target))
    return Step(kind=_kind(module), parameters=_parameters(module))


def _kind(module: nn.Module) -> str:
    match module:
        case nn.Conv2d():
            side = " × ".join(map(str, module.kernel_size))
            stride = "" if module.stride[0] == 1 else f", stride {module.stride[0]}"
            groups = ", one a channel" if module.groups == module.in_channels > 1 else ""
            return f"{side} convolution, {module.out_channels}{stride}{groups}"
        case nn.BatchNorm2d():
            return "batch normalisation"
        case nn.Linear():
            return f"linear, {module.out_features}"
        case _:
            return type(module).__name__


def _join(node: fx.Node) -> str | None:
    return _JOINS.get(node.target) if node.op == "call_function" and len(_inputs(node)) > 1 else None  # type: ignore[arg-type]


def _inputs(node: fx.Node) -> list[fx.Node]:
    return list(node.all_input_nodes)


def _is_module(node: fx.Node) -> bool:
    return node.op == "call_module"


def _shape(node: fx.Node) -> tuple[int, ...]:
    """Without the batch."""
    meta: Any = node.meta["tensor_meta"]
    return tuple(int(side) for side in meta.shape[1:])


def _word(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _top(node: fx.Node) -> str:
    return str(node.target).partition(".")[0]


def _name(targets: list[str], stages_of: Counter[str]) -> str:
    """Top modules in order; of one that lies in several stages its children, first to last."""
    tops = list(dict.fromkeys(target.partition(".")[0] for target in targets))
    if len(tops) == 1 and stages_of[tops[0]] > 1:
        inner = list(dict.fromkeys(".".join(target.split(".")[:2]) for target in targets))
        return inner[0] if len(inner) == 1 else f"{inner[0]} to {inner[-1]}"
    return ", ".join(tops)


def _common(names: list[str]) -> str:
    """The module that holds all of these."""
    parts = [name.split(".")[:-1] for name in names]
    common: list[str] = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return ".".join(common)
