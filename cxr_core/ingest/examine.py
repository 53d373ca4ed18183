"""What a worker does with one image file: check its bytes against the listing, decode, hash, keep what may be kept.

A usable picture lies under ``files/`` without anything that names a person. Bytes that cannot be used could not be
looked at, so nobody knows what they hold: they go to the machine's own quarantine, which is no part of the data that
DVC carries, readable by its owner alone. No patient's id leaves the worker but as a keyed digest.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import Source
from cxr_core.digests import digest_bytes, keyed_digest
from cxr_core.errors import ImageError, SourceError
from cxr_core.imaging.decode import MAX_BYTES, Decoded, decode
from cxr_core.imaging.deidentify import deidentify
from cxr_core.imaging.dicom import DicomFacts
from cxr_core.imaging.faults import ImageFault, refuse
from cxr_core.imaging.hashing import perceptual_hash, pixel_digest, thumbnail

__all__ = ["Examined", "Facts", "Task", "Unusable", "examine", "hold", "keep_again", "quarantine_path"]

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One file to examine: where it lies, what it was when listed, where its bytes go.

    Attributes:
        root: The source's folder.
        path: Of the file, relative to it.
        sha256: ``sha256:<hex>`` as listed.
        source: Which source; part of a patient's digest.
        files: The folder for usable pictures.
        patient_key: Key of the patients' digests; never printed.
    """

    root: Path
    path: str
    sha256: str
    source: Source
    files: Path
    patient_key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a DICOM file says of itself; fields as in ``Record``, empty where it is silent."""

    modality: str
    view: str
    patient: str
    sex: str
    age_years: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the bytes of a usable image say; fields as in ``Record``, thumbnail uint8 (64, 64)."""

    sha256: str
    bytes: int
    width: int
    height: int
    mode: str
    pixel_sha256: str
    phash: str
    thumbnail: NDArray[np.uint8]
    dicom: Facts | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusable:
    """Why the bytes cannot be used."""

    reason: str
    detail: str


def examine(task: Task) -> Examined | Unusable:
    """Examine one file and keep its picture; one with more bytes than any picture is not read.

    Raises:
        SourceError: The bytes are not the listed ones any more (``source_changed``).
    """
    size = (task.root / task.path).stat().st_size
    if size > MAX_BYTES:
        words = f"Expected at most {MAX_BYTES} bytes, found {size}."
        return Unusable(reason=ImageFault.TOO_LARGE.value, detail=words)
    data = (task.root / task.path).read_bytes()
    if digest_bytes(data) != task.sha256:
        raise _changed(task.path)
    try:
        decoded, kept = _picture(data)
    except ImageError as error:
        return Unusable(reason=error.reason, detail=error.message)
    found = Examined(
        sha256=digest_bytes(kept),
        bytes=len(kept),
        width=decoded.width,
        height=decoded.height,
        mode=decoded.mode,
        pixel_sha256=pixel_digest(decoded.pixels),
        phash=f"{perceptual_hash(decoded.pixels):016x}",
        thumbnail=thumbnail(decoded.pixels),
        dicom=_facts(decoded.dicom, task) if decoded.dicom else None,
    )
    _keep(task, kept)
    return found


def keep_again(task: Task, known: Examined | Unusable) -> bool:
    """Keep the picture of a file whose outcome is known, without decoding it; False where the outcome does not fit.

    Raises:
        SourceError: The bytes are not the listed ones any more (``source_changed``).
    """
    if isinstance(known, Unusable):
        return True  # `hold` reads and checks it
    data = (task.root / task.path).read_bytes()
    if digest_bytes(data) != task.sha256:
        raise _changed(task.path)
    if known.sha256 != task.sha256:
        data = deidentify(data).data
        if digest_bytes(data) != known.sha256:
            return False
    _keep(task, data)
    return True


def hold(quarantine: Path, *, root: Path, path: str, sha256: str) -> None:
    """Put a file's bytes in a source's quarantine, under the digest they were listed with; what lies there stays.

    Raises:
        SourceError: The bytes are not the listed ones any more (``source_changed``).
    """
    place = quarantine_path(quarantine, sha256)
    if place.exists():
        return
    for folder in (quarantine.parent, quarantine):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A name of its own until it is whole; made by mkstemp, so that at no moment others may read it.
    handle, name = tempfile.mkstemp(dir=quarantine, prefix=".partial-")
    partial, state = Path(name), hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as out, (root / path).open("rb") as data:
            while chunk := data.read(_CHUNK_BYTES):
                state.update(chunk)
                out.write(chunk)
        if f"sha256:{state.hexdigest()}" != sha256:
            raise _changed(path)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def quarantine_path(quarantine: Path, sha256: str) -> Path:
    """Where bytes of a digest lie in a source's quarantine."""
    return quarantine / sha256.removeprefix("sha256:")


def _keep(task: Task, kept: bytes) -> None:
    place = task.files / task.path
    # Not flushed one by one: the whole folder takes its name only once everything is in it.
    try:
        place.write_bytes(kept)
    except FileNotFoundError:  # the first one in its folder
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(kept)


def _picture(data: bytes) -> tuple[Decoded, bytes]:
    """The picture, and the file to keep of it, which has been seen to show the same."""
    decoded = decode(data)
    kept = deidentify(data).data
    if kept != data and not np.array_equal(decode(kept).pixels, decoded.pixels):
        raise refuse(ImageFault.CORRUPT, "Without what names a person the file would show another picture.")
    return decoded, kept


def _facts(facts: DicomFacts, task: Task) -> Facts:
    patient = keyed_digest(task.patient_key, f"{task.source}:{facts.patient_id}") if facts.patient_id else ""
    return Facts(modality=facts.modality, view=facts.view, patient=patient, sex=facts.sex, age_years=facts.age_years)


def _changed(path: str) -> SourceError:
    return SourceError(f"{path} changed while it was read.", reason="source_changed", hint="Run ingest again.")
