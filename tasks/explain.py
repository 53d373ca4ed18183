"""``explain``: Grad-CAM panels a class, each image seen by the fold's model that has never trained on it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.classes import CLASSES
from cxr_core.evaluate.predictions import Prediction
from cxr_core.explain.gradcam import heat_maps
from cxr_core.explain.overlay import overlay_png
from cxr_core.explain.panels import Panel, choose, panels_figure
from cxr_core.explain.sanity import randomisation_similarity
from cxr_core.model import checkpoint
from cxr_core.model.architectures import facts
from cxr_core.prepare.store import Store, open_store
from cxr_core.train.loop import reproducible
from tasks.adapters.runlog import Run as Log
from tasks.events import progress, stage_done, stage_started
from tasks.predictions import fold_predictions
from tasks.run import Run
from tasks.stores import tracker_of
from tasks.trained import WEIGHTS, Trained

__all__ = ["PICTURES_FILE", "explain"]

PICTURES_FILE = "gradcam/index.json"
"""Every picture beside its map, with what the network said of it: a list in the order they are shown."""


@task(name="explain", cache_policy=NO_CACHE)
def explain(run: Run, parent: str, folds: Sequence[Trained]) -> int:
    """Draw the panels, test that the maps depend on what was learned, and log both; returns how many panels."""
    stage_started("explain")
    tracker = tracker_of(run.home)
    predictions = fold_predictions(run, folds)
    chosen = choose(predictions, per_class=run.params.explain.panels)
    by_fold: dict[int, list[Prediction]] = defaultdict(list)
    for row in (row for rows in chosen.values() for row in rows):
        if row.fold is not None:
            by_fold[row.fold].append(row)
    panels: dict[str, Panel] = {}
    likeness: list[float] = []
    store = open_store(run.path)
    with tempfile.TemporaryDirectory() as scratch, reproducible(threads=run.params.train.threads):
        for done, (fold, rows) in enumerate(sorted(by_fold.items())):
            progress("explain", done, len(by_fold), f"fold {fold + 1}")
            weights = tracker.fetch(folds[fold].run_id, WEIGHTS, Path(scratch) / f"{fold}.safetensors")
            made, alike = _explain_fold(weights, rows, store, seed=run.params.evaluate.seed)
            panels.update(made)
            likeness += alike
    log = tracker.attach(parent)
    for slug, rows in chosen.items():
        if rows:
            log.data(
                f"figures/gradcam-{slug}.png", panels_figure(slug, [panels[row.name] for row in rows], predictions)
            )
    _log_pictures(log, [panels[row.name] for rows in chosen.values() for row in rows])
    mean = float(np.mean(likeness)) if likeness else None
    if mean is not None:
        log.metrics({"gradcam.randomised_similarity": mean, "gradcam.randomised_similarity.n": len(likeness)})
    words = "" if mean is None else f"; under random weights they keep a rank correlation of {mean:.2f} (0 is right)"
    stage_done("explain", f"{len(panels)} Grad-CAM maps{words}")
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


def _explain_fold(
    weights: Path, rows: Sequence[Prediction], store: Store, *, seed: int
) -> tuple[dict[str, Panel], list[float]]:
    trained = checkpoint.read(weights)
    # The last convolutional features, whose maps Eq. 6 weighs.
    network, layer = checkpoint.restore(trained), facts(trained.about.architecture).features
    row_of = {entry.name: entry.row for entry in store.index}
    pixels = np.stack([np.asarray(store.images[row_of[row.name]]) for row in rows])
    targets = [row.predicted for row in rows]
    heat = heat_maps(network, network.get_submodule(layer), pixels, targets)
    alike = randomisation_similarity(network, layer, pixels, targets, seed=seed)
    panels = {row.name: Panel(prediction=row, pixels=pixels[index], heat=heat[index]) for index, row in enumerate(rows)}
    return panels, [value for value in alike if value is not None]
