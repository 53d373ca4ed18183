"""A network and what it needs to be used, to one safetensors file and back. No pickle.

Laws: ``read`` after ``save`` gives equal weights and an equal ``About``; equal networks give equal bytes, on every
machine; a file that is not whole, not finite or not ours is refused with its reason. The digest is of the file's bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.digests import canonical_json, digest_file
from cxr_core.errors import WeightsError
from cxr_core.files import write_bytes
from cxr_core.model.network import IMAGENET_MEAN, IMAGENET_STD, UsedPrecision, build

__all__ = ["SCHEMA", "About", "Checkpoint", "fill", "read", "restore", "save"]

SCHEMA = 1

# One key for everything: safetensors writes several metadata keys in a random order, and equal networks would get
# unequal digests.
_HEADER_KEY = "cxr"


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a file of weights must say of itself.

    Attributes:
        architecture: As in params.yaml.
        size: Side of the square input, in pixels.
        precision: Of the forward passes it was trained and tested with.
        classes: Slugs in output order.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel, of pixels in [0, 1].
        schema: Of this header.
    """

    architecture: str
    size: int
    precision: UsedPrecision
    classes: tuple[str, ...] = CLASSES
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A file of weights that was read and holds.

    Attributes:
        about: Its header.
        tensors: The network's state, by name.
        digest: ``sha256:<hex>`` of the file's bytes.
    """

    about: About
    tensors: dict[str, torch.Tensor]
    digest: str


def save(path: Path, network: nn.Module, about: About) -> str:
    """Write a network atomically.

    Returns:
        ``sha256:<hex>`` of the file's bytes.
    """
    # Contiguous: channels-last weights are a view that safetensors refuses.
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_bytes(path, safetensors.torch.save(tensors, metadata={_HEADER_KEY: canonical_json(asdict(about))}))
    return digest_file(path)


def read(path: Path, *, digest: str | None = None, classes: tuple[str, ...] | None = CLASSES) -> Checkpoint:
    """Read a file of weights and check everything that can be checked without a network.

    Args:
        path: The safetensors file.
        digest: The digest it must have; None takes any.
        classes: What it must tell apart; None takes any, as a backbone's.

    Raises:
        WeightsError: ``checkpoint_missing``, ``digest_mismatch``, ``checkpoint_damaged``, ``checkpoint_foreign``,
            ``classes_mismatch`` or ``not_finite``.
    """
    if not path.is_file():
        raise WeightsError(f"Expected a checkpoint at {path}; found no file.", reason="checkpoint_missing")
    found = digest_file(path)
    if digest is not None and found != digest:
        raise WeightsError(
            f"Expected {path} to be {digest}; found {found}.",
            reason="digest_mismatch",
            hint="Fetch the checkpoint again from the run that made it.",
        )
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"Expected a whole safetensors file at {path}; found: {error}.",
            reason="checkpoint_damaged",
            hint="Fetch the checkpoint again from the run that made it.",
        ) from error
    about = _about(header, path, classes)
    _refuse_not_finite(tensors, path)
    return Checkpoint(about=about, tensors=tensors, digest=found)


def restore(checkpoint: Checkpoint) -> nn.Module:
    """The checkpoint's network, in evaluation mode.

    Raises:
        WeightsError: ``tensor_mismatch`` or ``unknown_architecture``.
    """
    network = build(checkpoint.about.architecture, seed=0, n_classes=len(checkpoint.about.classes))
    fill(network, checkpoint)
    return network.eval()


def fill(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's tensors into a network of the same architecture.

    Raises:
        WeightsError: ``tensor_mismatch``: a tensor is missing, unknown or of another shape.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.tensors.items()}
    if faults := [name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)]:
        first = faults[0]
        raise WeightsError(
            f"Expected the tensors of {checkpoint.about.architecture}; {len(faults)} differ, first {first}: "
            f"expected shape {wanted.get(first, 'none')}, found {found.get(first, 'none')}.",
            reason="tensor_mismatch",
        )
    network.load_state_dict(checkpoint.tensors)


def _about(header: dict[str, str], path: Path, classes: tuple[str, ...] | None) -> About:
    try:
        fields: dict[str, Any] = json.loads(header[_HEADER_KEY])
        lists: dict[str, Any] = {name: tuple(fields.pop(name)) for name in ("classes", "mean", "std")}
        about = About(**fields, **lists)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"Expected a checkpoint of this system at {path}, with a {_HEADER_KEY!r} header; found header keys "
            f"{sorted(header)}.",
            reason="checkpoint_foreign",
            hint="Only checkpoints that a training run here wrote can be used.",
        ) from error
    if about.schema != SCHEMA:
        raise WeightsError(
            f"Expected a checkpoint of schema {SCHEMA} at {path}; found {about.schema}.",
            reason="checkpoint_foreign",
            hint="Use the release that wrote it.",
        )
    wanted = about.classes if classes is None else classes
    if about.classes != wanted or about.mean != IMAGENET_MEAN or about.std != IMAGENET_STD:
        raise WeightsError(
            f"Expected classes {list(wanted)} and ImageNet normalisation at {path}; found classes "
            f"{list(about.classes)}, mean {list(about.mean)}, std {list(about.std)}.",
            reason="classes_mismatch",
        )
    return about


def _refuse_not_finite(tensors: dict[str, torch.Tensor], path: Path) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise WeightsError(
                f"Expected finite weights at {path}; tensor {name} holds NaN or infinity.", reason="not_finite"
            )
