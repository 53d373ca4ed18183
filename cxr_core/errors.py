"""Every error this system raises on purpose, as one tree.

A message says what was expected, what was found, where, and the command to run next. Errors cross process borders
(Prefect, DVC, worker pools), so each survives pickling; ``reason`` is a stable code that scripts may match.

    CxrError
    ├── SettingError        an environment variable or a place on this machine
    ├── ParamsError         params.yaml or --set
    ├── SourceError         a source is absent, has another layout, or differs from its pin
    ├── ImageError          one image's bytes cannot be used (quarantined at ingest)
    ├── CohortError         the cohort, store or folds asked for cannot be made from the records
    ├── WeightsError        initial weights or a checkpoint are absent, damaged or foreign
    ├── TrainingError       training stopped: a loss that is not finite, say
    ├── EvidenceError       predictions or evidence are incomplete or impossible
    ├── PolicyError         the promotion policy cannot be read or cannot be applied
    ├── VersioningError     git or DVC refused
    ├── TrackingError       MLflow refused, or holds no such run or model
    ├── LedgerError         the ledger is broken or disagrees with the registry
    └── AuditError          the chain from a model to its images does not hold
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AuditError",
    "CohortError",
    "CxrError",
    "EvidenceError",
    "ImageError",
    "LedgerError",
    "ParamsError",
    "PolicyError",
    "SettingError",
    "SourceError",
    "TrackingError",
    "TrainingError",
    "VersioningError",
    "WeightsError",
]


class CxrError(Exception):
    """A failure with a named reason and a next step.

    Args:
        message: What was expected, what was found and where, in one or two sentences.
        reason: A stable snake_case code, e.g. ``truncated``.
        hint: The next command or action; empty where there is none.
    """

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        """Message and hint on one line, as logs show them."""
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        """Type, message, reason and hint."""
        # Exception's own pickling passes positional arguments only and would lose reason and hint.
        return _rebuild, (type(self), self.message, self.reason, self.hint)

    def as_dict(self) -> dict[str, str]:
        """The ``error`` object that ``--json`` prints."""
        return {"kind": type(self).__name__, "reason": self.reason, "message": self.message, "hint": self.hint}


class SettingError(CxrError):
    """A setting of this machine is absent or unusable."""


class ParamsError(CxrError):
    """params.yaml or a ``--set`` override does not hold."""


class SourceError(CxrError):
    """A source is absent, laid out otherwise, or differs from its pin."""


class ImageError(CxrError):
    """One image's bytes cannot be used."""


class CohortError(CxrError):
    """The cohort, store or folds asked for cannot be made."""


class WeightsError(CxrError):
    """Weights are absent, damaged or foreign."""


class TrainingError(CxrError):
    """Training stopped."""


class EvidenceError(CxrError):
    """Predictions or evidence are incomplete or impossible."""


class PolicyError(CxrError):
    """The promotion policy cannot be read or applied."""


class VersioningError(CxrError):
    """Git or DVC refused."""


class TrackingError(CxrError):
    """MLflow refused, or holds no such run or model."""


class LedgerError(CxrError):
    """The ledger is broken or disagrees with the registry."""


class AuditError(CxrError):
    """The chain from a model to its images does not hold."""


def _rebuild(kind: type[CxrError], message: str, reason: str, hint: str) -> CxrError:
    return kind(message, reason=reason, hint=hint)
