"""``pretrain``: labelled X-rays outside the cohort to a backbone in the registry, which ``train.weights`` may name."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import SOURCES
from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, read_cohort, read_exclusions
from cxr_core.curate.outside import PRETEXT, Outside, outside_cohort, outside_csv, validates
from cxr_core.digests import digest_file, digest_value
from cxr_core.errors import CohortError
from cxr_core.ingest.record import read_records
from cxr_core.model.network import resolve_precision
from cxr_core.model.weights import weights_identity
from cxr_core.prepare.stage import pack_rows
from cxr_core.prepare.store import IMAGES_PATH
from cxr_core.train.device import device_name, open_device, resolve_device
from cxr_core.train.fold import FoldResult, train_fold
from cxr_core.train.key import import_closure, installed_versions
from tasks.adapters.bundle import log_weights
from tasks.adapters.records import DatasetRef, Provenance, RunRecord
from tasks.adapters.registry import ModelVersion
from tasks.adapters.runlog import Run as Log
from tasks.data import DataVersion
from tasks.events import note, progress, stage_done, stage_started
from tasks.live import Steps
from tasks.publisher import Publisher
from tasks.resume import Held, hold
from tasks.run import Run, actor
from tasks.stores import BACKBONE, BACKBONE_IMAGES, initial_weights, registry_of, tracker_of
from tasks.trained import CHANGED_TAG, EPOCHS_FILE, KEY_FILE, WEIGHTS

__all__ = ["Pretraining", "plan_pretraining", "pretrain_backbone", "register_backbone"]

_STAGE = "pretrain"
# What trains, what chooses the images and deals them, and what makes pixels of them.
_ENTRIES = ("cxr_core.train.fold", "cxr_core.curate.outside", "cxr_core.prepare.stage")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretraining:
    """What a backbone is going to be trained from and with.

    Attributes:
        rows: The images, by name.
        classes: What it learns to tell apart, in output order.
        train: Rows that train.
        validation: Rows that validate; no group is in both.
        key: ``sha256:<hex>`` of everything that decides its weights.
        parts: What is behind the key.
    """

    rows: tuple[Outside, ...]
    classes: tuple[str, ...]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    key: str
    parts: dict[str, Any]


@task(name="plan pretraining", cache_policy=NO_CACHE)
def plan_pretraining(run: Run) -> Pretraining:
    """Find the images that have nothing to do with the cohort, and name the training.

    Raises:
        CohortError: There are too few of them.
    """
    stage_started(_STAGE)
    records = [
        record for source in SOURCES for record in read_records(run.path / "data/raw" / source / "records.jsonl")
    ]
    rows = outside_cohort(read_cohort(run.path / COHORT_PATH), read_exclusions(run.path / EXCLUSIONS_PATH), records)
    held = np.array(
        [validates(row, share=run.params.pretrain.validation, seed=run.params.pretrain.seed) for row in rows]
    )
    learns, validation = np.flatnonzero(~held), np.flatnonzero(held)
    if len(learns) < 2 or not len(validation):
        raise CohortError(
            f"Expected images outside the cohort to train and to validate; found {len(learns)} and {len(validation)}.",
            reason="nothing_outside",
            hint="Change pretrain.validation or pretrain.seed, or add a source.",
        )
    train = run.params.train
    device = resolve_device(train.device)
    parts: dict[str, Any] = {
        "images": digest_value([[row.sha256, row.label, row.group] for row in rows]),
        "train": train.plain(),
        "weights": weights_identity(train.weights, architecture=train.architecture, registry=initial_weights(run)),
        "pretrain": run.params.pretrain.plain(),
        "size": run.params.prepare.size,
        "device": device,
        "precision": resolve_precision(train.precision, device=device),
        "constraints": digest_file(run.path / "constraints.txt"),
        "versions": installed_versions(),
        "code": import_closure(run.path / "cxr_core", entry=_ENTRIES),
    }
    present = {row.label for row in rows}
    return Pretraining(
        rows=tuple(rows),
        classes=tuple(label for label in PRETEXT if label in present),
        train=learns,
        validation=validation,
        key=digest_value(parts),
        parts=parts,
    )


@task(name="pretrain", cache_policy=NO_CACHE)
def pretrain_backbone(run: Run, plan: Pretraining, data: DataVersion) -> RunRecord:
    """Train the backbone, or find the finished run that has; returns its run."""
    tracker = tracker_of(run.home)
    with hold(run.home, _identity(plan), _STAGE) as held:
        files = (WEIGHTS, BACKBONE_IMAGES, KEY_FILE)
        passed_over = partial(note, _STAGE)
        if found := tracker.find(plan.key, artifacts=files, without=(CHANGED_TAG,), passed_over=passed_over):
            stage_done(_STAGE, f"reused run {found.run_id[:8]}: nothing that it was made from has changed")
            return found
        tracker.end_orphans()
        run_id, result = _train(run, plan, data, held)
        held.done()
    stage_done(_STAGE, _words(plan, result))
    return tracker.read(run_id)


@task(name="register backbone", cache_policy=NO_CACHE)
def register_backbone(run: Run, trained: RunRecord, data: DataVersion, alias: str) -> ModelVersion:
    """Make the backbone a version of its own model, and point the alias at it."""
    tracker, registry = tracker_of(run.home), registry_of(run.home)
    images = trained.digests[BACKBONE_IMAGES]
    version = next((one for one in _versions(run) if one.run_id == trained.run_id), None)
    if version is None:
        with tempfile.TemporaryDirectory() as scratch:
            weights = tracker.fetch(trained.run_id, WEIGHTS, Path(scratch) / "weights.safetensors")
            logged = log_weights(tracker.client, run_id=trained.run_id, name=BACKBONE, weights=weights, tags={})
        version = registry.register(
            logged,
            name=BACKBONE,
            commit=data.commit,
            data=data.digest,
            evidence=images,
            description="A backbone: initial weights for `train.weights`, no classifier of the three classes.",
        )
    registry.set_alias(BACKBONE, alias, version.version)
    stage_done("register", f"{BACKBONE} version {version.version}; --set train.weights=registry:{BACKBONE}@{alias}")
    return version


def _train(run: Run, plan: Pretraining, data: DataVersion, held: Held) -> tuple[str, FoldResult]:
    """Train in the run that this training has, or in a new one; its id, and what came of it."""
    images = _pixels(run, plan, held.folder)
    device, precision = plan.parts["device"], plan.parts["precision"]

    def begin() -> Log:
        return _begin(run, plan, data, held)

    def fail(log: Log, error: BaseException) -> None:
        tracker_of(run.home).fail(log, error)

    params = run.params.train.replace(device=device, precision=precision)
    publisher = Publisher(held.journal(), begin=begin, fail=fail, stage=_STAGE)
    with publisher:
        result = train_fold(
            images,
            np.array([plan.classes.index(row.label) for row in plan.rows]),
            train_idx=plan.train,
            val_idx=plan.validation,
            test_idx=plan.validation[:0],
            fold=None,
            params=params,
            classes=plan.classes,
            checkpoint_path=held.folder / "model.safetensors",
            cache=run.home.weights_cache,
            registry=initial_weights(run),
            on_epoch=publisher.add,
            on_step=Steps(_STAGE, params).tell,
            resumable=held.resumable(),
        )

        def last(log: Log) -> str:
            log.json(EPOCHS_FILE, [dataclasses.asdict(epoch) for epoch in result.epochs])
            log.text(BACKBONE_IMAGES, outside_csv(plan.rows))
            log.tags({"cxr.weights": result.digest, "cxr.initial_weights": result.weights.identity})
            log.file(WEIGHTS, result.checkpoint)
            # Last, so that a run with its key's parts has everything else too.
            log.json(KEY_FILE, plan.parts)
            tracker_of(run.home).finish(log)
            return log.id

        return publisher.finish(last), result


def _begin(run: Run, plan: Pretraining, data: DataVersion, held: Held) -> Log:
    """The training's run: the one that an earlier process began, or a new one."""
    tracker = tracker_of(run.home)
    params = {"train": plan.parts["train"], "pretrain": plan.parts["pretrain"], "size": plan.parts["size"]}
    wanted = {"cxr.key": plan.key, "cxr.kind": "pretrain"}
    log = tracker.begin(
        f"pretrain {run.id}",
        kind="pretrain",
        provenance=_provenance(run, plan, data),
        key=plan.key,
        resume=tracker.unfinished(wanted, params=params, known=held.run_id, told=False),
    )
    held.belongs_to(log)
    log.params(params)
    if changes := held.changes:
        log.tags({CHANGED_TAG: "; ".join(f"{name}: {change}" for name, change in changes.items())})
    log.datasets(
        [
            DatasetRef(name=f"outside, {part}", digest=plan.parts["images"], commit=data.commit, context=part, rows=n)
            for part, n in (("training", len(plan.train)), ("validation", len(plan.validation)))
        ]
    )
    return log


