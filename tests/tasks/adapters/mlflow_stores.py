"""What the MLflow tests share: provenance, a real store, a real small checkpoint, images in three formats."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tasks.adapters.records import Provenance
from tasks.adapters.store import open_client
from tasks.adapters.tracking import Tracker, open_store

PROVENANCE = Provenance(
    commit="a" * 40, data="sha256:" + "b" * 64, protocol="grouped", synthetic=True, program="cxr demo", user="ada"
)


def store_at(root: Path) -> Tracker:
    if not (root / "mlflow.db").exists():
        (root / "mlflow.db").write_bytes(_migrated())
    return open_store(f"sqlite:///{root / 'mlflow.db'}", root / "artifacts")


@cache
def _migrated() -> bytes:
    """An empty store after its migrations: a second each, once for all tests of a process."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "mlflow.db"
        open_client(f"sqlite:///{path}", scratch)
        return path.read_bytes()


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (48, 40), dtype=np.uint8)


def encoded(kind: str, seed: int = 0) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels(seed)).save(out, kind)
    return out.getvalue()


def dicom(seed: int = 0) -> bytes:
    grey = pixels(seed)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(seed)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("x.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.PhotometricInterpretation, data.SamplesPerPixel = "DX", "MONOCHROME2", 1
    data.Rows, data.Columns = grey.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = grey.tobytes()
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def small_checkpoint(path: Path, seed: int = 1) -> str:
    # Here, so that tests of tracking alone start without torch.
    from cxr_core.model import checkpoint, network

    about = checkpoint.About(architecture="resnet18", size=32, precision="fp32")
    return checkpoint.save(path, network.build("resnet18", seed=seed), about)
