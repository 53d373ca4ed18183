"""params.yaml: text in, one frozen ``Params`` out. The only place that reads it.

Laws: every key is required and known (no default hides in code); a fault carries its dotted path, and all faults are
reported at once; ``digest_value(params.train.model_dump())`` names a section.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cxr_core.classes import ClassSlug, Source
from cxr_core.errors import ParamsError

__all__ = [
    "Architecture",
    "ClassWeights",
    "CurateParams",
    "Device",
    "EvaluateParams",
    "ExplainParams",
    "IngestParams",
    "Params",
    "Precision",
    "PrepareParams",
    "PretrainParams",
    "Protocol",
    "Schedule",
    "SplitParams",
    "TrainParams",
    "override_params",
    "read_params",
]

Architecture = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "densenet121",
    "densenet169",
    "vgg19",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
]
Precision = Literal["auto", "bf16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]
Schedule = Literal["constant", "cosine", "step", "one_cycle"]
ClassWeights = Literal["none", "balanced"]
Protocol = Literal["paper", "batches", "grouped", "loso"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class IngestParams(_Section):
    """What is read."""

    sources: tuple[Source, ...] = Field(min_length=1, strict=False)
    max_relabelled: float = Field(ge=0, le=1)


class CurateParams(_Section):
    """What becomes the cohort."""

    quota: dict[ClassSlug, Annotated[int, Field(ge=1)] | None]
    preference: tuple[Source, ...] = Field(strict=False)
    max_hamming: int = Field(ge=0, le=64)
    min_correlation: float = Field(ge=0, le=1)
    seed: Seed

    @field_validator("quota")
    @classmethod
    def _every_class(cls, quota: dict[ClassSlug, int | None]) -> dict[ClassSlug, int | None]:
        from cxr_core.classes import CLASSES

        missing = [slug for slug in CLASSES if slug not in quota]
        if missing:
            raise ValueError(f"no quota for {', '.join(missing)} (null takes every image)")
        return quota

    @field_validator("preference")
    @classmethod
    def _every_source(cls, preference: tuple[Source, ...]) -> tuple[Source, ...]:
        from cxr_core.classes import SOURCES

        if sorted(preference) != sorted(SOURCES):
            raise ValueError(f"name each of {', '.join(SOURCES)} once")
        return preference


class PrepareParams(_Section):
    """What the network sees."""

    size: int = Field(ge=32, le=1024)


class SplitParams(_Section):
    """Who tests whom."""

    protocol: Protocol
    folds: int = Field(ge=3, le=50)
    holdout: float = Field(ge=0, lt=0.5)
    seed: Seed


class TrainParams(_Section):
    """How a fold is trained."""

    architecture: Architecture
    weights: str = Field(pattern=r"^(imagenet|none|file:.+|registry:.+@.+)$")
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=2, le=4096)
    learning_rate: float = Field(gt=0, le=1)
    schedule: Schedule
    weight_decay: float = Field(ge=0, lt=1)
    class_weights: ClassWeights
    frozen_epochs: int = Field(ge=0, le=1000)
    patience: int | None = Field(ge=1, le=1000)
    device: Device
    cuda_graphs: bool
    precision: Precision
    threads: int = Field(ge=1, le=1024)
    seed: Seed

    @field_validator("frozen_epochs")
    @classmethod
    def _within_the_epochs(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("epochs", value):
            raise ValueError(f"at most train.epochs ({info.data['epochs']}) can be frozen")
        return value


class PretrainParams(_Section):
    """What a backbone learns from beside the parameters of ``train``."""

    validation: float = Field(gt=0, le=0.5)
    seed: Seed


class EvaluateParams(_Section):
    """How sure the figures are."""

    confidence: float = Field(gt=0.5, lt=1)
    bootstrap: int = Field(ge=100, le=100_000)
    seed: Seed


class ExplainParams(_Section):
    """How much is shown."""

    panels: int = Field(ge=1, le=64)


class Params(_Section):
    """The whole of params.yaml."""

    # Not named ``schema``: pydantic's own method has that name.
    schema_version: Literal[1] = Field(alias="schema")
    ingest: IngestParams
    curate: CurateParams
    prepare: PrepareParams
    split: SplitParams
    train: TrainParams
    pretrain: PretrainParams
    evaluate: EvaluateParams
    explain: ExplainParams


def read_params(text: str) -> Params:
    """Parse and check params.yaml.

    Raises:
        ParamsError: The text is not YAML, a key is missing or unknown, or a value is out of range; every fault is
            listed with its dotted path.
    """
    return _checked(_loaded(text))


def override_params(text: str, overrides: Sequence[str]) -> str:
    """Apply ``key=value`` overrides to params.yaml's text, keeping its comments and order.

    Args:
        text: The file's text.
        overrides: ``dotted.path=value``; the value is read as YAML.

    Raises:
        ParamsError: An override is not ``key=value``, names no key of the file, or the result does not hold.
    """
    data = _loaded(text)
    faults: list[str] = []
    for item in overrides:
        path, equals, value = item.partition("=")
        if not equals:
            faults.append(f"{item!r} is not key=value")
            continue
        node: Any = data
        *parents, leaf = path.strip().split(".")
        for name in parents:
            node = node.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or leaf not in node:
            faults.append(f"{path.strip()} is no key of params.yaml")
            continue
        try:
            node[leaf] = _yaml().load(value)  # type: ignore[index]
        except YAMLError:
            faults.append(f"{path.strip()}: {value!r} is not a YAML value")
    if faults:
        raise _refusal(faults)
    _checked(data)
    out = io.StringIO()
    _yaml().dump(data, out)
    return out.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = 120
    yaml.preserve_quotes = True
    return yaml


def _loaded(text: str) -> Any:
    try:
        data = _yaml().load(text)
    except YAMLError as error:
        raise _refusal([f"not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(data, Mapping):
        raise _refusal(["expected a mapping of sections at the top"])
    return data


def _checked(data: Any) -> Params:
    try:
        return Params.model_validate(_plain(data))
    except ValidationError as error:
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {_words(fault)}" for fault in error.errors()]
        raise _refusal(faults) from error


def _words(fault: Any) -> str:
    found = fault.get("input")
    shown = "" if isinstance(found, Mapping) or fault["type"] == "missing" else f" (found {found!r})"
    return str(fault["msg"]) + shown


def _plain(node: Any) -> Any:
    """ruamel's node types as plain Python, so that strict types hold."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _refusal(faults: list[str]) -> ParamsError:
    return ParamsError(
        "params: " + "; ".join(faults) + ".",
        reason="bad_params",
        hint="The keys and their meaning stand in params.yaml.",
    )
