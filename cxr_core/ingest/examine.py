"""What a worker does with one image file: check its bytes against the listing, decode, hash, keep a copy.

The copy lies under ``files/`` for an image, under ``quarantine/`` for bytes that cannot be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr_core.digests import digest_bytes
from cxr_core.errors import ImageError, SourceError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.dicom import DicomFacts
from cxr_core.imaging.hashing import perceptual_hash, pixel_digest, thumbnail
from cxr_core.ingest.faults import DECODER_DIED

__all__ = ["Examined", "Task", "Unusable", "examine", "quarantine_path"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One file to examine: where it lies, what it was when listed, where its copy goes."""

    root: Path
    path: str
    sha256: str
    out: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the bytes of a usable image say; fields as in ``Record``, thumbnail uint8 (64, 64)."""

    width: int
    height: int
    mode: str
    pixel_sha256: str
    phash: str
    thumbnail: NDArray[np.uint8]
    dicom: DicomFacts | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unusable:
    """Why the bytes cannot be used."""

    reason: str
    detail: str


def examine(task: Task) -> Examined | Unusable:
    """Examine one file and keep its copy.

    Raises:
        SourceError: The bytes are not the listed ones any more (``source_changed``).
    """
    data = (task.root / task.path).read_bytes()
    if digest_bytes(data) != task.sha256:
        raise SourceError(f"{task.path} changed while it was read.", reason="source_changed", hint="Run ingest again.")
    try:
        decoded = decode(data)
    except ImageError as error:
        _keep(quarantine_path(task.out, task.sha256), data)
        return Unusable(reason=error.reason, detail=error.message)
    except MemoryError:
        _keep(quarantine_path(task.out, task.sha256), data)
        return Unusable(reason=DECODER_DIED, detail="Memory ran out while the picture was decoded.")
    _keep(task.out / "files" / task.path, data)
    return Examined(
        width=decoded.width,
        height=decoded.height,
        mode=decoded.mode,
        pixel_sha256=pixel_digest(decoded.pixels),
        phash=f"{perceptual_hash(decoded.pixels):016x}",
        thumbnail=thumbnail(decoded.pixels),
        dicom=decoded.dicom,
    )


def quarantine_path(out: Path, sha256: str) -> Path:
    """Where bytes of a digest lie in quarantine."""
    return out / "quarantine" / sha256.removeprefix("sha256:")


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not flushed one by one: the whole folder takes its name only once everything is in it.
    path.write_bytes(data)
