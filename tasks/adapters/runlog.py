"""Writing to one MLflow run: parameters, metrics, dataset inputs, artifacts with their digests, tags, its description.

The run is named by its id, so several threads and processes may write to several runs at once.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.adapters.store import translated  # isort: skip  (first: it sets switches that MLflow reads while imported)
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from cxr_core.digests import digest_file
from cxr_core.errors import TrackingError
from cxr_core.files import write_json, write_text
from tasks.adapters.lineage import DataCommitSource
from tasks.adapters.records import DIGEST_TAG, DatasetRef

__all__ = ["SYSTEM_METRICS", "Run", "flattened"]

SYSTEM_METRICS = "system/"
"""How the names of metrics begin that say how busy the machine was; MLflow's pages know them by it."""

# MLflow's column for a dataset's digest is this wide; a sha256 in hex is 64.
_DATASET_DIGEST_CHARACTERS = 36


class Run:
    """One run, open for writing.

    Args:
        client: The store's client.
        run_id: The run.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.id = run_id
        self._client = client
        self._uri: str = client.tracking_uri

    def params(self, nested: Mapping[str, Any]) -> None:
        """Record parameters, nested sections as dotted names.

        Raises:
            TrackingError: A name was recorded before with another value.
        """
        params = [Param(name, value) for name, value in flattened(nested).items()]
        with translated(self._uri):
            self._client.log_batch(self.id, params=params)

    def metrics(self, values: Mapping[str, float], *, step: int = 0, timestamp_ms: int | None = None) -> None:
        """Record one point a metric, all in one request; the same point sent again is kept once.

        Args:
            values: Finite numbers by name.
            step: The epoch (from 1), or 0 for a result of the whole run.
            timestamp_ms: Milliseconds since 1970; now, where left out.

        Raises:
            TrackingError: A value is not finite.
        """
        wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
        if wrong:
            raise TrackingError(f"Metrics must be finite numbers; found {wrong}.", reason="metric_not_finite")
        stamp = time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms
        with translated(self._uri):
            self._client.log_batch(
                self.id, metrics=[Metric(name, float(value), stamp, step) for name, value in values.items()]
            )

    def datasets(self, datasets: Sequence[DatasetRef]) -> None:
        """Record what the run read, with the data's git commit as the source."""
        with translated(self._uri):
            self._client.log_inputs(self.id, datasets=[_dataset_input(ref) for ref in datasets])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags in one request."""
        with translated(self._uri):
            self._client.log_batch(self.id, tags=[RunTag(name, value) for name, value in tags.items()])

    def describe(self, rows: Mapping[str, str], *, text: str = "") -> None:
        """Set the description that MLflow's page shows: a two-column table, then text (Markdown)."""
        lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
        table = "\n".join(["| | |", "| --- | --- |", *lines])
        self.tags({"mlflow.note.content": f"{table}\n\n{text}".strip()})

    def file(self, name: str, path: Path) -> str:
        """Log a file as the artifact ``name`` (relative, POSIX) and return its digest.

        The digest is tagged after the upload: an artifact without one was never whole.
        """
        target = PurePosixPath(name)
        digest = digest_file(path)
        with tempfile.TemporaryDirectory() as scratch, translated(self._uri):
            # MLflow takes the artifact's name from the file's; a link spares a copy of the weights.
            link = Path(scratch) / target.name
            link.symlink_to(path.resolve())
            folder = None if target.parent == PurePosixPath() else target.parent.as_posix()
            self._client.log_artifact(self.id, str(link), folder)
        self.tags({DIGEST_TAG + name: digest})
        return digest

    def data(self, name: str, content: bytes) -> str:
        """Log bytes (a PNG, say) as the artifact ``name`` and return their digest."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "content"
            path.write_bytes(content)
            return self.file(name, path)

    def text(self, name: str, content: str) -> str:
        """Log UTF-8 text as the artifact ``name`` and return its digest."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "content"
            write_text(path, content)
            return self.file(name, path)

    def json(self, name: str, value: Any) -> str:
        """Log one JSON value as the artifact ``name`` and return its digest."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "content"
            write_json(path, value)
            return self.file(name, path)

    def sampler(self) -> Callable[[], None]:
        """What records CPU, memory, disk and network use once, each time it is called; a GPU's where MLflow finds
        NVIDIA's library for it (``pip install nvidia-ml-py``).

        MLflow's own monitor does so from a thread, which gives up for good when the server is away for a moment.
        """
        with translated(self._uri):
            monitor = SystemMetricsMonitor(self.id, tracking_uri=self._uri)
        steps = count()

        def sample() -> None:
            monitor.collect_metrics()
            values = {f"{SYSTEM_METRICS}{name}": value for name, value in monitor.aggregate_metrics().items()}
            for each in monitor.monitors:
                each.clear_metrics()
            self.metrics({name: value for name, value in values.items() if math.isfinite(value)}, step=next(steps))

        return sample


def flattened(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested sections as ``section.key``; text as it is, everything else as JSON."""
    flat: dict[str, str] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flattened(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _dataset_input(ref: DatasetRef) -> DatasetInput:
    source = DataCommitSource(commit=ref.commit, digest=ref.digest, repository=ref.repository)
    dataset = Dataset(
        name=ref.name,
        digest=ref.digest.removeprefix("sha256:")[:_DATASET_DIGEST_CHARACTERS],
        source_type="cxr_data_commit",
        source=source.to_json(),
        profile=json.dumps({"num_rows": ref.rows}),
    )
    return DatasetInput(dataset=dataset, tags=[InputTag("mlflow.data.context", ref.context)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
