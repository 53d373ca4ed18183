"""Where a training runs: a choice in, a device that computes the same bits every time out, and images on it.

The CPU is what this is built and tested on. The CUDA side follows PyTorch's notes on reproducibility and CUDA graphs;
its logic is tested on the CPU, with the same code on another device.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils import deterministic

from cxr_core.errors import TrainingError
from cxr_core.params import Device
from cxr_core.train.order import Rows

__all__ = [
    "Feed",
    "UsedDevice",
    "device_name",
    "fresh_random",
    "open_device",
    "random_state",
    "reproducible",
    "resolve_device",
    "set_random_state",
    "side_stream",
]

UsedDevice = Literal["cpu", "cuda"]

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
# The two sizes with which cuBLAS gives the same bits every time, by NVIDIA's manual; the first is the faster.
_CUBLAS_SIZES = (":4096:8", ":16:8")


class Feed:
    """A training's images, handed out as batches on a device; on CUDA they lie there from the beginning.

    Args:
        images: uint8 (N, S, S), may be memory-mapped.
        labels: int (N,).
        rows: Those that will be asked for.
        device: Where batches are wanted.
        resident: Whether the images are copied to the device once; by default on every device but the CPU.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.integer],
        *,
        rows: Rows,
        device: torch.device,
        resident: bool | None = None,
    ) -> None:
        self._images, self._labels, self._device = images, labels, device
        self._resident: tuple[torch.Tensor, torch.Tensor] | None = None
        if device.type != "cpu" if resident is None else resident:
            self._rows = np.unique(rows)
            self._resident = tuple(each.to(device) for each in self._read(self._rows))  # pyright: ignore[reportAttributeAccessIssue]

    def batch(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels uint8 (b, S, S) and class indices int64 (b,), on the device."""
        if self._resident is None:
            return self._read(rows)
        places = torch.from_numpy(np.searchsorted(self._rows, rows)).to(self._device)
        images, labels = self._resident
        return images.index_select(0, places), labels.index_select(0, places)

    def _read(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        # A copy: torch may not share a read-only memory map, and one byte a pixel is cheap.
        images = torch.from_numpy(np.array(self._images[rows]))
        return images, torch.from_numpy(np.ascontiguousarray(self._labels[rows], dtype=np.int64))


def resolve_device(choice: Device) -> UsedDevice:
    """The kind of device that a run uses: ``auto`` is cuda where PyTorch finds a GPU, else cpu."""
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


def open_device(choice: Device) -> torch.device:
    """The device itself, ready to give the same bits every time.

    Raises:
        TrainingError: ``no_cuda`` or ``not_deterministic``.
    """
    if resolve_device(choice) == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingError(
            f"Expected a CUDA GPU for train.device={choice}; PyTorch {torch.__version__} finds none.",
            reason="no_cuda",
            hint="Install a PyTorch built for CUDA and a driver, or run with --set train.device=cpu.",
        )
    # Read by PyTorch when it first multiplies matrices, so it must be set before.
    if os.environ.setdefault(_CUBLAS, _CUBLAS_SIZES[0]) not in _CUBLAS_SIZES:
        raise TrainingError(
            f"Expected {_CUBLAS} to be {' or '.join(_CUBLAS_SIZES)}; found {os.environ[_CUBLAS]!r}, with which cuBLAS "
            "may give other bits each time.",
            reason="not_deterministic",
            hint=f"Unset {_CUBLAS}.",
        )
    return torch.device("cuda", torch.cuda.current_device())


def device_name(device: torch.device) -> str:
    """What computes, as far as it changes bits: the CPU's kernels, or the GPU with its libraries."""
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    libraries = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{torch.cuda.get_device_name(device)}, {libraries}"


@contextmanager
def reproducible(*, threads: int, device: torch.device | None = None) -> Generator[None]:
    """Deterministic kernels on a fixed number of threads; everything is put back afterwards."""
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    fill = deterministic.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]  (set on the module's class)
    with ExitStack() as stack:
        if device is not None and device.type == "cuda":
            # Timing kernels to choose among them chooses otherwise each time; TF32 is not float32.
            stack.enter_context(
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
            )
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True)
        # Filling every new tensor with NaN finds bugs in kernels, changes no result and costs time.
        deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
            deterministic.fill_uninitialized_memory = fill  # pyright: ignore[reportAttributeAccessIssue]


def fresh_random(seed: int, device: torch.device) -> torch.Tensor:
    """The state of a new generator of the device: uint8, of a length that is the device's own."""
    return torch.Generator(device).manual_seed(seed).get_state()


def random_state(device: torch.device) -> torch.Tensor:
    """The state of the generator that dropout draws from."""
    return torch.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)


def set_random_state(state: torch.Tensor, device: torch.device) -> None:
    """Put the generator that dropout draws from into a state."""
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


@contextmanager
def side_stream(device: torch.device, stream: torch.cuda.Stream | None) -> Generator[None]:
    """Run the block's work on a stream of its own, as recording it as a graph asks; None leaves it where it is."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)
