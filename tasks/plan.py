"""What a retrain is going to train, named by keys before anything runs, so that finished work is found, not repeated.

In: a workspace whose data stages are up to date. Out: a ``Plan``: one key a fold, one for the refit, and one over all
of them with everything that evaluation reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.digests import digest_file, digest_value
from cxr_core.model.network import resolve_precision
from cxr_core.model.weights import weights_identity
from cxr_core.prepare.store import open_store
from cxr_core.split.folds import SPLIT_PATH, Split, members, read_split
from cxr_core.train.device import resolve_device
from cxr_core.train.key import TrainKey, import_closure, train_key
from tasks.external_sets import external_revisions
from tasks.run import Run
from tasks.stores import check_initial_weights, initial_weights

__all__ = ["Plan", "make_plan"]

# What measures, draws and is shipped with the model, beside what trains.
_ENTRIES = (
    "cxr_core.evaluate.calibrate",
    "cxr_core.evaluate.controls",
    "cxr_core.evaluate.evidence",
    "cxr_core.evaluate.external",
    "cxr_core.evaluate.figures",
    "cxr_core.evaluate.identify",
    "cxr_core.evaluate.tables",
    "cxr_core.explain.gradcam",
    "cxr_core.explain.overlay",
    "cxr_core.explain.panels",
    "cxr_core.explain.worth",
    "cxr_core.explain.worth_figure",
    "cxr_core.model.inference",
)
_SCRIPT = "tasks/adapters/model_script.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The keys of one retrain.

    Attributes:
        folds: Key of each fold, by number.
        refit: Key of the model trained on every image that is not held out, and tested on those that are.
        key: Names the whole: the keys above and all that evaluation reads.
        cohort: ``sha256:<hex>`` of cohort.csv.
        split: ``sha256:<hex>`` of split.csv.
        synthetic: Whether phantoms are among the images.
        names: What each fold is called, and, last, what the refit is.
        held_out: How many images the refit alone tests.
    """

    folds: tuple[TrainKey, ...]
    refit: TrainKey
    key: TrainKey
    cohort: str
    split: str
    synthetic: bool
    names: tuple[str, ...]
    held_out: int

    def of(self, fold: int | None) -> TrainKey:
        """A fold's key; None for the refit."""
        return self.refit if fold is None else self.folds[fold]

    def name_of(self, fold: int | None) -> str:
        """What a fold is called; None for the refit."""
        return self.names[-1 if fold is None else fold]

    def tests(self, fold: int | None) -> bool:
        """Whether any image is tested: a refit tests what is held out, which may be nothing."""
        return fold is not None or self.held_out > 0


def make_plan(run: Run) -> Plan:
    """Name everything this retrain trains.

    Raises:
        CohortError: The workspace's cohort, store or folds do not hold together.
        WeightsError: The initial weights cannot be named, or have learnt from this cohort.
    """
    cohort = read_cohort(run.path / COHORT_PATH)
    dealt = read_split(run.path)
    tensors = [row.tensor_sha256 for row in open_store(run.path).index]
    train = run.params.train
    check_initial_weights(run)
    weights = weights_identity(train.weights, architecture=train.architecture, registry=initial_weights(run))
    constraints = digest_file(run.path / "constraints.txt")
    device = resolve_device(train.device)

    def key(fold: int | None, follows: Sequence[str] = ()) -> TrainKey:
        parts = members(dealt, fold)
        return train_key(
            images=tensors,
            labels=dealt.labels.tolist(),
            train_idx=parts.train.tolist(),
            val_idx=parts.validation.tolist(),
            test_idx=parts.test.tolist(),
            fold=fold,
            params=train,
            size=run.params.prepare.size,
            device=device,
            precision=resolve_precision(train.precision, device=device),
            weights=weights,
            constraints=constraints,
            follows=follows,
            package=run.path / "cxr_core",
        )

    folds = tuple(key(fold) for fold in range(dealt.folds))
    # Where folds may stop early, how long the refit trains follows from them, and so from their keys.
    refit = key(None, () if train.patience is None else [fold.digest for fold in folds])
    files = {"cohort": digest_file(run.path / COHORT_PATH), "split": digest_file(run.path / SPLIT_PATH)}
    parts = {
        "folds": [fold.digest for fold in folds],
        "refit": refit.digest,
        **files,
        "evaluate": run.params.evaluate.plain(),
        "explain": run.params.explain.plain(),
        "protocol": run.params.split.protocol,
        "code": _code(run.path),
    }
    if elsewhere := external_revisions():
        parts["external"] = elsewhere
    whole = TrainKey(digest=digest_value(parts), parts=parts)
    synthetic = any(row.synthetic for row in cohort)
    return Plan(
        folds=folds,
        refit=refit,
        key=whole,
        synthetic=synthetic,
        names=_names(dealt),
        held_out=int(dealt.holdout.sum()),
        **files,
    )


def _names(dealt: Split) -> tuple[str, ...]:
    tests = {each.fold: f", tests {each.source}" for each in dealt.verdicts}
    trains, images = len(members(dealt, None).train), len(dealt.names)
    refit = "refit on all images" if trains == images else f"refit on {trains} of {images} images"
    return (*(f"fold {fold + 1} of {dealt.folds}{tests.get(fold, '')}" for fold in range(dealt.folds)), refit)


def _code(root: Path) -> dict[str, str]:
    return import_closure(root / "cxr_core", entry=_ENTRIES) | {_SCRIPT: digest_file(root / _SCRIPT)}
