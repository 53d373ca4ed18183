"""A checkpoint and X-rays in, class probabilities out: what serves, and all that a served model needs of this code.

Imports numpy, torch, torchvision, safetensors, the image decoder and this room's network and checkpoint; nothing of the
tracker, the orchestrator or the parameters. Law: an image's bytes and its row of the store go through the same
``decode``, ``resize`` and ``to_input``, so their probabilities are equal to the last bit; so are those that a fold has
given for its test images, since both answer through ``folded``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.errors import ImageError, WeightsError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.geometry import resize
from cxr_core.model import checkpoint
from cxr_core.model.folding import folded
from cxr_core.model.network import UsedPrecision, probabilities

__all__ = ["Classifier"]


class Classifier:
    """A trained network with its pre-processing.

    Args:
        network: In evaluation mode; it answers through a folded copy, whose class scores differ by rounding alone.
        about: The checkpoint's header.
        digest: ``sha256:<hex>`` of the checkpoint's bytes.
        precision: Of the forward pass.
        temperature: What class scores are divided by before the softmax, above 0.

    Raises:
        WeightsError: ``bad_temperature``.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        about: checkpoint.About,
        digest: str,
        precision: UsedPrecision,
        temperature: float = 1.0,
    ) -> None:
        if not (math.isfinite(temperature) and temperature > 0):
            raise WeightsError(f"A temperature is above 0; found {temperature}.", reason="bad_temperature")
        self.network = network
        self._answering = folded(network)
        self.about = about
        self.digest = digest
        self.precision: UsedPrecision = precision
        self.temperature = temperature

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        digest: str | None = None,
        precision: UsedPrecision | None = None,
        temperature: float | None = None,
    ) -> Classifier:
        """Read a checkpoint.

        Args:
            path: The safetensors file.
            digest: The digest it must have; None takes any.
            precision: None keeps the one it was trained and tested with, so that the evidence speaks for what is
                served; ``fp32`` is faster on a CPU without bfloat16.
            temperature: The one that the model was calibrated with; None leaves the scores as they are.

        Raises:
            WeightsError: The file is missing, damaged, foreign or not of this digest, or ``bad_temperature``.
        """
        found = checkpoint.read(path, digest=digest)
        return cls(
            network=checkpoint.restore(found),
            about=found.about,
            digest=found.digest,
            precision=precision or found.about.precision,
            temperature=1.0 if temperature is None else temperature,
        )

    def predict(self, images: Sequence[bytes]) -> NDArray[np.float64]:
        """Probabilities of PNG, JPEG or DICOM files.

        Args:
            images: n files' bytes.

        Returns:
            float64 (n, 3), in ``CLASSES`` order.

        Raises:
            ImageError: A file cannot be used; the message says which, counting from 0.
        """
        return self.predict_store(self.preprocess(images))

    def predict_store(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Probabilities of rows of the store.

        Args:
            images: uint8 (n, S, S), S the checkpoint's size.

        Returns:
            float64 (n, 3), in ``CLASSES`` order.
        """
        return probabilities(self._answering, images, precision=self.precision, temperature=self.temperature)

    def preprocess(self, images: Sequence[bytes]) -> NDArray[np.uint8]:
        """Files as rows of the store: uint8 (n, S, S).

        Raises:
            ImageError: A file cannot be used; the message says which, counting from 0.
        """
        rows = np.empty((len(images), self.about.size, self.about.size), dtype=np.uint8)
        for position, data in enumerate(images):
            try:
                rows[position] = resize(decode(data).pixels, self.about.size)
            except ImageError as error:
                raise ImageError(
                    f"Image {position} of {len(images)}: {error.message}", reason=error.reason, hint=error.hint
                ) from error
        return rows

    @property
    def classes(self) -> tuple[str, ...]:
        """Slugs in output order."""
        return CLASSES
