"""How an MLflow run names the images it read: a git commit whose ``dvc.lock`` pins them.

MLflow refuses a source that it has no class for. ``DataCommitSource`` is registered under the entry point group
``mlflow.dataset_source``, so that ``mlflow.data.get_source`` understands our runs wherever this project is installed.
MLflow loads entry points in the middle of its own import: only its smallest module may be imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from mlflow.data.dataset_source import DatasetSource

from cxr_core.errors import TrackingError

__all__ = ["DataCommitSource"]


class DataCommitSource(DatasetSource):
    """A git commit (code, parameters, pins and ``dvc.lock``) as the source of a dataset.

    Law: ``DataCommitSource.from_json(source.to_json())`` names the same commit, digest and repository.

    Args:
        commit: The commit, 40 hex digits.
        digest: The dataset's whole digest; MLflow's own field holds 36 characters of it.
        repository: Where the commit can be fetched; empty where it is local.
    """

    def __init__(self, *, commit: str, digest: str, repository: str = "") -> None:
        self.commit = commit
        self.digest = digest
        self.repository = repository

    @staticmethod
    def _get_source_type() -> str:
        return "cxr_data_commit"

    def load(self) -> Any:
        """Refuse: images are brought back by git and DVC, with the user's own access.

        Raises:
            TrackingError: Always, with the commands that bring them back.
        """
        raise TrackingError(
            f"The images of commit {self.commit} are held by DVC, not by MLflow.",
            reason="held_by_dvc",
            hint=f"Run `git checkout {self.commit}` and `dvc pull`.",
        )

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        # Never guessed from a string: 40 hex digits could be anything.
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> Self:
        raise TrackingError("A data commit is not guessed from a raw source.", reason="not_resolvable")

    def to_dict(self) -> dict[str, Any]:
        """Commit, digest and repository, as MLflow's pages show them."""
        return {"commit": self.commit, "digest": self.digest, "repository": self.repository}

    @classmethod
    def from_dict(cls, source_dict: Mapping[Any, Any]) -> Self:
        """Read ``to_dict``'s result back."""
        return cls(
            commit=source_dict["commit"], digest=source_dict["digest"], repository=source_dict.get("repository", "")
        )
