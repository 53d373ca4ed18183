"""Architecture and pixels in, network, its input and its probabilities out: what training and serving share.

Shapes: n images, S pixels a side, C = 3 classes. Pixels are grey uint8 (n, S, S), 0 black.
Laws: the same seed gives the same network; one function makes the network's input, in training and in service;
probabilities are float64, in [0, 1], and each row sums to 1.

Served models carry this module: it imports torch, torchvision, numpy and nothing heavier.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.model.architectures import facts

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "UsedPrecision",
    "autocast",
    "build",
    "has_fast_bf16",
    "normalised",
    "probabilities",
    "resolve_precision",
    "to_input",
]

UsedPrecision = Literal["bf16", "fp32"]

# Per channel, of pixels in [0, 1]: what torchvision's ImageNet weights were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Instruction sets whose bfloat16 products outrun float32 (x86 AMX, Arm); elsewhere oneDNN emulates them, or see below.
_BF16_INSTRUCTIONS = ("amx_bf16", "bf16", "sve_bf16")


def build(architecture: str, *, seed: int, n_classes: int = len(CLASSES)) -> nn.Module:
    """An architecture with ``n_classes`` outputs, initialised from a seed.

    Its convolutions hold their weights channels last, as ``to_input`` makes pixels. The caller's random state is
    untouched.

    Raises:
        WeightsError: The architecture is none of ours.
    """
    facts(architecture)
    # Here: torchvision takes a second to import, and who only asks for a precision builds no network.
    from cxr_core.model.vision import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = models.get_model(architecture, weights=None, num_classes=n_classes)
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  (missing in torch's stubs)


def to_input(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Pixels as the network reads them: three equal channels, each with ImageNet's mean and deviation taken out.

    Args:
        pixels: uint8 (n, S, S).

    Returns:
        float32 (n, 3, S, S), channels last in memory: the layout that CPU convolutions are fastest in.
    """
    # A copy: torch may not share a read-only memory map, and one byte a pixel is cheap.
    return normalised(torch.from_numpy(np.array(pixels)))


def normalised(grey: torch.Tensor) -> torch.Tensor:
    """``to_input`` of pixels that are a tensor already, on the device that it is on.

    Args:
        grey: uint8 (n, S, S).

    Returns:
        float32 (n, 3, S, S), channels last in memory.
    """
    scale, shift = _scale_and_shift(grey.device)
    # (g / 255 - mean) / std in one pass over memory: g * scale + shift.
    # (n, S, S, 3) seen as (n, 3, S, S)
    return torch.addcmul(shift, grey.unsqueeze(-1).float(), scale).permute(0, 3, 1, 2)


def has_fast_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32; emulated, it is some twenty times slower.

    AVX-512's own bfloat16 products are twice as fast as float32's on some cores and half as fast on those made for AMX,
    which are known by AVX-512 FP16 and whose AMX a virtual machine may hide.
    """
    found = torch.cpu.get_capabilities()
    if found.get("avx512_bf16") and not found.get("avx512_fp16"):
        return True
    return any(bool(found.get(name)) for name in _BF16_INSTRUCTIONS)


def resolve_precision(
    choice: Literal["auto", "bf16", "fp32"], *, device: Literal["cpu", "cuda"] = "cpu"
) -> UsedPrecision:
    """The precision that a run uses: ``auto`` is bf16 on CUDA and where the CPU has it, else fp32."""
    if choice == "auto":
        return "bf16" if device == "cuda" or has_fast_bf16() else "fp32"
    return choice


def autocast(precision: UsedPrecision, *, device: str = "cpu") -> torch.autocast:
    """The context of a forward pass: bfloat16 products over float32 weights, or plain float32."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")


def probabilities(
    network: nn.Module,
    images: NDArray[np.uint8],
    *,
    precision: UsedPrecision,
    batch_size: int = 16,
    temperature: float = 1.0,
) -> NDArray[np.float64]:
    """Class probabilities (softmax of the paper's class score) in evaluation mode, on the network's own device.

    The network's mode is put back as it was; its weights and running statistics are not changed.

    Args:
        network: C outputs an image.
        images: uint8 (n, S, S); may be memory-mapped.
        precision: Of the forward pass; the softmax is float64.
        batch_size: Images a forward pass; bounds memory, not the result beyond rounding.
        temperature: What class scores are divided by before the softmax (Guo et al. 2017, § 4.2); 1 changes no bit.

    Returns:
        float64 (n, C), in ``CLASSES`` order.
    """
    was_training = network.training
    network.eval()
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    rows: list[torch.Tensor] = []
    try:
        with torch.inference_mode(), autocast(precision, device=device.type):
            for start in range(0, len(images), batch_size):
                grey = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
                logits = network(normalised(grey))  # (b, C)
                rows.append(torch.softmax(logits.double() / temperature, dim=1).cpu())
    finally:
        network.train(was_training)
    return torch.cat(rows).numpy() if rows else np.empty((0, len(CLASSES)), dtype=np.float64)


@cache
def _scale_and_shift(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """What turns a grey value into the network's three: made once a device, for a CUDA graph may not make it anew."""
    # Who asks first may be in inference mode, whose tensors no later training could use.
    with torch.inference_mode(mode=False):
        deviation = torch.tensor(IMAGENET_STD)
        scale, shift = 1.0 / (255.0 * deviation), -torch.tensor(IMAGENET_MEAN) / deviation
        return scale.to(device), shift.to(device)
