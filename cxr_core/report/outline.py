"""What a network looks like from outside, as values: its stages and its first shortcut block."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Block", "Outline", "Stage", "Step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One operation: its kind in words, e.g. ``3 × 3 convolution, 64``, and its trainable numbers."""

    kind: str
    parameters: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Consecutive operations whose result has one height and width.

    Attributes:
        name: Modules it covers, e.g. ``maxpool, layer1``.
        shape: Channels, height, width of its result, in pixels; features alone where it is flat.
        convolutions: Convolutions in it.
        shortcuts: Additions or concatenations that join two paths.
        parameters: Trainable numbers.
    """

    name: str
    shape: tuple[int, ...]
    convolutions: int
    shortcuts: int
    parameters: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The first block with a shortcut (Fig. 1B, Eq. 1 and 2).

    Attributes:
        name: The module it belongs to, e.g. ``layer1.0``.
        main: The path that learns, first to last.
        shortcut: The other path; empty where it is the identity.
        join: ``+`` or ``concatenate``.
        after: What follows the join before the block's output.
    """

    name: str
    main: tuple[Step, ...]
    shortcut: tuple[Step, ...]
    join: str
    after: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """A network, read from itself.

    Attributes:
        architecture: Its name, e.g. ``resnet34``.
        input: Channels, height and width of what it reads.
        stages: From input to scores.
        block: Its first block with a shortcut; None where it has none.
        parameters: Trainable numbers in all.
        weighted_layers: Convolutions on the main path and linear layers: what the 34 of ResNet-34 counts.
        features: The module whose maps Grad-CAM reads.
        classes: Scores it gives.
    """

    architecture: str
    input: tuple[int, int, int]
    stages: tuple[Stage, ...]
    block: Block | None
    parameters: int
    weighted_layers: int
    features: str
    classes: int
