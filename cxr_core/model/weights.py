"""The choice ``train.weights`` in, a network that starts from it out.

``none``        the seeded initialisation that ``build`` made;
``imagenet``    torchvision's ImageNet weights (IMAGENET1K_V1), downloaded once by ``torch.hub`` into the cache folder
                and checked against the SHA-256 prefix in the file's name at every use, downloaded or placed by hand;
``file:PATH``, ``registry:MODEL@ALIAS``   a checkpoint that a run here wrote; of a backbone, which tells other classes
                apart, all but the head.

Laws: the identity of a choice is known before anything is downloaded, and equal identities start equal networks;
``imagenet`` and a backbone keep the network's own seeded head, the others replace it.
"""

from __future__ import annotations

import dataclasses
import logging
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cxr_core.classes import CLASSES
from cxr_core.digests import digest_file
from cxr_core.errors import WeightsError
from cxr_core.model import checkpoint
from cxr_core.model.architectures import ARCHITECTURES, facts

__all__ = ["IMAGENET_URLS", "WeightsRecord", "load_initial", "weights_identity"]

Registry = Callable[[str], Path]

# torchvision's own addresses, by architecture; the file name ends in the first 8 hex digits of its SHA-256.
IMAGENET_URLS: Mapping[str, str] = {
    name: f"https://download.pytorch.org/models/{known.imagenet}" for name, known in ARCHITECTURES.items()
}

# DenseNet's files are older than torchvision's names: `norm.1.weight` there is `norm1.weight` now.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsRecord:
    """Which weights a network started from.

    Attributes:
        choice: As in params.yaml.
        identity: As ``weights_identity`` says it; part of the training key.
        digest: ``sha256:<hex>`` of the file's bytes; empty for ``none``.
        detail: One sentence for people.
    """

    choice: str
    identity: str
    digest: str
    detail: str


def weights_identity(
    choice: str,
    *,
    architecture: str,
    registry: Registry | None = None,
    urls: Mapping[str, str] = IMAGENET_URLS,
) -> str:
    """What a choice stands for now: ``none``, ``imagenet:<file name with hash>`` or ``checkpoint:sha256:<hex>``.

    An alias that moved or a file that changed has another identity; the same checkpoint under two names has one.

    Raises:
        WeightsError: The choice names no known kind, or its file or registry is not there.
    """
    kind, _, name = choice.partition(":")
    match kind:
        case "none":
            return "none"
        case "imagenet":
            return f"imagenet:{_file_name(urls[architecture])}"
        case "file" | "registry":
            path = _checkpoint_path(kind, name, registry)
            if not path.is_file():
                raise WeightsError(
                    f"Expected a checkpoint at {path} for train.weights {choice!r}; found no file.",
                    reason="checkpoint_missing",
                )
            return f"checkpoint:{digest_file(path)}"
        case _:
            raise WeightsError(
                f"Expected train.weights to be imagenet, none, file:PATH or registry:MODEL@ALIAS; found {choice!r}.",
                reason="unknown_weights",
            )


def load_initial(
    network: nn.Module,
    choice: str,
    *,
    architecture: str,
    cache: Path,
    registry: Registry | None = None,
    urls: Mapping[str, str] = IMAGENET_URLS,
) -> WeightsRecord:
    """Start a freshly built network from a choice, in place.

    Args:
        network: As ``build(architecture)`` made it.
        choice: As in params.yaml.
        architecture: Of the network.
        cache: Folder for downloaded weights.
        registry: Resolves ``MODEL@ALIAS`` to a checkpoint file; None where no registry is at hand.
        urls: Addresses of the ImageNet weights by architecture.

    Raises:
        WeightsError: The weights cannot be had, are damaged, or are another architecture's.
    """
    identity = weights_identity(choice, architecture=architecture, registry=registry, urls=urls)
    kind, _, name = choice.partition(":")
    match kind:
        case "none":
            return WeightsRecord(choice=choice, identity=identity, digest="", detail="Seeded random initialisation.")
        case "imagenet":
            head = facts(architecture).head
            return _load_imagenet(network, choice, identity, head=head, url=urls[architecture], cache=cache)
        case _:
            path = _checkpoint_path(kind, name, registry)
            return _load_checkpoint(network, choice, architecture, path, digest=identity.removeprefix("checkpoint:"))


