"""``retrain``: from sources to a decision, one call a stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.curate import curate
from tasks.data import version_data
from tasks.ingest import ingest
from tasks.page_key import standing_page
from tasks.plan import make_plan
from tasks.prepare import prepare
from tasks.promote import promote, register
from tasks.report import report_of
from tasks.retrains import find_retrain, open_retrain
from tasks.run import Run, open_run
from tasks.runners import runner_of, train_all
from tasks.split import split

__all__ = ["retrain"]


@flow(name="retrain")
def retrain(
    overrides: list[str] | None = None,
    workspace: str | None = None,
    program: str = "cxr retrain",
    unpinned: bool = False,
) -> dict[str, Any]:
    """Retrain, judge and promote; what has not changed since an earlier run is reused.

    Args:
        overrides: ``key=value`` for params.yaml.
        workspace: A folder to run in; by default one under ``CXR_HOME``.
        program: What was called, as the MLflow run names its source.
        unpinned: Start without the checkout's pins, as the demo does on its phantoms.
    """
    began = time.monotonic()
    folder = Path(workspace) if workspace else None
    with open_run(overrides or [], program=program, folder=folder, unpinned=unpinned) as run:
        runner = runner_of(run)
        ingest(run)
        cohort = curate(run)
        prepare(run)
        split(run)
        plan = make_plan(run)
        if found := find_retrain(run, plan):
            parent, folds, refit, evidence = found.parent, found.folds, found.refit, found.evidence
            decision = promote(run, found.version)
            page = standing_page(run, parent) or _page(run, parent)
        else:
            # Imported only where there is something to measure, for it takes seconds; and before anything is trained,
            # for afterwards the checkout may hold other code.
            from tasks.controls import controls
            from tasks.evaluate import evaluate
            from tasks.explain import explain
            from tasks.external import external
            from tasks.page import report

            data = version_data(run)
            with open_retrain(run, plan, data, cohort) as parent:
                *folds, refit = train_all(run, plan, data, parent, runner)
                belief = controls(run, parent, folds)
                elsewhere = external(run, plan, parent, refit, belief)
                evidence = evaluate(run, plan, data, parent, folds, refit, belief, elsewhere)
                explain(run, parent, folds)
                report(run, parent)
                version = register(run, data, parent, refit, evidence)
            # After the run is closed: what is judged is finished. Then the page once more, with the decision.
            decision = promote(run, version)
            page = report(run, parent)
        return report_of(
            run,
            page=page,
            parent=parent,
            folds=folds,
            refit=refit,
            evidence=evidence,
            decision=decision,
            seconds=time.monotonic() - began,
        )


def _page(run: Run, parent: str) -> str:
    from tasks.page import report

    return report(run, parent)
