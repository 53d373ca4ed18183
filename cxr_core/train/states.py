"""A training's states on disk, so that a killed training goes on where it was and ends with the same bits.

A state is a folder ``step-EEEE-SSSSSS``: as safetensors the weights, the optimiser's tensors and, where a training may
stop early, the best weights so far; and a header that names their digests, whose training it is, and how far it had
come. Laws: a state takes its name when every byte of it is on the disk; the last two are kept; one that is damaged, or
another training's, is refused by name and never loaded, and the one before is used; ``load(save(x)) == x``, bit by bit.
What a header may differ in is for the caller to say: somebody may want a training to go on on another machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from cxr_core.digests import canonical_json, digest_bytes, digest_file, digest_value
from cxr_core.errors import WeightsError
from cxr_core.train.progress import EpochResult, Position, TrainingState

__all__ = ["Found", "latest_state", "load_state", "save_state"]

_SCHEMA = 1
_KEPT = 2
_WEIGHTS, _OPTIMISER, _BEST = "weights.safetensors", "optimiser.safetensors", "best.safetensors"
_HEADER = "header.json"
_RANDOM = "random"
_INSTEAD = "This training starts from an earlier state, or anew."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Found:
    """What a folder of states gave.

    Attributes:
        state: The newest one that holds; None where there is none.
        refused: One sentence for each newer one that does not.
    """

    state: TrainingState | None
    refused: tuple[str, ...]


def save_state(folder: Path, state: TrainingState, identity: Mapping[str, str]) -> Path:
    """Write a state whole, then let go of all but it and the one before.

    States of later steps go too: only one that was refused can have been passed.

    Args:
        folder: This training's own folder.
        state: Where it stands.
        identity: Whose it is, as ``identity_of`` says.
    """
    position = state.position
    final = folder / f"step-{position.epoch:04d}-{position.step:06d}"
    partial = folder / f".{final.name}.partial"
    for left in folder.glob(".step-*.partial"):
        # A writer was killed here.
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir(parents=True)
    files = {_WEIGHTS: state.weights, _OPTIMISER: {**state.optimiser, _RANDOM: state.random}}
    if state.best:
        files[_BEST] = state.best
    header = {
        "schema": _SCHEMA,
        "identity": dict(identity),
        "position": asdict(position),
        "files": {name: _write_tensors(partial / name, tensors) for name, tensors in files.items()},
    }
    text = canonical_json({**header, "digest": digest_value(header)})
    _write_through(partial / _HEADER, text.encode())
    _flush_folder(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _flush_folder(folder)
    states = _saved(folder)
    last = states.index(final) + 1
    for old in (*states[: max(0, last - _KEPT)], *states[last:]):
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest_state(folder: Path, identity: Mapping[str, str], *, may_differ: Collection[str] = ()) -> Found:
    """The newest state of this training that holds, and what was wrong with newer ones.

    Args:
        folder: This training's own folder.
        identity: Whose state is wanted.
        may_differ: Names in which the state's identity may be another.
    """
    refused: list[str] = []
    for path in reversed(_saved(folder)):
        try:
            return Found(state=load_state(path, identity, may_differ=may_differ), refused=tuple(refused))
        except WeightsError as error:
            refused.append(error.message)
    return Found(state=None, refused=tuple(refused))


def load_state(path: Path, identity: Mapping[str, str], *, may_differ: Collection[str] = ()) -> TrainingState:
    """Read a state, if every byte of it is as written and it is this training's.

    Raises:
        WeightsError: ``state_damaged``, or ``state_foreign`` with the names of what differs.
    """
    header = _header(path)
    found: Mapping[str, str] = header["identity"]
    names = {*found, *identity}.difference(may_differ)
    if differing := sorted(name for name in names if found.get(name) != identity.get(name)):
        changes = "; ".join(f"{name}: {found.get(name)} → {identity.get(name)}" for name in differing)
        raise WeightsError(
            f"The training state {path.name} is another training's: {changes}.", reason="state_foreign", hint=_INSTEAD
        )
    tensors = {name: _tensors(path / name, digest) for name, digest in header["files"].items()}
    optimiser = tensors[_OPTIMISER]
    position: dict[str, Any] = dict(header["position"])
    finished = tuple(EpochResult(**epoch) for epoch in position.pop("finished"))
    random = optimiser.pop(_RANDOM)
    return TrainingState(
        position=Position(**position, finished=finished),
        weights=tensors[_WEIGHTS],
        optimiser=optimiser,
        random=random,
        best=tensors.get(_BEST, {}),
    )


def _saved(folder: Path) -> list[Path]:
    """States by name, oldest first; what a killed writer left has another name."""
    return sorted(folder.glob("step-*"))


def _header(path: Path) -> dict[str, Any]:
    try:
        text = (path / _HEADER).read_text(encoding="utf-8")
        header: dict[str, Any] = json.loads(text)
        # The text itself too: a flipped bit in a number's last digit may leave the same number.
        whole = canonical_json(header) == text and header.pop("digest") == digest_value(header)
        if not whole or header["schema"] != _SCHEMA:
            raise ValueError("not as it was written")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(path / _HEADER) from error
    return header


def _tensors(path: Path, digest: str) -> dict[str, torch.Tensor]:
    try:
        if digest_file(path) != digest:
            raise _damaged(path)
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> WeightsError:
    return WeightsError(
        f"The training state {path.parent.name} is damaged: {path.name} is not what was written.",
        reason="state_damaged",
        hint=_INSTEAD,
    )


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # Channels-last weights are a view that safetensors refuses; a copy on the CPU also outlives the next step.
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write them through to the disk; ``sha256:<hex>`` of the file, of the bytes that were meant."""
    data = safetensors.torch.save(_contiguous(tensors))
    _write_through(path, data)
    return digest_bytes(data)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
