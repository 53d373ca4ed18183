"""params.yaml: text in, one frozen ``Params`` out. The only place that reads it.

Laws: every key is required and known (no default hides in code); a fault carries its dotted path, and all faults are
reported at once; ``digest_value(params.train.plain())`` names a section. Each stage is a program of its own that starts
by reading this, so it is read by msgspec, which is there in a tenth of pydantic's time (ADR 0025).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cxr_core.classes import CLASSES, SOURCES, ClassSlug, Source
from cxr_core.errors import ParamsError
from cxr_core.faults import Checked, faults_of, plain

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
Seed = Annotated[int, Meta(ge=0, lt=2**32)]


class IngestParams(Checked, frozen=True):
    """What is read."""

    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]
    max_relabelled: Annotated[float, Meta(ge=0, le=1)]


class CurateParams(Checked, frozen=True):
    """What becomes the cohort."""

    quota: dict[ClassSlug, Annotated[int, Meta(ge=1)] | None]
    preference: tuple[Source, ...]
    max_hamming: Annotated[int, Meta(ge=0, le=64)]
    min_correlation: Annotated[float, Meta(ge=0, le=1)]
    seed: Seed

    def __post_init__(self) -> None:
        """Check what holds between keys."""
        if missing := [slug for slug in CLASSES if slug not in self.quota]:
            raise ValueError(f"quota: no quota for {', '.join(missing)} (null takes every image)")
        if sorted(self.preference) != sorted(SOURCES):
            raise ValueError(f"preference: name each of {', '.join(SOURCES)} once")


class PrepareParams(Checked, frozen=True):
    """What the network sees."""

    size: Annotated[int, Meta(ge=32, le=1024)]


class SplitParams(Checked, frozen=True):
    """Who tests whom."""

    protocol: Protocol
    folds: Annotated[int, Meta(ge=3, le=50)]
    holdout: Annotated[float, Meta(ge=0, lt=0.5)]
    seed: Seed


class TrainParams(Checked, frozen=True):
    """How a fold is trained."""

    architecture: Architecture
    weights: Annotated[str, Meta(pattern=r"\A(imagenet|none|file:.+|registry:.+@.+)\Z")]
    epochs: Annotated[int, Meta(ge=1, le=1000)]
    batch_size: Annotated[int, Meta(ge=2, le=4096)]
    learning_rate: Annotated[float, Meta(gt=0, le=1)]
    schedule: Schedule
    weight_decay: Annotated[float, Meta(ge=0, lt=1)]
    class_weights: ClassWeights
    frozen_epochs: Annotated[int, Meta(ge=0, le=1000)]
    patience: Annotated[int, Meta(ge=1, le=1000)] | None
    device: Device
    cuda_graphs: bool
    precision: Precision
    threads: Annotated[int, Meta(ge=1, le=1024)]
    seed: Seed

    def __post_init__(self) -> None:
        """Check what holds between keys."""
        if self.frozen_epochs > self.epochs:
            raise ValueError(
                f"frozen_epochs: at most train.epochs ({self.epochs}) can be frozen (found {self.frozen_epochs})"
            )


class PretrainParams(Checked, frozen=True):
    """What a backbone learns from beside the parameters of ``train``."""

    validation: Annotated[float, Meta(gt=0, le=0.5)]
    seed: Seed


class EvaluateParams(Checked, frozen=True):
    """How sure the figures are."""

    confidence: Annotated[float, Meta(gt=0.5, lt=1)]
    bootstrap: Annotated[int, Meta(ge=100, le=100_000)]
    seed: Seed


class ExplainParams(Checked, frozen=True):
    """How much is shown."""

    panels: Annotated[int, Meta(ge=1, le=64)]


class Params(Checked, frozen=True):
    """The whole of params.yaml."""

    schema: Literal[1]
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
    values = plain(data)
    if faults := list(faults_of(values, Params)):
        raise _refusal(faults)
    return msgspec.convert(values, Params)


def _refusal(faults: list[str]) -> ParamsError:
    return ParamsError(
        "params: " + "; ".join(faults) + ".",
        reason="bad_params",
        hint="The keys and their meaning stand in params.yaml.",
    )
