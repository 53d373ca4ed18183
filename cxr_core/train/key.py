"""What a fold is trained from and with in, one digest out: equal keys mean the same training.

A finished run with the same key is reused instead of trained again, so the key must miss nothing that changes a weight,
and should hold nothing else. Every part is kept beside the digest, and ``explain_difference`` says which one moved.

Laws: the key is a function of its parts; a changed byte in any file of the code's import closure changes it, a change
anywhere else does not. Answers without importing torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from cxr_core.digests import digest_file, digest_value
from cxr_core.params import TrainParams

__all__ = [
    "MACHINE",
    "SCHEMA",
    "TrainKey",
    "explain_difference",
    "identity_of",
    "import_closure",
    "installed_versions",
    "train_key",
]

SCHEMA = 1

MACHINE = ("threads", "precision", "device", "libraries")
"""Names in a training's identity that say where it runs; the others say what is trained."""

# The module whose imports, followed to the end, are the code that trains.
_ENTRY = "cxr_core.train.fold"
# Where a difference is a digest, people are told what it stands for.
_WORDS = {
    "train": "training images or labels",
    "validation": "validation images or labels",
    "test": "test images or labels",
    "constraints": "dependency lock",
    "weights": "initial weights",
    "fold": "fold",
    "size": "prepare.size",
    "precision": "precision used",
    "device": "device used",
    "follows": "folds that the number of epochs follows from",
    "schema": "form of the key",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainKey:
    """The name of a training.

    Attributes:
        digest: ``sha256:<hex>`` of the parts.
        parts: Plain JSON, as they went into the digest.
    """

    digest: str
    parts: dict[str, Any]


def train_key(
    *,
    images: Sequence[str],
    labels: Sequence[int],
    train_idx: Sequence[int],
    val_idx: Sequence[int],
    test_idx: Sequence[int],
    fold: int | None,
    params: TrainParams,
    size: int,
    device: Literal["cpu", "cuda"],
    precision: Literal["bf16", "fp32"],
    weights: str,
    constraints: str,
    follows: Sequence[str] = (),
    package: Path | None = None,
) -> TrainKey:
    """Name a training.

    Args:
        images: Digest of each stored image's pixels (``tensor_sha256``), by row.
        labels: Class index of each image, by row.
        train_idx: Rows that train, in order: the order of training follows from it.
        val_idx: Rows that validate.
        test_idx: Rows that are predicted.
        fold: The fold's number, None for the refit; it seeds the order of images.
        params: ``train`` of params.yaml.
        size: ``prepare.size``, pixels.
        device: The kind used, as ``resolve_device`` says.
        precision: The one used, as ``resolve_precision`` says.
        weights: As ``weights_identity`` says.
        constraints: Digest of the file that pins the dependencies.
        follows: Keys of the folds that decide how many epochs this training has; none where the parameters do.
        package: Folder of ``cxr_core``; None is the one that runs.
    """
    # Left out of the parameters are those that have a part of their own, which says what they came to.
    chosen = {name: value for name, value in params.plain().items() if name not in ("weights", "device", "precision")}
    parts: dict[str, Any] = {
        "schema": SCHEMA,
        "train": _rows(images, labels, train_idx),
        "validation": _rows(images, labels, val_idx),
        "test": _rows(images, labels, test_idx),
        "fold": "refit" if fold is None else fold,
        "params": chosen,
        "follows": list(follows),
        "size": size,
        "device": device,
        "precision": precision,
        "weights": weights,
        "versions": installed_versions(),
        "constraints": constraints,
        "code": import_closure(package or Path(__file__).resolve().parent.parent),
    }
    return TrainKey(digest=digest_value(parts), parts=parts)


def identity_of(key: TrainKey, *, device_name: str) -> dict[str, str]:
    """Whose a saved state is, by names that a refusal can use: what is trained, and where (``MACHINE``).

    Args:
        key: Of the training.
        device_name: What computes, as ``cxr_core.train.device.device_name`` says.
    """
    parts = key.parts
    params: dict[str, Any] = dict(parts["params"])
    threads, seed = params.pop("threads"), params.pop("seed")
    return {
        "code": digest_value(parts["code"]),
        "configuration": digest_value([parts["schema"], params, parts["size"], parts["follows"]]),
        "data": digest_value([parts[name] for name in ("train", "validation", "test")]),
        "fold": str(parts["fold"]),
        "seed": str(seed),
        "weights": parts["weights"],
        "threads": str(threads),
        "precision": parts["precision"],
        "device": device_name,
        "libraries": ", ".join(f"{name} {text}" for name, text in sorted(parts["versions"].items()))
        + f", constraints {_shown(parts['constraints'])}",
    }


def installed_versions() -> dict[str, str]:
    """Versions of the libraries whose kernels compute weights, by name."""
    return {name: version(name) for name in ("numpy", "torch", "torchvision")}


def import_closure(package: Path, *, entry: str | tuple[str, ...] = _ENTRY) -> dict[str, str]:
    """Digest of every file of the package that importing ``entry`` runs, by path relative to the package's parent.

    Imports are read from the source, not run: those within functions and under conditions count too. Parent packages'
    ``__init__.py`` count, since Python runs them.

    Args:
        package: Folder of ``cxr_core``.
        entry: Dotted name of the module to begin at, or of several.
    """
    root = package.parent
    waiting, seen = [entry] if isinstance(entry, str) else [*entry], set[str]()
    while waiting:
        module = waiting.pop()
        if module in seen or _file(root, module) is None:
            continue
        seen.add(module)
        waiting.extend(_imports(root, module, top=package.name))
    files = sorted(path for module in seen if (path := _file(root, module)) is not None)
    return {path.relative_to(root).as_posix(): digest_file(path) for path in files}


def explain_difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """One sentence for each part in which two keys differ; empty where they are equal.

    Args:
        ours: Parts of the key asked for.
        theirs: Parts of the key compared with, as JSON gave them back.
    """
    return list(_differences(ours, theirs, path=()))


def _rows(images: Sequence[str], labels: Sequence[int], rows: Sequence[int]) -> dict[str, Any]:
    members = [[images[row], int(labels[row])] for row in rows]
    return {"images": len(members), "digest": digest_value(members)}


def _file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _imports(root: Path, module: str, *, top: str) -> Iterator[str]:
    """Names that may be modules of the package; a name of a value within a module is no file and falls out."""
    path = _file(root, module)
    assert path is not None
    parts = module.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts)))
    here = parts if path.name == "__init__.py" else parts[:-1]
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if alias.name.partition(".")[0] == top)
            case ast.ImportFrom(module=name, names=names, level=level):
                base = here[: len(here) - level + 1] if level else []
                source = ".".join([*base, *(name.split(".") if name else [])])
                if source.partition(".")[0] == top:
                    yield source
                    yield from (f"{source}.{alias.name}" for alias in names)
            case _:
                pass


def _differences(ours: Any, theirs: Any, *, path: tuple[str, ...]) -> Iterator[str]:
    if ours == theirs:
        return
    if path in {("train",), ("validation",), ("test",)} and isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        yield f"{_WORDS[path[0]]}: {_part(theirs)} → {_part(ours)}"
        return
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in sorted({*ours, *theirs}):
            yield from _differences(ours.get(name), theirs.get(name), path=(*path, name))
        return
    yield f"{_title(path)}: {_shown(theirs)} → {_shown(ours)}"


def _title(path: tuple[str, ...]) -> str:
    match path:
        case ("code", file):
            return f"code {file}"
        case ("params", name):
            return f"train.{name}"
        case ("versions", name):
            return f"installed {name}"
        case (name,):
            return _WORDS.get(name, name)
        case _:
            return ".".join(path)


def _part(part: Mapping[str, Any]) -> str:
    return f"{part.get('images', '?')} images ({_shown(part.get('digest'))})"


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    text = str(value)
    # Twelve digits tell digests apart; sixty-four hide the sentence.
    head, mark, digits = text.rpartition("sha256:")
    return f"{head}{mark}{digits[:12]}" if mark else text