def _identity(plan: Pretraining) -> dict[str, str]:
    """Whose a saved state is: what is trained, and where, as ``identity_of`` says it of a fold."""
    parts = dict(plan.parts)
    train = dict(parts.pop("train"))
    versions = ", ".join(f"{name} {text}" for name, text in sorted(parts.pop("versions").items()))
    machine = {
        "threads": str(train.pop("threads")),
        "precision": str(parts.pop("precision")),
        "device": device_name(open_device(parts.pop("device"))),
        "libraries": f"{versions}, constraints {parts.pop('constraints')}",
    }
    return {"pretraining": digest_value({**parts, "train": train}), **machine}


def _pixels(run: Run, plan: Pretraining, folder: Path) -> NDArray[np.uint8]:
    """The images packed beside the training's states, (N, S, S): no part of the workspace's data."""
    pack_rows(
        plan.rows,
        workspace=run.path,
        target=folder,
        size=run.params.prepare.size,
        progress=lambda done, total: progress(_STAGE, done, total, "packing"),
    )
    return np.load(folder / IMAGES_PATH, mmap_mode="r", allow_pickle=False)


def _provenance(run: Run, plan: Pretraining, data: DataVersion) -> Provenance:
    return Provenance(
        commit=data.commit,
        data=data.digest,
        protocol="outside the cohort",
        synthetic=any(row.synthetic == "true" for row in plan.rows),
        program=run.program,
        user=actor(),
    )


def _versions(run: Run) -> Sequence[ModelVersion]:
    return registry_of(run.home).versions(BACKBONE)


def _words(plan: Pretraining, result: FoldResult) -> str:
    last = result.epochs[-1]
    wrong = "" if last.error_rate is None else f"; error rate {last.error_rate:.3f} of {len(plan.validation)}"
    return (
        f"{len(plan.train)} images outside the cohort, {len(plan.classes)} labels, {len(result.epochs)} epochs{wrong}"
    )
