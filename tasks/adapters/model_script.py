"""The model that MLflow loads: X-ray files in (PNG, JPEG or DICOM bytes), one row of class probabilities each out.

This file travels inside every logged model ("models from code"). Each mention of the package it imports is rewritten to
the copy that travels beside it, so it imports nothing else of this project. Nothing is pickled.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

__all__ = ["ChestXrayModel"]


class ChestXrayModel(PythonModel):
    """Research software, not a medical device.

    Input: a data frame with the column ``image`` (file bytes, or base64 text as JSON carries them), or a list of such.
    Output: columns ``covid``, ``viral``, ``normal`` (probabilities in [0, 1] that add up to 1) and ``label``.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights; MLflow calls this once.

        Raises:
            WeightsError: The weights are not, byte for byte, those that were logged.
        """
        # Not at the top: MLflow runs this file while it saves the model, before the package lies beside it.
        from cxr_core.model.inference import Classifier

        self._classifier = Classifier.load(
            Path(context.artifacts["weights"]),
            digest=context.model_config["weights_digest"],
            temperature=context.model_config.get("temperature"),
        )

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """Classify every image: a data frame, one row each.

        Raises:
            MlflowException: A row holds no usable image; it names the row (from 0) and the reason.
        """
        from cxr_core.errors import ImageError

        images = [_bytes(row, value) for row, value in enumerate(_column(model_input))]
        try:
            probabilities = self._classifier.predict(images)
        except ImageError as error:
            # The scoring server answers an invalid parameter with status 400 and this text.
            raise MlflowException.invalid_parameter_value(f"{error.reason}: {error.message}") from error
        classes = self._classifier.classes
        table = pd.DataFrame(probabilities, columns=list(classes), dtype="float64")
        table["label"] = [classes[index] for index in probabilities.argmax(axis=1)]
        return table


def _column(model_input: Any) -> Sequence[Any]:
    if isinstance(model_input, pd.DataFrame):
        return model_input["image"].tolist()
    return list(model_input)


def _bytes(row: int, value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        try:
            # MLflow's own examples break base64 into lines.
            return base64.b64decode("".join(value.split()), validate=True)
        except binascii.Error as error:
            raise _refusal(row, "not_base64", str(error)) from error
    raise _refusal(row, "not_bytes", f"expected a file's bytes, found {type(value).__name__}")


def _refusal(row: int, reason: str, message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(f"{reason}: Image {row}: {message}")


set_model(ChestXrayModel())
