"""mlflow/promotion_policy.yaml: text in, one frozen ``Policy`` out. The only place that reads it.

Laws: every key is required and known, so that no floor hides in code; a fault carries its dotted path, and all are
reported at once; comments do not change the digest, any value does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cxr_core.digests import digest_value
from cxr_core.errors import PolicyError

__all__ = ["Policy", "policy_digest", "read_policy"]

Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    # Not strict: YAML writes a whole-numbered floor as an integer. Booleans stay apart by their own strict fields.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvidenceRule(_Section):
    """How the evidence must have been measured."""

    confidence: float = Field(gt=0.5, lt=1)
    bootstrap: int = Field(ge=100, strict=True)


class Minimum(_Section):
    """How much must have been tested, leak-free."""

    images_per_class: int = Field(ge=2, strict=True)
    groups: int = Field(ge=2, strict=True)


class Floors(_Section):
    """What lower limits must reach."""

    accuracy_above_largest_class: Share
    macro_auc: Share
    sensitivity: Share
    specificity: Share


class ControlRule(_Section):
    """What must fail, or hold, for the figures to be believed; null asks for nothing."""

    picture_advantage: Annotated[float, Field(ge=-1, le=1)] | None
    source_probe_auc: Share | None
    permuted_labels: bool = Field(strict=True)
    identifiable: bool = Field(strict=True)
    calibration_error: Share | None


class ChampionRule(_Section):
    """How much worse than the champion is not acceptable."""

    accuracy_margin: Share
    macro_auc_margin: Share
    mcnemar_alpha: Share
    shared_images: int = Field(ge=2, strict=True)


class SyntheticRule(_Section):
    """What a model trained on phantoms may do."""

    may_replace_real: bool = Field(strict=True)


class ApprovalRule(_Section):
    """Whether a person has the last word."""

    required: bool = Field(strict=True)
    not_the_trainer: bool = Field(strict=True)


class Policy(_Section):
    """The whole of promotion_policy.yaml."""

    # Not named ``schema``: pydantic's own method has that name.
    schema_version: Literal[1] = Field(alias="schema")
    model: str = Field(min_length=1)
    evidence: EvidenceRule
    minimum: Minimum
    floors: Floors
    controls: ControlRule
    champion: ChampionRule
    synthetic: SyntheticRule
    approval: ApprovalRule


def read_policy(text: str) -> Policy:
    """Parse and check the policy.

    Raises:
        PolicyError: The text is not YAML, a key is missing or unknown, or a value is out of range; every fault is
            listed with its dotted path.
    """
    try:
        data: Any = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise _refusal([f"not YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(data, Mapping):
        raise _refusal(["expected a mapping of sections at the top"])
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise _refusal(faults) from error


def policy_digest(policy: Policy) -> str:
    """``sha256:<hex>`` of what the policy says."""
    return digest_value(policy.model_dump(mode="json", by_alias=True))


def _refusal(faults: list[str]) -> PolicyError:
    return PolicyError(
        "promotion_policy.yaml: " + "; ".join(faults) + ".",
        reason="bad_policy",
        hint="The keys and their reasons stand in mlflow/promotion_policy.yaml.",
    )
