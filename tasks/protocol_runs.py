"""Protocols side by side as MLflow holds them: one parent run, found whole or gone on with, and what it is told."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.digests import digest_value
from cxr_core.evaluate.predictions import predictions_csv
from cxr_core.evaluate.protocol_figure import protocols_figure
from cxr_core.evaluate.protocol_parts import ProtocolTable, parse_protocols, protocols_json
from cxr_core.evaluate.protocol_tables import protocol_metrics, protocols_csv
from cxr_core.files import read_json
from cxr_core.report.protocols import protocols_page
from cxr_core.train.key import TrainKey, import_closure
from tasks.adapters.artifacts import artifact_place
from tasks.adapters.records import DatasetRef
from tasks.events import note, stage_done, stage_started
from tasks.protocols import CrossValidated, Planned
from tasks.run import Run
from tasks.software import SOFTWARE_FILE, software
from tasks.stores import tracker_of
from tasks.trained import KEY_FILE, Trained, find_trained, provenance, reused_words, stage_name

__all__ = [
    "PAGE_FILE",
    "TABLE_FILE",
    "FoundProtocols",
    "find_protocols",
    "log_protocols",
    "open_protocols",
    "report_of",
]

TABLE_FILE = "protocols.json"
CSV_FILE = "protocols.csv"
FIGURE_FILE = "figures/protocols.png"
PAGE_FILE = "protocols.html"
# What measures and draws, beside what trains.
_ENTRIES = ("cxr_core.evaluate.protocols", "cxr_core.evaluate.protocol_figure", "cxr_core.evaluate.protocol_tables")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundProtocols:
    """An earlier run of the same, every part of it whole.

    Attributes:
        parent: Its run.
        folds: Its folds, by protocol and number.
        table: What was measured.
    """

    parent: str
    folds: tuple[tuple[Trained, ...], ...]
    table: ProtocolTable


def find_protocols(run: Run, plans: Sequence[Planned]) -> FoundProtocols | None:
    """An earlier run of the same plans; None where there is none, or where any artifact of it is not whole."""
    tracker = tracker_of(run.home)
    files = (TABLE_FILE, CSV_FILE, FIGURE_FILE, PAGE_FILE, KEY_FILE)
    parent = tracker.find(_key(run, plans).digest, artifacts=files, passed_over=partial(note, "evaluate"))
    if parent is None:
        return None
    folds: list[tuple[Trained, ...]] = []
    for each in plans:
        found = [find_trained(run, each.plan, fold) for fold in range(len(each.plan.folds))]
        whole = tuple(one for one in found if one is not None)
        if len(whole) < len(found):
            return None
        folds.append(whole)
    for each, trained in zip(plans, folds, strict=True):
        stage_started("protocol")
        stage_done("protocol", f"{each.protocol}: {len(trained)} fold{'s' * (len(trained) > 1)}")
        for one in trained:
            stage = stage_name(one.fold, len(trained))
            stage_started(stage)
            stage_done(stage, reused_words(one))
    with tempfile.TemporaryDirectory() as scratch:
        table = parse_protocols(read_json(tracker.fetch(parent.run_id, TABLE_FILE, Path(scratch) / TABLE_FILE)))
    stage_started("evaluate")
    stage_done("evaluate", f"reused run {parent.run_id[:8]}: the same folds, measured the same way")
    return FoundProtocols(parent=parent.run_id, folds=tuple(folds), table=table)


@contextmanager
def open_protocols(run: Run, plans: Sequence[Planned], cohort: Mapping[str, Any]) -> Generator[str]:
    """Open the parent run, or go on with one that was stopped. Yields its id."""
    tracker, key, first = tracker_of(run.home), _key(run, plans), plans[0]
    tracker.end_orphans()
    params = run.params.plain()
    params["split"] = {**params["split"], "protocol": ", ".join(each.protocol for each in plans)}
    described = dataclasses.replace(provenance(run, first.plan, first.data), protocol=params["split"]["protocol"])
    with tracker.run(
        f"protocols {run.id}",
        kind="protocols",
        provenance=described,
        key=key.digest,
        resume=tracker.unfinished({"cxr.key": key.digest, "cxr.kind": "protocols"}, params=params),
    ) as log:
        log.params(params)
        commit, digest, rows = first.data.commit, first.plan.cohort, int(cohort["images"])
        log.datasets([DatasetRef(name="cohort", digest=digest, commit=commit, context="training", rows=rows)])
        log.tags({"cxr.run": run.id, "cxr.cohort": digest})
        log.json("data/report.json", dict(cohort))
        for each in plans:
            log.tags(
                {
                    f"cxr.commit.{each.protocol}": each.data.commit,
                    f"cxr.data.{each.protocol}": each.data.digest,
                    f"cxr.split.{each.protocol}": each.plan.split,
                }
            )
        yield log.id
        # Last, so that a parent that carries its key's parts has everything else too.
        log.json(KEY_FILE, key.parts)


@task(name="report", cache_policy=NO_CACHE)
def log_protocols(run: Run, parent: str, table: ProtocolTable, done: Sequence[CrossValidated]) -> str:
    """Log the table in every form, and the predictions it comes from; says where the page is."""
    stage_started("report")
    tracker = tracker_of(run.home)
    log, record = tracker.attach(parent), tracker.read(parent)
    log.json(SOFTWARE_FILE, software())
    for each in done:
        log.text(f"predictions/{each.dealt.protocol}.csv", predictions_csv(each.dealt.predictions))
    log.json(TABLE_FILE, protocols_json(table))
    log.text(CSV_FILE, protocols_csv(table))
    log.data(FIGURE_FILE, protocols_figure(table))
    started = datetime.fromtimestamp(record.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    text = protocols_page(table, run=parent, name=record.name, started=started)
    log.text(PAGE_FILE, text)
    log.metrics(protocol_metrics(table))
    runs = {f"cxr.run.{row.protocol}.{name}": run_id for row in table.rows for name, run_id in row.runs.items()}
    # A reused fold is the child of the run that trained it: these tags are the way to it.
    log.tags({"cxr.table": table.digest, **runs})
    place = _place(run, parent)
    stage_done("report", f"{len(text.encode()) / 1e6:.1f} MB, {place}")
    return place


def report_of(
    run: Run, parent: str, table: ProtocolTable, folds: Sequence[Sequence[Trained]], *, seconds: float
) -> dict[str, Any]:
    """The end of it as one plain mapping: what ``--json`` prints and the terminal's view shows."""
    trained = [one for each in folds for one in each]
    reference = table.rows[0].protocol
    return {
        "ok": True,
        "run": parent,
        "page": _place(run, parent),
        "id": run.id,
        "reference": reference,
        "table": protocols_json(table),
        "folds": {
            row.protocol: [dataclasses.asdict(one) for one in each] for row, each in zip(table.rows, folds, strict=True)
        },
        "trainings": len(trained),
        "reused": sum(one.reused for one in trained),
        "seconds": round(seconds, 1),
        "next": [
            ["runs, figures, tables", "cxr ui"],
            ["what it was made from", f"cxr why {parent[:8]}"],
            ["a model by one of them", "cxr retrain --set split.protocol=grouped"],
        ],
    }


def _place(run: Run, parent: str) -> str:
    path = artifact_place(tracker_of(run.home).read(parent), PAGE_FILE)
    return str(path) if path else f"{PAGE_FILE} of run {parent[:8]}: cxr ui"


def _key(run: Run, plans: Sequence[Planned]) -> TrainKey:
    parts = {
        "cohort": plans[0].plan.cohort,
        "order": ", ".join(each.protocol for each in plans),
        "protocols": {
            each.protocol: {"split": each.plan.split, "folds": [fold.digest for fold in each.plan.folds]}
            for each in plans
        },
        "evaluate": run.params.evaluate.plain(),
        "code": import_closure(run.path / "cxr_core", entry=_ENTRIES),
    }
    return TrainKey(digest=digest_value(parts), parts=parts)
