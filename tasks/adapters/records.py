"""What is said about an MLflow run, as values; reading this module needs no MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["DIGEST_TAG", "DatasetRef", "Point", "Provenance", "RunKind", "RunRecord", "record_of"]

RunKind = Literal["retrain", "fold", "refit", "pretrain", "protocols"]

# Followed by an artifact's name: what its bytes must hash to.
DIGEST_TAG = "cxr.digest."


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRef:
    """A dataset as a run reads it.

    Attributes:
        name: E.g. ``cohort`` or ``fold 0 train``.
        digest: ``sha256:<hex>`` of what was read.
        commit: The git commit whose ``dvc.lock`` pins the images.
        context: What it was read for: ``training``, ``validation`` or ``test``.
        rows: Images.
        repository: Where the commit can be fetched; empty where it is local.
    """

    name: str
    digest: str
    commit: str
    context: str
    rows: int
    repository: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What every run of a retrain says about where it came from.

    Attributes:
        commit: The run's git commit (code, parameters, pins, ``dvc.lock``), 40 hex digits.
        data: The data version, ``sha256:<hex>``.
        protocol: How folds were dealt, e.g. ``grouped``; several with commas where they stand side by side.
        synthetic: Whether phantoms were among the images.
        program: What was run, e.g. ``cxr retrain``.
        user: Who ran it.
    """

    commit: str
    data: str
    protocol: str
    synthetic: bool
    program: str
    user: str

    def tags(self) -> dict[str, str]:
        """As tags: ours under ``cxr.``, and those that MLflow's pages know."""
        return {
            "cxr.commit": self.commit,
            "cxr.data": self.data,
            "cxr.protocol": self.protocol,
            "cxr.synthetic": "true" if self.synthetic else "false",
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.name": self.program,
            "mlflow.source.type": "LOCAL",
            "mlflow.user": self.user,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a metric: epoch, value, milliseconds since 1970."""

    step: int
    value: float
    timestamp_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run as it was read; ``metrics`` holds the last value of each."""

    run_id: str
    name: str
    status: str
    tags: Mapping[str, str] = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)
    artifact_uri: str
    started_ms: int
    ended_ms: int | None
    deleted: bool

    @property
    def parent(self) -> str | None:
        """The retrain this run belongs to."""
        return self.tags.get("mlflow.parentRunId")

    @property
    def digests(self) -> dict[str, str]:
        """``sha256:<hex>`` of each artifact by name."""
        return {
            name.removeprefix(DIGEST_TAG): value for name, value in self.tags.items() if name.startswith(DIGEST_TAG)
        }


def record_of(run: Any) -> RunRecord:
    """MLflow's own value of a run as ours."""
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        artifact_uri=run.info.artifact_uri,
        started_ms=run.info.start_time,
        ended_ms=run.info.end_time,
        deleted=run.info.lifecycle_stage == "deleted",
    )
