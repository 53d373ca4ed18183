"""The ingest stage: one pinned source to ``data/raw/<source>/`` in a workspace.

Laws: files = records + excluded + quarantined, over the image files of the listing; the same pin, key and code give the
same bytes, whatever an earlier run left; the folder appears whole or not at all. What it holds may be pushed to a
remote: no bytes that could not be looked at, and of a patient a keyed digest
(``docs/adr/0012-what-leaves-the-machine.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cxr_core.classes import Source
from cxr_core.digests import keyed_digest
from cxr_core.errors import SourceError
from cxr_core.files import write_json, write_jsonl
from cxr_core.imaging.hashing import THUMBNAIL_PIXELS
from cxr_core.ingest.connectors import CONNECTORS
from cxr_core.ingest.examine import Examined, Task, Unusable, hold
from cxr_core.ingest.faults import DecoderFault
from cxr_core.ingest.key import check_key
from cxr_core.ingest.layout import Candidate, Layout, Tree
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import PINS_PATH, Pin, check_pin, read_pins
from cxr_core.ingest.pool import Died, processors
from cxr_core.ingest.recall import Outcome, examiners, outcomes
from cxr_core.ingest.record import Exclusion, Quarantined, Record, image_name, write_rows
from cxr_core.ingest.standing import Standing, begun
from cxr_core.memo import Memo
from cxr_core.params import Params

__all__ = ["run"]

Progress = Callable[[int, int], None]

# PS3.3, C.7.3.1.1.1: computed, digital and plain radiography are what the other sources call an X-ray.
_RADIOGRAPHY = frozenset({"CR", "DX", "RG"})
_ENDED = {
    DecoderFault.DIED: "Decoding ended its worker process, twice: a crash in a library.",
    DecoderFault.TIMEOUT: "Decoding did not end in time, twice.",
    DecoderFault.OUT_OF_MEMORY: "Memory ran out while the picture was decoded, also when it was decoded alone.",
}


def run(
    source: Source,
    *,
    workspace: Path,
    address: Path,
    patient_key: bytes,
    params: Params,
    quarantine: Path | None = None,
    memo: Memo | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ingest a source; one that ``params.ingest.sources`` leaves out gives empty tables, and its address is not read.

    Args:
        source: Which of the four.
        workspace: The folder that holds ``data/``.
        address: The source's folder.
        patient_key: Key of the patients' digests.
        params: The run's parameters.
        quarantine: Where bytes that cannot be used are kept, a folder a source; None keeps them in the workspace's
            ``.cxr``, which neither git nor DVC looks at.
        memo: Outcomes of earlier runs, and where this one's are kept; None keeps nothing.
        progress: Called with (files done, files in all).

    Returns:
        The summary that ``summary.json`` holds.

    Raises:
        SourceError: The source is absent, not pinned, differs from its pin, or has another layout.
        SettingError: The workspace's patients are digested under another key.
    """
    raw = workspace / "data" / "raw"
    partial, standing = begun(raw / source), Standing(raw / source)
    if source in params.ingest.sources:
        pin = _pin(source, workspace=workspace, patient_key=patient_key)
        held = (quarantine or workspace / ".cxr" / "quarantine").absolute() / source
        # What was pinned when the folder was made is decoded; else a decoder starts while the source is listed.
        news = pin is not None and pin.revision != standing.pin
        with examiners(processors()) if news else nullcontext() as begun_early:
            listing = list_source(address)
            check_pin(source, pin, listing)
            tree = Tree(source=source, root=address, listing=listing)
            summary = _fill(
                partial,
                tree,
                CONNECTORS[source](tree),
                patient_key=patient_key,
                quarantine=held,
                memo=memo or Memo(None),
                standing=standing,
                begun_early=begun_early,
                progress=progress,
            )
    else:
        summary = _write(
            partial, source, records=[], thumbnails=[], exclusions=[], quarantined=[], pin=None, named=0, others=0
        )
    standing.give_way(partial)
    return summary


def _pin(source: Source, *, workspace: Path, patient_key: bytes) -> Pin | None:
    pins = workspace / PINS_PATH
    if not pins.is_file():
        raise SourceError(
            f"Expected {PINS_PATH} in {workspace}.", reason="no_pins", hint=f"`git checkout {PINS_PATH}`."
        )
    text = pins.read_text(encoding="utf-8")
    check_key(text, patient_key)
    return read_pins(text)[source]


