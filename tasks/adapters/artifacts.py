"""A run's artifact as a local file: in, a run and a name; out, a path to bytes that have the digest in its tag.

Law: an artifact is handed out only when its bytes are those that were logged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tasks.adapters.store import translated  # isort: skip  (sets switches first)
from mlflow.artifacts import download_artifacts
from mlflow.utils.file_utils import get_local_path_or_none

from cxr_core.digests import digest_file
from cxr_core.errors import TrackingError
from tasks.adapters.records import RunRecord

__all__ = ["artifact_place", "checked_artifact"]


@contextmanager
def checked_artifact(record: RunRecord, name: str, *, tracking_uri: str) -> Generator[Path]:
    """A local path to an artifact whose bytes have the digest in its run's tag; good until the context ends.

    Raises:
        TrackingError: ``artifact_missing`` or ``artifact_changed``.
    """
    wanted = record.digests.get(name)
    if wanted is None:
        raise TrackingError(
            f"Run {record.run_id} has no artifact {name}; it has {', '.join(sorted(record.digests)) or 'none'}.",
            reason="artifact_missing",
        )
    with tempfile.TemporaryDirectory() as scratch:
        path = _local(record, name, Path(scratch), tracking_uri)
        found = digest_file(path)
        if found != wanted:
            raise TrackingError(
                f"Artifact {name} of run {record.run_id} should be {wanted}, but its bytes are {found}.",
                reason="artifact_changed",
                hint="Run `cxr retrain` again: what changed is trained anew.",
            )
        yield path


def artifact_place(record: RunRecord, name: str) -> Path | None:
    """Where an artifact's file lies, where artifacts lie on this machine; None where a server keeps them."""
    folder = get_local_path_or_none(record.artifact_uri)
    return None if folder is None else Path(folder, *PurePosixPath(name).parts)


def _local(record: RunRecord, name: str, scratch: Path, tracking_uri: str) -> Path:
    """Where the artifact lies on this machine: in place where the store is a folder, else downloaded to scratch."""
    try:
        path = artifact_place(record, name)
        if path is not None:
            if not path.is_file():
                raise FileNotFoundError(path)
            return path
        with translated(tracking_uri):
            address = f"{record.artifact_uri}/{name}"
            return Path(download_artifacts(address, dst_path=str(scratch), tracking_uri=tracking_uri))
    except OSError as error:
        raise TrackingError(
            f"Artifact {name} of run {record.run_id} cannot be read: {error}.",
            reason="artifact_missing",
            hint="Run `cxr retrain` again: what is missing is trained anew.",
        ) from error