def _load_checkpoint(network: nn.Module, choice: str, architecture: str, path: Path, *, digest: str) -> WeightsRecord:
    found = checkpoint.read(path, digest=digest, classes=None)
    if found.about.architecture != architecture:
        raise WeightsError(
            f"Expected a checkpoint of {architecture} for train.weights {choice!r}; found {found.about.architecture}.",
            reason="architecture_mismatch",
            hint=f"Run with --set train.architecture={found.about.architecture}.",
        )
    detail = f"A checkpoint of {architecture}, trained at {found.about.size} x {found.about.size} pixels."
    if found.about.classes != CLASSES:
        head = facts(architecture).head
        seeded = {name: value for name, value in network.state_dict().items() if name.startswith(head)}
        body = {name: value for name, value in found.tensors.items() if not name.startswith(head)}
        found = dataclasses.replace(found, tensors=body | seeded)
        detail += f" It told {', '.join(found.about.classes)} apart; its head is a new seeded one."
    checkpoint.fill(network, found)
    return WeightsRecord(choice=choice, identity=f"checkpoint:{digest}", digest=digest, detail=detail)


def _load_imagenet(
    network: nn.Module, choice: str, identity: str, *, head: str, url: str, cache: Path
) -> WeightsRecord:
    path = cache / _file_name(url)
    prefix = _hash_prefix(url)
    if not path.is_file():
        _download(url, path, prefix)
    digest = digest_file(path)
    if not digest.startswith(f"sha256:{prefix}"):
        raise WeightsError(
            f"Expected {path} to have a SHA-256 that starts with {prefix}; found {digest.removeprefix('sha256:')}.",
            reason="weights_damaged",
            hint=f"Delete the file, then run again online or place a whole {path.name} there.",
        )
    state = {_OLD_NAME.sub(r"\1\2", name): value for name, value in _state_dict(path).items()}
    seeded = {name: value for name, value in network.state_dict().items() if name.startswith(head)}
    body = {name: value for name, value in state.items() if not name.startswith(head)}
    try:
        network.load_state_dict(body | seeded)
    except RuntimeError as error:
        raise WeightsError(
            f"Expected {path.name} to hold this network's tensors; found: {' '.join(str(error).split())[:300]}",
            reason="tensor_mismatch",
        ) from error
    detail = f"torchvision's {path.name} with a new seeded head of {len(seeded[head + 'bias'])} classes."
    return WeightsRecord(choice=choice, identity=identity, digest=digest, detail=detail)


def _download(url: str, path: Path, prefix: str) -> None:
    _log.info("downloading %s", url)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Writes to a temporary sibling, checks the hash, then takes the name.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix, progress=False)
    except (OSError, RuntimeError) as error:
        # OSError: no network, no such address, a full disk. RuntimeError: torch.hub's word for a wrong hash.
        # An HTTP error is also the answer's open socket.
        getattr(error, "close", lambda: None)()
        raise WeightsError(
            f"Expected to download {path.name} from {url}; found: {error}.",
            reason="weights_damaged" if isinstance(error, RuntimeError) else "weights_unreachable",
            hint=f"Place {path.name} (SHA-256 starting with {prefix}) in {path.parent}, or run with "
            "--set train.weights=none.",
        ) from error


def _state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        # weights_only: tensors and containers, no other pickled object is ever made.
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(
            f"Expected a file of torch weights at {path}; found: {' '.join(str(error).split())[:200]}",
            reason="weights_damaged",
        ) from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"Expected a mapping of tensors in {path}; found another value.", reason="weights_damaged")
    return dict(state)


def _checkpoint_path(kind: str, name: str, registry: Registry | None) -> Path:
    if kind == "file":
        return Path(name)
    if registry is None:
        raise WeightsError(
            f"Expected a model registry for train.weights 'registry:{name}'; none is at hand.",
            reason="no_registry",
            hint="Run through `cxr retrain`, or name the checkpoint as file:PATH.",
        )
    return registry(name)


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]


def _hash_prefix(url: str) -> str:
    found = _HASH_IN_NAME.search(_file_name(url))
    if found is None:
        raise WeightsError(
            f"Expected a file name that ends in its SHA-256's first digits; found {url}.", reason="weights_unpinned"
        )
    return found.group(1)