def _fill(
    out: Path,
    tree: Tree,
    layout: Layout,
    *,
    patient_key: bytes,
    quarantine: Path,
    memo: Memo,
    standing: Standing,
    begun_early: Callable[[Sequence[Task]], Iterator[Outcome]] | None,
    progress: Progress | None,
) -> dict[str, Any]:
    candidates = sorted(layout.candidates, key=lambda candidate: candidate.path)
    tasks = [
        Task(
            root=tree.root,
            path=candidate.path,
            sha256=tree.images[candidate.path].sha256,
            source=tree.source,
            files=out / "files",
            patient_key=patient_key,
        )
        for candidate in candidates
    ]
    records: list[Record] = []
    thumbnails: list[np.ndarray] = []
    quarantined: list[Quarantined] = []
    named = 0
    found = outcomes(tasks, memo=memo, workers=processors(), standing=standing, begun=begun_early)
    for done, (candidate, outcome) in enumerate(zip(candidates, found, strict=True), 1):
        match outcome:
            case Examined():
                records.append(_record(tree, candidate, outcome, patient_key=patient_key))
                named += _names_its_patient(candidate, records[-1], patient_key)
                thumbnails.append(outcome.thumbnail)
            case Unusable(reason=reason, detail=detail):
                quarantined.append(_quarantined(tree, candidate, quarantine, reason=reason, detail=detail))
            case Died(reason=fault):
                # A worker may have been ended after it wrote.
                (out / "files" / candidate.path).unlink(missing_ok=True)
                quarantined.append(_quarantined(tree, candidate, quarantine, reason=fault.value, detail=_ENDED[fault]))
        if progress is not None:
            progress(done, len(candidates))
    # What the pin is the digest of: with it, anyone who has the data version can go from an image to the pin.
    write_jsonl(out / "listing.jsonl", [[entry.path, entry.bytes, entry.sha256] for entry in tree.listing.entries])
    return _write(
        out,
        tree.source,
        records=records,
        thumbnails=thumbnails,
        exclusions=layout.exclusions,
        quarantined=quarantined,
        pin=tree.listing.revision,
        named=named,
        others=tree.listing.files - len(tree.images),
    )


def _record(tree: Tree, candidate: Candidate, image: Examined, *, patient_key: bytes) -> Record:
    """The source's words, and the DICOM file's where the source has none."""
    facts, entry = image.dicom, tree.images[candidate.path]
    modality = candidate.modality or (facts.modality if facts else "")
    patient = facts.patient if facts else ""
    if candidate.patient or not patient:
        # An image without a patient is its own patient: nothing says that two such images are one person's.
        named = candidate.patient or f"file {candidate.path}"
        patient = keyed_digest(patient_key, f"{tree.source}:{named}")
    return Record(
        name=image_name(tree.source, candidate.path),
        source=tree.source,
        path=candidate.path,
        sha256=image.sha256,
        bytes=image.bytes,
        source_sha256=entry.sha256,
        finding=candidate.finding,
        modality="X-ray" if modality in _RADIOGRAPHY else modality,
        view=candidate.view or (facts.view if facts else ""),
        patient=patient,
        sex=candidate.sex or (facts.sex if facts else ""),
        age_years=facts.age_years if candidate.age_years is None and facts else candidate.age_years,
        origin_url=candidate.origin_url,
        licence=candidate.licence,
        label_provenance=candidate.label_provenance,
        width=image.width,
        height=image.height,
        mode=image.mode,
        pixel_sha256=image.pixel_sha256,
        phash=image.phash,
        synthetic=tree.listing.synthetic,
    )


def _names_its_patient(candidate: Candidate, record: Record, key: bytes) -> bool:
    """Whether a part of an image's path is the raw id of its patient."""
    words = frozenset().union(*map(_words, record.path.split("/")))
    if candidate.patient:
        return candidate.patient in words
    # The id stood in the file: only its digest is known here.
    return any(keyed_digest(key, f"{record.source}:{word}") == record.patient for word in words)


@lru_cache(maxsize=4096)
def _words(part: str) -> frozenset[str]:
    # A layout's folders stand in every path.
    return frozenset({part, PurePosixPath(part).stem, part.split("_")[0]})


def _quarantined(tree: Tree, candidate: Candidate, quarantine: Path, *, reason: str, detail: str) -> Quarantined:
    entry = tree.images[candidate.path]
    hold(quarantine, root=tree.root, path=entry.path, sha256=entry.sha256)
    return Quarantined(
        name=image_name(tree.source, candidate.path),
        path=candidate.path,
        sha256=entry.sha256,
        bytes=entry.bytes,
        reason=reason,
        detail=detail,
    )


def _write(
    out: Path,
    source: Source,
    *,
    records: Sequence[Record],
    thumbnails: Sequence[np.ndarray],
    exclusions: Sequence[Exclusion],
    quarantined: Sequence[Quarantined],
    pin: str | None,
    named: int,
    others: int,
) -> dict[str, Any]:
    (out / "files").mkdir(exist_ok=True)
    write_rows(out / "records.jsonl", records)
    write_rows(out / "exclusions.jsonl", exclusions)
    write_rows(out / "quarantine.jsonl", quarantined)
    # Records are made in the order of their paths, which is the order of their names.
    stack = np.stack(thumbnails) if thumbnails else np.zeros((0, THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), np.uint8)
    np.save(out / "thumbnails.npy", stack)  # uint8 (N, 64, 64)
    excluded = sum(exclusion.sha256 is not None for exclusion in exclusions)
    summary = {
        "schema": 1,
        "source": source,
        "pin": pin,
        # Image files: files = records + excluded + quarantined.
        "files": len(records) + excluded + len(quarantined),
        "records": len(records),
        "excluded": excluded,
        "quarantined": len(quarantined),
        # Rows without a file of their own, and files that are no images by their name (tables, texts).
        "excluded_rows": len(exclusions) - excluded,
        "other_files": others,
        # Images whose own path holds their patient's id, as published layouts have it: names are shown everywhere.
        "names_carry_ids": named,
        # Images that are kept without something that could name a person.
        "rewritten": sum(record.sha256 != record.source_sha256 for record in records),
    }
    write_json(out / "summary.json", summary)
    return summary
