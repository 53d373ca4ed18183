"""MLflow's runs: a retrain is a parent run, each fold and the refit a child of it.

In: names, tags, ids. Out: a ``Run`` to write to, ``RunRecord`` values to read. Laws: a run whose body raised is FAILED
and says why; runs are named by id, never by module state; an artifact is handed out only whole (``artifacts``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.adapters.store import artifact_uri, open_client, translated  # isort: skip  (sets switches first)
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cxr_core.errors import CxrError, TrackingError
from cxr_core.files import write_bytes
from tasks.adapters.artifacts import checked_artifact
from tasks.adapters.records import Point, Provenance, RunKind, RunRecord, record_of
from tasks.adapters.runlog import Run
from tasks.adapters.stopped import at_work_here, died, goes_on, same_machine

__all__ = ["Tracker", "open_store"]

_log = logging.getLogger("cxr.tracking")

_EXPERIMENT = "cxr"
_PAGE = 1000
_REASON_CHARACTERS = 500


class Tracker:
    """An open store and its experiment.

    Args:
        client: The store's client.
        experiment_id: The experiment that holds every run of this project.
    """

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.uri: str = client.tracking_uri

    @contextmanager
    def run(
        self,
        name: str,
        *,
        kind: RunKind,
        provenance: Provenance,
        parent: str | None = None,
        key: str | None = None,
        resume: str | None = None,
    ) -> Generator[Run]:
        """``begin`` a run and ``finish`` it with the body; where the body raises, ``fail`` it."""
        run = self.begin(name, kind=kind, provenance=provenance, parent=parent, key=key, resume=resume)
        try:
            yield run
        except BaseException as error:
            self.fail(run, error)
            raise
        self.finish(run)

    def begin(
        self,
        name: str,
        *,
        kind: RunKind,
        provenance: Provenance,
        parent: str | None = None,
        key: str | None = None,
        resume: str | None = None,
    ) -> Run:
        """Create a run, or go on with one whose process died.

        Args:
            name: ``retrain <id>``, ``fold 0``, ``refit``.
            kind: What kind of run it is.
            provenance: Where it comes from.
            parent: The id of the retrain's run; ``None`` for the retrain itself.
            key: The training's cache key, by which ``find`` finds the run again.
            resume: The id of a run that an earlier process began for the same; it is gone on with unless it is
                finished or deleted.
        """
        tags = {**provenance.tags(), "cxr.kind": kind, **at_work_here()}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        if key is not None:
            tags["cxr.key"] = key
        if resume and (run := self._reopened(resume, tags)):
            return run
        with translated(self.uri):
            created = self.client.create_run(self.experiment_id, run_name=name, tags=tags)
        return Run(self.client, created.info.run_id)

    def finish(self, run: Run) -> None:
        """Mark a run as FINISHED."""
        with translated(self.uri):
            self.client.set_terminated(run.id, "FINISHED")

    def fail(self, run: Run, error: BaseException) -> None:
        """Mark a run as FAILED, or as KILLED where a person stopped it, with the reason. Never raises of its own."""
        known = isinstance(error, CxrError)
        reason = error.reason if known else type(error).__name__
        try:
            run.tags({"cxr.reason": reason, "cxr.error": str(error)[:_REASON_CHARACTERS]})
            with translated(self.uri):
                self.client.set_terminated(run.id, "FAILED" if isinstance(error, Exception) else "KILLED")
        except TrackingError as second:
            # The body's own error is the one worth raising.
            _log.warning("Run %s could not be marked as failed: %s", run.id, second)

    def unfinished(
        self, tags: Mapping[str, str], *, params: Mapping[str, Any], known: str | None = None, told: bool = True
    ) -> str | None:
        """The run with these tags that was begun, is not finished and is at work in no other process; None without.

        One whose parameters read otherwise is passed over, for MLflow would not take them. Call ``end_orphans`` first.

        Args:
            tags: What it must carry.
            params: What will be recorded as its parameters.
            known: A run that is known to be stopped, whatever its status says; it comes first, then the newest.
            told: Whether another than the known one may have metrics; those of the system are none.
        """
        return goes_on(self.search(tags), params=params, known=known, told=told)

    def end_orphans(self) -> int:
        """Mark the runs that died with their process on this machine as KILLED; returns how many there were."""
        dead = died(self.search(same_machine(), status="RUNNING"))
        for record in dead:
            self.attach(record.run_id).tags({"cxr.reason": "process_died"})
            with translated(self.uri):
                self.client.set_terminated(record.run_id, "KILLED")
        return len(dead)

    def attach(self, run_id: str) -> Run:
        """A run somebody else opened, to write to; its status stays with them."""
        return Run(self.client, self.read(run_id).run_id)

    def read(self, run_id: str) -> RunRecord:
        """Read one run.

        Raises:
            TrackingError: There is no such run.
        """
        with translated(self.uri):
            return record_of(self.client.get_run(run_id))

    def search(self, tags: Mapping[str, str], *, status: str | None = None) -> list[RunRecord]:
        """Undeleted runs that carry all of these tags, newest first.

        Raises:
            TrackingError: A tag's value holds a quote, which MLflow's filters cannot express.
        """
        if any("'" in text or '"' in text for pair in tags.items() for text in pair):
            raise TrackingError(f"A quote cannot be searched for: {dict(tags)}.", reason="bad_search")
        terms = [f"tags.\"{name}\" = '{value}'" for name, value in tags.items()]
        if status is not None:
            terms.append(f"attributes.status = '{status}'")
        return list(self._pages(" and ".join(terms)))

    def children(self, run_id: str) -> list[RunRecord]:
        """The runs of a retrain, newest first."""
        return self.search({"mlflow.parentRunId": run_id})

    def find(
        self,
        key: str,
        *,
        artifacts: Sequence[str],
        without: Sequence[str] = (),
        passed_over: Callable[[str], None] = _log.warning,
    ) -> RunRecord | None:
        """The newest finished, undeleted run with this cache key whose artifacts are there, byte for byte.

        A run that lost an artifact, whose bytes changed, or whose artifacts cannot be had, is passed over.

        Args:
            key: The training's.
            artifacts: Names of those it must have.
            without: Tags that it may not carry.
            passed_over: Called with the reason, in words, where a run is.
        """
        for record in self.search({"cxr.key": key}, status="FINISHED"):
            if any(tag in record.tags for tag in without):
                continue
            try:
                for name in artifacts:
                    with checked_artifact(record, name, tracking_uri=self.uri):
                        pass
            except TrackingError as error:
                passed_over(f"run {record.run_id[:8]} cannot be reused: {error.message}")
            else:
                return record
        return None

    def fetch(self, run_id: str, name: str, destination: Path) -> Path:
        """Copy an artifact to a file, whole or not at all.

        Raises:
            TrackingError: The artifact is absent, was never whole, or its bytes changed since they were logged.
        """
        with checked_artifact(self.read(run_id), name, tracking_uri=self.uri) as path:
            write_bytes(destination, path.read_bytes())
        return destination

    def history(self, run_id: str, metric: str) -> list[Point]:
        """Every point of a metric, by step and time; empty where the run never logged it."""
        with translated(self.uri):
            found = self.client.get_metric_history(run_id, metric)
        points = [Point(step=one.step, value=one.value, timestamp_ms=one.timestamp) for one in found]
        return sorted(points, key=lambda point: (point.step, point.timestamp_ms))

    def _reopened(self, run_id: str, tags: Mapping[str, str]) -> Run | None:
        """A stopped run, running again under this process; None where it is finished, deleted or gone."""
        try:
            record = self.read(run_id)
        except TrackingError as error:
            if error.reason != "resource_does_not_exist":
                raise
            return None
        if record.status == "FINISHED" or record.deleted:
            return None
        run = Run(self.client, run_id)
        with translated(self.uri):
            self.client.update_run(run_id, status="RUNNING")
        times = int(record.tags.get("cxr.resumed", "0")) + 1
        # What it was stopped by is no longer so; MLflow's tags cannot be searched for emptiness, so they go.
        for stale in ("cxr.reason", "cxr.error"):
            if stale in record.tags:
                with translated(self.uri):
                    self.client.delete_tag(run_id, stale)
        run.tags({**tags, "cxr.resumed": str(times)})
        return run

    def _pages(self, terms: str) -> Iterator[RunRecord]:
        token: str | None = None
        while True:
            with translated(self.uri):
                page = self.client.search_runs(
                    [self.experiment_id],
                    terms,
                    max_results=_PAGE,
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
            yield from map(record_of, page)
            token = page.token
            if not token:
                return


def open_store(tracking_uri: str, artifact_root: str | Path) -> Tracker:
    """Open the store and its experiment, making both where they are not there yet.

    Args:
        tracking_uri: ``sqlite:////absolute/path.db``, ``postgresql://…`` or a server's ``http(s)://`` address.
        artifact_root: Where artifacts go: a folder or URI. A server decides itself.

    Raises:
        TrackingError: The store cannot be opened, or its experiment was deleted.
    """
    root = artifact_uri(artifact_root)
    client = open_client(tracking_uri, root)
    with translated(tracking_uri):
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        if experiment is None:
            location = None if tracking_uri.startswith("http") else f"{root}/{_EXPERIMENT}"
            return Tracker(client, _create_experiment(client, location))
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"The MLflow experiment {_EXPERIMENT!r} was deleted.",
            reason="experiment_deleted",
            hint=f"Run `mlflow experiments restore -x {experiment.experiment_id}` with MLFLOW_TRACKING_URI set.",
        )
    return Tracker(client, experiment.experiment_id)


def _create_experiment(client: MlflowClient, location: str | None) -> str:
    try:
        # MLflow's pages otherwise open on those for language models.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(_EXPERIMENT, artifact_location=location, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # Another process was a moment faster.
        found = client.get_experiment_by_name(_EXPERIMENT)
        if found is None:
            raise
        return found.experiment_id
