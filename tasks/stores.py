"""The tracker and the registry of this machine's settings, opened once a process."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, read_cohort, read_exclusions
from cxr_core.curate.outside import read_outside, seen_in_cohort
from cxr_core.digests import digest_value
from cxr_core.errors import LedgerError, TrackingError, WeightsError
from tasks.adapters.ledger import LEDGER_REF
from tasks.adapters.registry import ModelReference, ModelVersion, Registry, parse_reference
from tasks.adapters.store import is_away
from tasks.adapters.tracking import Tracker, open_store
from tasks.run import Run
from tasks.settings import Home

__all__ = [
    "BACKBONE",
    "BACKBONE_IMAGES",
    "MODEL",
    "check_initial_weights",
    "fact",
    "in_service",
    "initial_weights",
    "ledger_ref",
    "registry_of",
    "start_ledger",
    "tracker_of",
]

MODEL = "cxr-resnet34"
"""The registered model."""

BACKBONE = "cxr-backbone"
"""The registered model that `cxr pretrain` makes versions of."""
BACKBONE_IMAGES = "images.csv"
"""Of its run: every image that it has learnt from or was validated on."""

_LEDGER_TAG = "cxr.ledger"


def tracker_of(home: Home) -> Tracker:
    """The MLflow store in use.

    Raises:
        TrackingError: It cannot be opened.
    """
    return _opened(home.tracking_uri, str(home.artifact_root))


def registry_of(home: Home) -> Registry:
    """The model registry in the same store."""
    return Registry(tracker_of(home).client)


def in_service(registry: Registry) -> ModelVersion:
    """The champion; where none is, the newest version.

    Raises:
        TrackingError: No version is registered.
    """
    try:
        return registry.get(ModelReference(name=MODEL, alias="champion"))
    except TrackingError as error:
        versions = registry.versions(MODEL) if error.reason == "alias_missing" else []
        if not versions:
            raise
        return versions[0]


def initial_weights(run: Run) -> Callable[[str], Path]:
    """How ``registry:MODEL@ALIAS`` becomes a checkpoint file."""

    def resolve(name: str) -> Path:
        reference = parse_reference(f"models:/{name}")
        path = run.home.checkpoints / "registry" / f"{digest_value(name)[7:19]}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            registry_of(run.home).fetch_weights(reference, path)
        except TrackingError as error:
            # The plan has fetched them; whether they are still the ones that its keys name is checked by their digest.
            if not (is_away(error) and path.is_file()):
                raise
        return path

    return resolve


def check_initial_weights(run: Run) -> None:
    """Refuse a backbone that has learnt from an image, or a patient, of this run's cohort.

    Raises:
        WeightsError: ``weights_saw_cohort``.
        TrackingError: There is no such version, or its list of images is not whole.
    """
    kind, _, name = run.params.train.weights.partition(":")
    if kind != "registry":
        return
    version = registry_of(run.home).get(parse_reference(f"models:/{name}"))
    if version.name != BACKBONE:
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = tracker_of(run.home).fetch(version.run_id, BACKBONE_IMAGES, Path(scratch) / BACKBONE_IMAGES)
        seen = seen_in_cohort(
            read_outside(path), read_cohort(run.path / COHORT_PATH), read_exclusions(run.path / EXCLUSIONS_PATH)
        )
    if seen:
        raise WeightsError(
            f"{version.uri} has learnt from {len(seen)} images that have to do with this cohort, first {seen[0]}.",
            reason="weights_saw_cohort",
            hint="Run `cxr pretrain` with this retrain's parameters: it learns outside of this cohort.",
        )


def fact(version: ModelVersion, name: str) -> str:
    """What a version's tag says, e.g. ``cxr.commit``.

    Raises:
        TrackingError: It has no such tag: it was registered by something else.
    """
    if name not in version.tags:
        raise TrackingError(
            f"{version.uri} does not say its {name}; it has {', '.join(sorted(version.tags)) or 'no tags'}.",
            reason="foreign_version",
            hint="Only versions that `cxr retrain` registered can be traced, judged or promoted.",
        )
    return version.tags[name]


def ledger_ref(registry: Registry) -> str | None:
    """The git ref of this registry's ledger, which its model names; None where nothing has been decided yet.

    Raises:
        TrackingError: No model is registered yet.
        LedgerError: The model has aliases but names no ledger: somebody else set them.
    """
    name = registry.model_tags(MODEL).get(_LEDGER_TAG)
    if name is not None:
        return f"{LEDGER_REF}/{name}"
    if aliases := registry.aliases(MODEL):
        raise LedgerError(
            f"{MODEL} has the aliases {', '.join(aliases)} but names no ledger.",
            reason="no_ledger",
            hint="Take the aliases away in the MLflow UI; `cxr promote` then judges a version and starts a ledger.",
        )
    return None


def start_ledger(registry: Registry) -> str:
    """Name a ledger for a registry that has none; the caller holds the lock of what is in service."""
    name = secrets.token_hex(4)
    registry.set_model_tag(MODEL, _LEDGER_TAG, name)
    return f"{LEDGER_REF}/{name}"


@cache
def _opened(tracking_uri: str, artifact_root: str) -> Tracker:
    return open_store(tracking_uri, artifact_root)
