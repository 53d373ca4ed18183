"""How a registered model is named, and a version as it was read; reading this module needs no MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cxr_core.errors import TrackingError

__all__ = ["TEMPERATURE_TAG", "WEIGHTS_FILE", "LoggedModelRef", "ModelReference", "ModelVersion", "parse_reference"]

# Where the weights lie inside a model's folder.
WEIGHTS_FILE = "artifacts/weights.safetensors"
# Of a version: what it was calibrated with; absent where it was not.
TEMPERATURE_TAG = "cxr.temperature"

_NAME = r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)"
_ALIAS = r"(?P<alias>[A-Za-z][A-Za-z0-9_-]*)"
_VERSION = r"(?P<version>[1-9][0-9]*)"
_FULL = re.compile(rf"(?:models:/)?{_NAME}(?:@{_ALIAS}|/{_VERSION})")
_SHORT = re.compile(rf"@?{_ALIAS}|{_VERSION}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedModelRef:
    """A logged model.

    Attributes:
        model_id: MLflow's id, ``m-<hex>``.
        run_id: The run it belongs to.
        weights: ``sha256:<hex>`` of its weights file.
        package: The name its code travels under.
        temperature: What it was calibrated with; None where it was not.
    """

    model_id: str
    run_id: str
    weights: str
    package: str
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReference:
    """One version of a registered model, named by alias or by number: exactly one of the two."""

    name: str
    alias: str | None = None
    version: int | None = None

    @property
    def uri(self) -> str:
        """``models:/name@alias`` or ``models:/name/3``, as ``mlflow.pyfunc.load_model`` takes it."""
        return f"models:/{self.name}" + (f"/{self.version}" if self.alias is None else f"@{self.alias}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """A registered version.

    Attributes:
        name: The registered model.
        version: Its number, from 1.
        model_id: The logged model behind it.
        run_id: The run that made it.
        tags: ``cxr.commit``, ``cxr.data``, ``cxr.run``, ``cxr.weights``, ``cxr.evidence`` and what others added.
        aliases: That point at it now.
        description: For people.
        created_ms: Milliseconds since 1970.
    """

    name: str
    version: int
    model_id: str
    run_id: str
    tags: Mapping[str, str] = field(repr=False)
    aliases: tuple[str, ...]
    description: str = field(repr=False)
    created_ms: int

    @property
    def uri(self) -> str:
        """``models:/name/3``: the address that never comes to mean another version."""
        return f"models:/{self.name}/{self.version}"

    @property
    def temperature(self) -> float | None:
        """What it was calibrated with; None where it was not."""
        text = self.tags.get(TEMPERATURE_TAG)
        return None if text is None else float(text)


def parse_reference(text: str, *, default: str | None = None) -> ModelReference:
    """Read ``models:/name@alias``, ``models:/name/3``, the same without ``models:/``, or a bare alias or number.

    Law: ``parse_reference(reference.uri) == reference``.

    Args:
        text: What the user wrote.
        default: The model that a bare alias or number belongs to; without one they are refused.

    Raises:
        TrackingError: It is none of these.
    """
    found = _FULL.fullmatch(text)
    if found is None and default is not None:
        found = _SHORT.fullmatch(text)
    if found is None:
        raise TrackingError(
            f"Expected a model by alias or number; found {text!r}.",
            reason="bad_model_reference",
            hint="Write models:/cxr-resnet34@champion or models:/cxr-resnet34/3.",
        )
    parts = found.groupdict()
    number = parts["version"]
    return ModelReference(
        name=parts.get("name") or str(default), alias=parts["alias"], version=None if number is None else int(number)
    )
