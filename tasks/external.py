"""``external``: folders of labelled X-rays from elsewhere, on which the model that is registered is tested.

``CXR_EXTERNAL_<NAME>=/a/folder`` names one. A set changes no training and so no training's key: it is no parameter, and
what it held is named in the evidence by digests, file by file.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import SOURCES, Source
from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.curate.external import TABLE, ExternalImage, Known, Labelled, LeftOut, labelled, set_apart
from cxr_core.errors import EvidenceError, SourceError
from cxr_core.evaluate.external import external_csv, external_figures, external_predictions
from cxr_core.evaluate.predictions import predictions_csv
from cxr_core.evaluate.proofs import External
from cxr_core.ingest.examine import Examined, Task, examine
from cxr_core.ingest.faults import SourceFault
from cxr_core.ingest.pool import Died, map_in_order, processors
from cxr_core.ingest.record import read_records
from cxr_core.model.inference import Classifier
from cxr_core.prepare.stage import pack_rows
from cxr_core.prepare.store import IMAGES_PATH
from cxr_core.train.loop import reproducible
from tasks.controls import Belief
from tasks.events import progress, stage_done, stage_started
from tasks.external_sets import ExternalSet, external_sets
from tasks.plan import Plan
from tasks.run import Run
from tasks.settings import patient_key
from tasks.stores import tracker_of
from tasks.trained import WEIGHTS, Trained

__all__ = ["external"]

_STAGE = "external"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Listed:
    """What a store must know of an image."""

    name: str
    source: Source
    sha256: str


@task(name="external", cache_policy=NO_CACHE)
def external(run: Run, plan: Plan, parent: str, refit: Trained, belief: Belief) -> dict[str, External]:
    """Show the model that is registered, calibrated as it is served, each set from elsewhere, and log what it says.

    Raises:
        EvidenceError: Nothing of a set can be used (``external_empty``), or it is phantoms where the cohort is X-rays
            (``external_phantoms``).
        SourceError: A set changed since the retrain began (``source_changed``).
    """
    sets = external_sets()
    if not sets:
        return {}
    stage_started(_STAGE)
    _check(sets, plan)
    known, tracker = _known(run), tracker_of(run.home)
    measured: dict[str, External] = {}
    with tempfile.TemporaryDirectory() as scratch, reproducible(threads=run.params.train.threads):
        path = tracker.fetch(refit.run_id, WEIGHTS, Path(scratch) / "model.safetensors")
        classifier = Classifier.load(path, temperature=belief.calibration.temperature.value)
        log = tracker.attach(parent)
        for each in sets:
            kept, left = _looked_at(run, each, known, Path(scratch))
            probabilities = classifier.predict_store(_pixels(run, each, kept, Path(scratch)))
            predictions = external_predictions(each.name, kept, probabilities)
            table = external_csv(each.name, kept, left)
            measured[each.name] = external_figures(table, predictions, left, run.params.evaluate)
            log.text(f"external/{each.name}/images.csv", table)
            log.text(f"external/{each.name}/predictions.csv", predictions_csv(predictions))
            log.tags({f"cxr.external.{each.name}": each.listing.revision})
    stage_done(_STAGE, "; ".join(_words(name, one) for name, one in measured.items()))
    return measured


def _check(sets: Sequence[ExternalSet], plan: Plan) -> None:
    if {each.name: each.listing.revision for each in sets} != plan.key.parts.get("external"):
        raise SourceError(
            f"Expected {', '.join(each.name for each in sets)} as it was when the retrain began; it has changed since.",
            reason=SourceFault.SOURCE_CHANGED.value,
            hint="Run `cxr retrain` again once nobody writes to the folder.",
        )
    for each in sets:
        if each.listing.synthetic and not plan.synthetic:
            raise EvidenceError(
                f"{each.folder} holds phantoms, which test no model of X-rays.",
                reason="external_phantoms",
                hint=f"Unset CXR_EXTERNAL_{each.name.upper()}.",
            )


def _known(run: Run) -> Known:
    """What the workspace's sources hold, the cohort and what it left out."""
    folders = [run.path / "data/raw" / source for source in SOURCES]
    return Known(
        records=[record for folder in folders for record in read_records(folder / "records.jsonl")],
        thumbnails=np.concatenate([np.load(folder / "thumbnails.npy", mmap_mode="r") for folder in folders]),
        cohort=frozenset(row.name for row in read_cohort(run.path / COHORT_PATH)),
    )


def _looked_at(run: Run, each: ExternalSet, known: Known, scratch: Path) -> tuple[list[ExternalImage], list[LeftOut]]:
    """Decode every labelled file in worker processes, under limits, and keep what may test."""
    table = each.folder / TABLE
    rows, left = labelled(
        each.listing,
        table.read_bytes() if table.is_file() else None,
        name=each.name,
        patient_key=patient_key(run.home),
    )
    asked = [
        Task(
            root=each.folder,
            path=row.path,
            sha256=row.sha256,
            # A name of its own in the place of a source's, so that no two sets share a patient.
            source=cast(Source, each.name),
            files=_files(each, scratch),
            patient_key=patient_key(run.home),
        )
        for row in rows
    ]
    usable: list[tuple[Labelled, Examined]] = []
    workers = min(processors(), max(1, len(asked) // 16))
    for number, (row, found) in enumerate(zip(rows, map_in_order(examine, asked, workers=workers), strict=True), 1):
        progress(_STAGE, number, len(rows), each.name)
        match found:
            case Examined():
                usable.append((row, found))
            case Died():
                left.append(LeftOut(path=row.path, reason=found.reason.value, sha256=row.sha256, detail=""))
            case _:
                left.append(LeftOut(path=row.path, reason=found.reason, sha256=row.sha256, detail=found.detail))
    kept, more = set_apart(usable, known, run.params.curate)
    if not kept:
        told = ", ".join(f"{reason} {n}" for reason, n in Counter(one.reason for one in [*left, *more]).items())
        raise EvidenceError(
            f"Expected images in {each.folder} that may test; found none: {told or 'it holds no image file'}.",
            reason="external_empty",
            hint=f"Look at docs/reasons.md, or unset CXR_EXTERNAL_{each.name.upper()}.",
        )
    return kept, [*left, *more]


def _files(each: ExternalSet, scratch: Path) -> Path:
    return scratch / each.name / "data/raw" / each.name / "files"


def _pixels(run: Run, each: ExternalSet, kept: Sequence[ExternalImage], scratch: Path) -> NDArray[np.uint8]:
    """The images as a fold's are packed, (n, S, S)."""
    place = scratch / each.name
    rows = [
        _Listed(name=f"{each.name}:{one.of.path}", source=cast(Source, each.name), sha256=one.sha256) for one in kept
    ]
    pack_rows(rows, workspace=place, target=place, size=run.params.prepare.size)
    return np.load(place / IMAGES_PATH, mmap_mode="r", allow_pickle=False)


def _words(name: str, one: External) -> str:
    left = f", {sum(one.left_out.values())} left out" if one.left_out else ""
    return f"{name}: {one.people.accuracy.k} of {one.people.n} right{left}"
