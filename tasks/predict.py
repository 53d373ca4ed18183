"""``cxr predict``: files in, a registered model's class probabilities out, a refused file beside its reason."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_bytes
from cxr_core.errors import ImageError, SettingError
from cxr_core.files import write_bytes
from cxr_core.ingest.listing import IMAGE_SUFFIXES
from cxr_core.model.architectures import facts
from cxr_core.model.inference import Classifier
from tasks.adapters.registry import ModelVersion, parse_reference
from tasks.events import progress
from tasks.settings import home
from tasks.stores import MODEL, in_service, registry_of

__all__ = ["predict_files"]

# So many files are in memory at once.
_CHUNK = 16


def predict_files(paths: Sequence[Path], *, model: str | None = None, explain: Path | None = None) -> dict[str, Any]:
    """Classify X-rays.

    Args:
        paths: PNG, JPEG or DICOM files, and folders of such.
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, an alias or a version; None is what serves.
        explain: Folder for a Grad-CAM picture a file; None draws none.

    Returns:
        ``ok`` (every file could be used), ``model``, ``weights``, ``temperature`` and ``images``: per file ``file``,
        ``sha256``, ``label``, ``probabilities`` by class, ``map`` (its Grad-CAM picture) or ``error``.

    Raises:
        SettingError: A path is not there, or a folder holds no image file.
        TrackingError: There is no such model.
        WeightsError: Its weights are damaged.
    """
    files = list(_files(paths))
    version, classifier = _load(model)
    rows: list[dict[str, Any]] = []
    for start in range(0, len(files), _CHUNK):
        rows += _rows(classifier, files[start : start + _CHUNK], explain)
        progress("predict", len(rows), len(files))
    return {
        "ok": all("error" not in row for row in rows),
        "model": version.uri,
        "weights": classifier.digest,
        "temperature": classifier.temperature,
        "images": rows,
    }


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
            continue
        if not path.is_dir():
            raise SettingError(
                f"Expected an X-ray or a folder of X-rays; {path} is not there.",
                reason="file_not_found",
                hint="Check the path: cxr predict FILE...",
            )
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file())
        if not found:
            raise SettingError(
                f"{path} holds no image file ({', '.join(sorted(IMAGE_SUFFIXES))}).",
                reason="no_image_file",
                hint="Name the files themselves; their kind is told by their bytes, not by their names.",
            )
        yield from found


def _load(model: str | None) -> tuple[ModelVersion, Classifier]:
    registry = registry_of(home())
    version = in_service(registry) if model is None else registry.get(parse_reference(model, default=MODEL))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.safetensors"
        registry.fetch_weights(parse_reference(version.uri), path)
        return version, Classifier.load(path, digest=version.tags.get("cxr.weights"), temperature=version.temperature)


def _rows(classifier: Classifier, files: Sequence[Path], explain: Path | None) -> list[dict[str, Any]]:
    """One row a file; what cannot be used says why and costs no other file its row."""
    rows: list[dict[str, Any]] = []
    usable: list[tuple[dict[str, Any], NDArray[np.uint8]]] = []
    for path in files:
        row: dict[str, Any] = {"file": str(path)}
        rows.append(row)
        try:
            data = path.read_bytes()
            row["sha256"] = digest_bytes(data)
            usable.append((row, classifier.preprocess([data])[0]))
        except ImageError as error:
            row["error"] = {"reason": error.reason, "message": error.message.partition(": ")[2]}
        except OSError as error:
            row["error"] = {"reason": "unreadable", "message": f"The file cannot be read: {error.strerror}."}
    if not usable:
        return rows
    pixels = np.stack([picture for _, picture in usable])  # uint8 (n, S, S)
    probabilities = classifier.predict_store(pixels)
    for (row, _), values in zip(usable, probabilities, strict=True):
        row["label"] = CLASSES[int(values.argmax())]
        row["probabilities"] = dict(zip(CLASSES, values.tolist(), strict=True))
    if explain is not None:
        _draw(classifier, pixels, [row for row, _ in usable], explain)
    return rows


def _draw(classifier: Classifier, pixels: NDArray[np.uint8], rows: Sequence[dict[str, Any]], folder: Path) -> None:
    from cxr_core.explain.gradcam import heat_maps
    from cxr_core.explain.overlay import overlay_png

    layer = classifier.network.get_submodule(facts(classifier.about.architecture).features)
    targets = [CLASSES.index(row["label"]) for row in rows]
    maps = heat_maps(classifier.network, layer, pixels, targets)
    for row, picture, heat in zip(rows, pixels, maps, strict=True):
        # By the bytes' digest: two files of one name in two folders must not write one picture.
        path = folder / f"{Path(row['file']).stem}-{row['sha256'][7:15]}-{row['label']}.png"
        write_bytes(path, overlay_png(picture, heat))
        row["map"] = str(path)
