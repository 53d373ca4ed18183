"""``explain``: Grad-CAM panels a class, each image seen by the fold's model that has never trained on it; what maps are
worth is measured on a few dozen images more."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import CLASSES
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.predictions import Prediction
from cxr_core.explain.gradcam import heat_maps
from cxr_core.explain.overlay import overlay_png
from cxr_core.explain.panels import Panel, choose, panels_figure
from cxr_core.explain.records import Saliency, saliency_json
from cxr_core.explain.worth import FoldMaps, examine, sampled, worth
from cxr_core.explain.worth_figure import worth_figure
from cxr_core.model import checkpoint
from cxr_core.model.architectures import facts
from cxr_core.model.network import build
from cxr_core.prepare.store import Store, open_store
from cxr_core.split.folds import Role, Split, read_split
from cxr_core.train.loop import derive_seed, reproducible
from tasks.adapters.runlog import Run as Log
from tasks.events import progress, stage_done, stage_started
from tasks.predictions import fold_predictions
from tasks.run import Run
from tasks.stores import tracker_of
from tasks.trained import WEIGHTS, Trained

__all__ = ["PICTURES_FILE", "SALIENCY_FILE", "explain"]

PICTURES_FILE = "gradcam/index.json"
"""Every picture beside its map, with what the network said of it: a list in the order they are shown."""
SALIENCY_FILE = "gradcam/saliency.json"
"""What the maps are worth; runs of before have none."""


@task(name="explain", cache_policy=NO_CACHE)
def explain(run: Run, parent: str, folds: Sequence[Trained]) -> int:
    """Draw the panels, measure what maps are worth, and log both; returns how many panels."""
    stage_started("explain")
    began = time.monotonic()
    tracker, store, dealt = tracker_of(run.home), open_store(run.path), read_split(run.path)
    predictions = fold_predictions(run, folds)
    chosen = choose(predictions, per_class=run.params.explain.panels)
    shown, looked_at = [row for rows in chosen.values() for row in rows], sampled(predictions)
    panels: dict[str, Panel] = {}
    found: list[FoldMaps] = []
    with tempfile.TemporaryDirectory() as scratch, reproducible(threads=run.params.train.threads):
        for fold, trained in enumerate(folds):
            progress("explain", fold, len(folds), f"fold {fold + 1}")
            weights = checkpoint.read(tracker.fetch(trained.run_id, WEIGHTS, Path(scratch) / "weights.safetensors"))
            panels |= _panels(weights, [row for row in shown if row.fold == fold], store)
            if looked_at:
                found.append(_maps(weights, looked_at, store, fold=fold, seed=run.params.evaluate.seed))
    architecture = facts(run.params.train.architecture)
    saliency = worth(
        looked_at,
        found,
        _trained_on(looked_at, dealt),
        run.params.evaluate,
        layer=architecture.features,
        size=store.images.shape[1],
    )
    log = tracker.attach(parent)
    for slug, rows in chosen.items():
        if rows:
            log.data(
                f"figures/gradcam-{slug}.png", panels_figure(slug, [panels[row.name] for row in rows], predictions)
            )
    _log_pictures(log, [panels[row.name] for row in shown])
    _log_worth(log, saliency, seconds=time.monotonic() - began)
    stage_done(
        "explain", f"{len(panels)} Grad-CAM pictures; maps of {saliency.images} images {saliency.cascade.verdict}"
    )
    return len(panels)


def _log_pictures(log: Log, panels: Sequence[Panel]) -> None:
    listed: list[dict[str, object]] = []
    for number, panel in enumerate(panels, start=1):
        row = panel.prediction
        file = f"gradcam/{number:03d}-{CLASSES[row.label]}.png"
        log.data(file, overlay_png(panel.pixels, panel.heat))
        said = {"label": CLASSES[row.label], "predicted": CLASSES[row.predicted], "probability": max(row.probabilities)}
        listed.append({"file": file, "name": row.name, **said})
    log.json(PICTURES_FILE, listed)


def _log_worth(log: Log, saliency: Saliency, *, seconds: float) -> None:
    log.json(SALIENCY_FILE, saliency_json(saliency))
    log.data("figures/gradcam-worth.png", worth_figure(saliency))
    # One point a stage, so that MLflow draws the curve.
    for number, step in enumerate(saliency.cascade.steps, start=1):
        log.metrics(
            _points("gradcam.cascade.rank", step.rank) | _points("gradcam.cascade.ssim", step.ssim), step=number
        )
    flat = {"gradcam.seconds": seconds, "gradcam.lung_field.area": saliency.lungs.area}
    if saliency.cascade.steps:
        # The name that runs of before have for the last step.
        flat |= _points("gradcam.randomised_similarity", saliency.cascade.steps[-1].rank)
    for slug in CLASSES:
        lungs, agreed = saliency.lungs.per_class[slug], saliency.agreement.per_class[slug]
        flat |= _points(f"gradcam.lung_share.{slug}", lungs.share)
        flat |= _points(f"gradcam.lung_share.random.{slug}", lungs.random)
        flat |= _points(f"gradcam.agreement.unseen.{slug}", agreed.unseen)
        flat |= _points(f"gradcam.agreement.every.{slug}", agreed.every)
        flat |= _points(f"gradcam.agreement.others.{slug}", agreed.others)
    log.metrics(flat)


def _points(name: str, one: Estimate) -> dict[str, float]:
    if one.value is None or one.low is None or one.high is None:
        return {}
    return {name: one.value, f"{name}.low": one.low, f"{name}.high": one.high, f"{name}.n": float(one.n)}


def _panels(weights: checkpoint.Checkpoint, rows: Sequence[Prediction], store: Store) -> dict[str, Panel]:
    if not rows:
        return {}
    # The last convolutional features, whose maps Eq. 6 weighs.
    network, layer = checkpoint.restore(weights), facts(weights.about.architecture).features
    pixels = _pixels(rows, store)
    heat = heat_maps(network, network.get_submodule(layer), pixels, [row.predicted for row in rows])
    return {row.name: Panel(prediction=row, pixels=pixels[index], heat=heat[index]) for index, row in enumerate(rows)}


def _maps(
    weights: checkpoint.Checkpoint, rows: Sequence[Prediction], store: Store, *, fold: int, seed: int
) -> FoldMaps:
    about = weights.about
    # Another draw for every fold: one alone could be a lucky one.
    drawn = build(about.architecture, seed=derive_seed(seed, "randomised", fold))
    network, layer = checkpoint.restore(weights), facts(about.architecture).features
    return examine(network, drawn, layer, _pixels(rows, store), rows, fold)


def _pixels(rows: Sequence[Prediction], store: Store) -> NDArray[np.uint8]:
    row_of = {entry.name: entry.row for entry in store.index}
    return np.stack([np.asarray(store.images[row_of[row.name]]) for row in rows])


def _trained_on(rows: Sequence[Prediction], dealt: Split) -> NDArray[np.bool_]:
    """Whether each fold's network has trained on each image (K, n)."""
    place = {name: row for row, name in enumerate(dealt.names)}
    return dealt.roles[:, [place[row.name] for row in rows]] == Role.TRAIN
