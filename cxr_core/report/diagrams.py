"""Fig. 1 of the paper from the network itself: its stages (A), its first shortcut block (B), and the pipeline (C)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from cxr_core.classes import CLASS_NAMES, CLASSES
from cxr_core.report.drawing import LINE_PIXELS, arrow, box, path, svg, words
from cxr_core.report.outline import Block, Outline, Stage, Step

__all__ = ["block_diagram", "network_diagram", "pipeline_diagram", "thousands"]

_GAP = 26
_COLUMN = 128
_TALLEST = 150
_STEP_WIDTH, _STEP_HEIGHT = 96, 46


def network_diagram(outline: Outline) -> Markup:
    """Every stage as a slab: its height follows the resolution, its width the number of channels (Fig. 1A)."""
    columns = [Stage(name="input", shape=outline.input, convolutions=0, shortcuts=0, parameters=0), *outline.stages]
    middle = 16 + _TALLEST / 2
    parts: list[Markup] = []
    edges = [(x := 4 + index * _COLUMN, _slab(stage)) for index, stage in enumerate(columns)]
    for index, (stage, (x, (width, height))) in enumerate(zip(columns, edges, strict=True)):
        centre = x + _COLUMN / 2
        parts.append(box(centre - width / 2, middle - height / 2, width, height, kind="strong" if index else "soft"))
        if index:
            before = edges[index - 1][0] + _COLUMN / 2 + edges[index - 1][1][0] / 2
            parts.append(arrow(before + 4, middle, centre - width / 2 - before - 8))
        for row, line in enumerate(_labels(stage)):
            parts.append(words(centre, 36 + _TALLEST + row * LINE_PIXELS, line, kind="" if row else "name"))
    title = f"{outline.architecture}: " + "; ".join(f"{stage.name} gives {_size(stage.shape)}" for stage in columns[1:])
    return svg(parts, width=8 + len(columns) * _COLUMN, height=46 + _TALLEST + 4 * LINE_PIXELS, title=title)


def block_diagram(block: Block) -> Markup:
    """Both ways through the block, as they were traced (Fig. 1B; Eq. 1 to 3)."""
    lane, top = 96.0, 18.0
    parts: list[Markup] = [words(14, lane + _STEP_HEIGHT / 2 + 4, "x", kind="name")]
    x = 30.0
    parted = x + _GAP / 2
    for step in block.main:
        parts += [arrow(x, lane + _STEP_HEIGHT / 2, _GAP), box(x + _GAP, lane, _STEP_WIDTH, _STEP_HEIGHT, _wrap(step))]
        x += _GAP + _STEP_WIDTH
    join = x + _GAP + 14
    parts += [arrow(x, lane + _STEP_HEIGHT / 2, _GAP), _circle(join, lane + _STEP_HEIGHT / 2, block.join)]
    parts += _shortcut(block.shortcut, parted, join, top=top, lane=lane)
    x = join + 14
    for step in block.after:
        parts += [arrow(x, lane + _STEP_HEIGHT / 2, _GAP), box(x + _GAP, lane, _STEP_WIDTH, _STEP_HEIGHT, _wrap(step))]
        x += _GAP + _STEP_WIDTH
    parts += [
        arrow(x, lane + _STEP_HEIGHT / 2, _GAP),
        words(x + _GAP + 12, lane + _STEP_HEIGHT / 2 + 4, "y", kind="name"),
    ]
    parts.append(words((30 + join) / 2, lane + _STEP_HEIGHT + 22, "F(x), what the block learns", kind="soft"))
    ways = ", ".join(step.kind for step in block.main)
    other = ", ".join(step.kind for step in block.shortcut) or "the input itself"
    title = f"Block {block.name}: {ways}; joined ({block.join}) with {other}."
    return svg(parts, width=x + _GAP + 30, height=lane + _STEP_HEIGHT + 36, title=title)


def pipeline_diagram(outline: Outline) -> Markup:
    """From picture to class, and from the last features to the map (Fig. 1C)."""
    features = _features(outline)
    side = outline.input[1]
    steps = [
        ("1  picture", [f"grey, {side} × {side}", "no augmentation"]),
        ("   input", ["three equal channels,", "ImageNet's mean", "and deviation"]),
        ("2  features", [outline.architecture, f"{outline.weighted_layers} weighted layers", _size(features.shape)]),
        ("   scores", ["pooled, one linear map", f"{outline.classes} class scores"]),
        ("3  class", ["softmax", *(CLASS_NAMES[slug] for slug in CLASSES)]),
    ]
    width, height, y = 150.0, 76.0, 30.0
    parts: list[Markup] = []
    for index, (name, lines) in enumerate(steps):
        x = 6 + index * (width + _GAP)
        parts.append(words(x + width / 2, y - 10, name.strip(), kind="name"))
        parts.append(box(x, y, width, height, lines, kind="strong" if name[0] == "2" else "plain"))
        if index:
            parts.append(arrow(x - _GAP + 2, y + height / 2, _GAP - 4))
    x = 6 + 2 * (width + _GAP)
    below = y + height + 34
    parts.append(box(x, below, width, 44, ["Grad-CAM", f"maps of {outline.features}"], kind="soft"))
    parts.append(path([(x + width / 2, y + height), (x + width / 2, below)]))
    scores = x + width + _GAP + width / 2
    parts.append(path([(scores, y + height), (scores, below + 22), (x + width, below + 22)]))
    parts.append(words(scores + 52, below + 16, "gradients", kind="soft"))
    title = (
        f"A grey picture of {side} by {side} pixels becomes three channels; {outline.architecture} makes features of "
        f"{_size(features.shape)}; they are pooled to {outline.classes} scores and a class; Grad-CAM weighs the "
        "features by the gradients of a score."
    )
    return svg(parts, width=12 + len(steps) * (width + _GAP) - _GAP, height=below + 54, title=title)


def thousands(count: int) -> str:
    """``222 k``, ``21.3 M``: parameters as people say them."""
    if count >= 1_000_000:
        return f"{count / 1_000_000:.1f} M"
    return f"{count / 1_000:.0f} k" if count >= 1_000 else str(count)


def _features(outline: Outline) -> Stage:
    """The last stage that still has a height and a width: what Grad-CAM reads."""
    return [stage for stage in outline.stages if len(stage.shape) == 3 and stage.shape[1] > 1][-1]


def _slab(stage: Stage) -> tuple[float, float]:
    """Width and height in pixels, both on a logarithmic scale."""
    channels, *sides = stage.shape
    height = _TALLEST * math.log2(1 + (sides[0] if sides else 1)) / math.log2(1 + 256)
    return 6 + 4.5 * math.log2(channels), max(12.0, min(_TALLEST, height))


def _labels(stage: Stage) -> list[str]:
    counted = [
        f"{stage.convolutions} convolution{'s' * (stage.convolutions > 1)}" if stage.convolutions else "",
        f"{stage.shortcuts} shortcut{'s' * (stage.shortcuts > 1)}" if stage.shortcuts else "",
        f"{thousands(stage.parameters)} parameters" if stage.parameters else "",
    ]
    return [stage.name, _size(stage.shape), *filter(None, counted)]


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _wrap(step: Step) -> list[str]:
    """A step's words on lines that fit its box."""
    first, _, rest = step.kind.partition(" convolution, ")
    if rest:
        return [f"{first} conv", rest.replace(", one a channel", " a channel")]
    return step.kind.replace("batch normalisation", "batch norm").split(" ", 1)


def _circle(x: float, y: float, join: str) -> Markup:
    sign = "+" if join == "+" else "‖"
    return Markup('<circle class="plain" cx="{x:.1f}" cy="{y:.1f}" r="13"/>').format(x=x, y=y) + words(
        x, y + 5, sign, kind="name"
    )


def _shortcut(steps: Sequence[Step], parted: float, join: float, *, top: float, lane: float) -> list[Markup]:
    """The other way: a line above the lane, with what stands on it."""
    middle = lane + _STEP_HEIGHT / 2
    line = top + _STEP_HEIGHT / 2
    parts = [path([(parted, middle), (parted, line), (join, line), (join, middle - 13)])]
    if not steps:
        return [*parts, words((parted + join) / 2, line - 8, "identity: x as it is", kind="soft")]
    x = (parted + join) / 2 - len(steps) * (_STEP_WIDTH + _GAP) / 2
    for index, step in enumerate(steps):
        parts.append(box(x + index * (_STEP_WIDTH + _GAP), top, _STEP_WIDTH, _STEP_HEIGHT, _wrap(step)))
    return parts
