"""The one door to torchvision: ``from cxr_core.model.vision import models``.

PyPI's torchvision wheel is linked against CUDA. Beside a CPU-only torch its C++ operators cannot be loaded, and the
import stops at ``operator torchvision::nms does not exist`` (pytorch/vision#9077, #9085). Networks, weights and
transforms need none of these operators, only their *schemas*, to which torchvision attaches shape functions while it
is imported. So the schemas are declared first, only where the true operators are missing.

Law: with a matching pair of wheels nothing is declared, and the true operators stay usable. The order matters (schemas,
then import), which is why this module acts when imported; importing it twice changes nothing.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import torch

__all__ = ["declare_missing_operators", "models"]

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_missing_operators() -> tuple[str, ...]:
    """Declare the operator schemas that torchvision's import asks for and its own library could not bring.

    Returns:
        The names declared now; empty where the true operators are there, and on every later call.
    """
    _load_true_operators()
    missing = tuple(name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name))
    for name in missing:
        torch.library.define(f"torchvision::{name}", _SCHEMAS[name])
    return missing


def _load_true_operators() -> None:
    """Load torchvision's C++ library where it fits this torch, as torchvision itself would a moment later."""
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return
    loader = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    library = importlib.machinery.FileFinder(str(Path(package.origin).parent), loader).find_spec("_C")
    if library is None or library.origin is None:
        return
    try:
        torch.ops.load_library(library.origin)
    except OSError:
        # Linked against libraries that this torch does not have: the case this module is for.
        return


declare_missing_operators()

from torchvision import models  # noqa: E402  (the schemas come first)
