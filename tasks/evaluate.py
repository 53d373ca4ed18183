"""``evaluate``: predictions to evidence, figures and tables on the parent run; and runs side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.curate.cohort import REPORT_PATH
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.figures import confusion_figure, curves_figure, roc_figure
from cxr_core.evaluate.identify import identifiability
from cxr_core.evaluate.predictions import Prediction, predictions_csv
from cxr_core.evaluate.schema import Context, Coverage, Evidence, External, evidence_json
from cxr_core.evaluate.tables import figures_markdown, flat_metrics, table2_csv, table2_markdown
from cxr_core.files import read_json
from cxr_core.split.folds import Split, read_split
from cxr_core.train.loop import EpochResult
from tasks.adapters.tracking import Tracker
from tasks.controls import Belief
from tasks.data import DataVersion
from tasks.events import stage_done, stage_started
from tasks.evidence import EVIDENCE_FILE, HOLDOUT_FILE
from tasks.plan import Plan
from tasks.predictions import fold_predictions
from tasks.run import Run, actor
from tasks.stores import tracker_of
from tasks.trained import EPOCHS_FILE, PREDICTIONS_FILE, Trained

__all__ = ["coverage_of", "evaluate"]


@task(name="evaluate", cache_policy=NO_CACHE)
def evaluate(
    run: Run,
    plan: Plan,
    data: DataVersion,
    parent: str,
    folds: Sequence[Trained],
    refit: Trained,
    belief: Belief,
    elsewhere: Mapping[str, External] | None = None,
) -> Evidence:
    """Pool the folds' predictions, add the refit's on held-out images, measure, and log what was measured."""
    stage_started("evaluate")
    tracker = tracker_of(run.home)
    predictions = fold_predictions(run, folds)
    holdout = fold_predictions(run, [refit]) if plan.held_out else []
    evidence = measure(
        predictions,
        run.params.evaluate,
        coverage=coverage_of(read_split(run.path)),
        holdout=holdout,
        identifiability=identifiability(read_json(run.path / REPORT_PATH)),
        calibration=belief.calibration,
        controls=belief.controls,
        external=elsewhere,
        context=Context(
            cohort=plan.cohort,
            split=plan.split,
            protocol=run.params.split.protocol,
            synthetic=plan.synthetic,
            weights=tracker.read(refit.run_id).tags["cxr.weights"],
            commit=data.commit,
            trained_by=actor(),
            runs={"parent": parent, "refit": refit.run_id, **{f"fold-{fold.fold}": fold.run_id for fold in folds}},
        ),
    )
    _log(tracker, parent, folds, predictions, holdout, evidence)
    stage_done("evaluate", _words(evidence))
    return evidence


def coverage_of(dealt: Split) -> Coverage:
    """How much of the cohort its folds test, and why no more."""
    return Coverage(
        tested=int((dealt.fold >= 0).sum()),
        held_out=int(dealt.holdout.sum()),
        cohort=len(dealt.names),
        not_identifiable={each.source: each.why for each in dealt.verdicts if each.fold is None},
    )


def _words(evidence: Evidence) -> str:
    pairs = {"accuracy": evidence.all, "leak-free": evidence.leak_free, "held out": evidence.holdout}
    counts = [f"{name} {one.accuracy.k} of {one.accuracy.n}" for name, one in pairs.items() if one]
    if (covered := evidence.coverage) and covered.tested < covered.cohort:
        counts.append(covered.words)
    return "; ".join(counts)


def _log(
    tracker: Tracker,
    parent: str,
    folds: Sequence[Trained],
    predictions: Sequence[Prediction],
    holdout: Sequence[Prediction],
    evidence: Evidence,
) -> None:
    log = tracker.attach(parent)
    with tempfile.TemporaryDirectory() as scratch:
        histories = {
            int(fold.fold or 0): _epochs(tracker.fetch(fold.run_id, EPOCHS_FILE, Path(scratch) / f"{fold.fold}.json"))
            for fold in folds
        }
    log.text(PREDICTIONS_FILE, predictions_csv(predictions))
    if holdout:
        log.text(HOLDOUT_FILE, predictions_csv(holdout))
    log.json(EVIDENCE_FILE, evidence_json(evidence))
    log.text("figures.md", figures_markdown(evidence))
    log.text("table2.md", table2_markdown(evidence))
    log.text("table2.csv", table2_csv(evidence))
    log.data("figures/curves.png", curves_figure(histories))
    log.data("figures/roc.png", roc_figure(predictions, evidence))
    log.data("figures/confusion.png", confusion_figure(evidence.all, title="All test images"))
    log.data("figures/confusion-leak-free.png", confusion_figure(evidence.leak_free, title="Leak-free test images"))
    if evidence.holdout:
        title = "Held-out images, by the registered model"
        log.data("figures/confusion-holdout.png", confusion_figure(evidence.holdout, title=title))
    log.metrics(flat_metrics(evidence))
    runs = {f"cxr.run.{name}": run_id for name, run_id in evidence.context.runs.items() if name != "parent"}
    # A reused fold is the child of the retrain that trained it: these tags are the way to it.
    log.tags({"cxr.evidence": evidence.digest, **runs})


def _epochs(path: Path) -> list[EpochResult]:
    return [EpochResult(**epoch) for epoch in read_json(path)]
