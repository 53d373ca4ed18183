"""``protocols``: one cohort cross-validated under several protocols, one after the other in one workspace.

For each protocol the workspace's params.yaml and folds are brought to it, so that its data version is the one that a
retrain under that protocol has, and its trainings have the same keys: whichever came first is reused by the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.errors import CohortError
from cxr_core.evaluate.protocol_parts import ProtocolTable
from cxr_core.evaluate.protocol_tables import drop_words
from cxr_core.evaluate.protocols import Dealt, protocol_table
from cxr_core.params import Protocol
from cxr_core.split.deal import deal
from cxr_core.split.folds import read_split
from tasks.data import DataVersion, version_data
from tasks.evaluate import coverage_of
from tasks.events import stage_done, stage_started
from tasks.plan import Plan, make_plan
from tasks.predictions import fold_predictions
from tasks.protocol_request import without_loso
from tasks.reproduce import reproduce
from tasks.run import Run, under
from tasks.runners import Runner, train_folds
from tasks.split import split
from tasks.trained import Trained

__all__ = ["CrossValidated", "Planned", "check_dealing", "cross_validate", "measure_protocols", "plan_protocol"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One protocol before anything is trained under it.

    Attributes:
        protocol: How the folds are dealt.
        plan: Keys of its trainings.
        data: What its data is called.
    """

    protocol: Protocol
    plan: Plan
    data: DataVersion


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossValidated:
    """One protocol with its folds trained.

    Attributes:
        dealt: What they say of the images that they left out.
        folds: Their trainings, by number.
    """

    dealt: Dealt
    folds: tuple[Trained, ...]


@task(name="deal", cache_policy=NO_CACHE)
def check_dealing(run: Run, protocols: Sequence[Protocol]) -> None:
    """Deal the cohort by every protocol, so that one that cannot be is refused before any fold is trained.

    Raises:
        CohortError: The cohort is too small for a protocol, or no source of it can be left out.
    """
    rows = read_cohort(run.path / COHORT_PATH)
    for protocol in protocols:
        try:
            deal(rows, run.params.split.replace(protocol=protocol))
        except CohortError as error:
            hint = without_loso(protocols) if protocol == "loso" else error.hint
            raise CohortError(f"Protocol {protocol}: {error.message}", reason=error.reason, hint=hint) from error


def plan_protocol(run: Run, protocol: Protocol) -> Planned:
    """Bring the workspace to a protocol, name its trainings, and publish its data."""
    each = under(run, protocol)
    split(each)
    plan = make_plan(each)
    # Folds of several protocols stand under one parent.
    named = replace(plan, names=tuple(f"{protocol}, {name}" for name in plan.names))
    return Planned(protocol=protocol, plan=named, data=version_data(each))


def cross_validate(run: Run, planned: Planned, parent: str, runner: Runner) -> CrossValidated:
    """Bring the workspace back to a protocol, and train its folds, or find them trained."""
    each, stage = under(run, planned.protocol), "protocol"
    stage_started(stage, planned.protocol)
    reproduce(each, "split", ["split"])
    dealt = read_split(each.path)
    stage_done(stage, f"{planned.protocol}: {dealt.folds} fold{'s' * (dealt.folds > 1)}")
    folds = train_folds(each, planned.plan, planned.data, parent, runner)
    return CrossValidated(
        dealt=Dealt(
            protocol=planned.protocol,
            predictions=fold_predictions(each, folds),
            coverage=coverage_of(dealt),
            sources=Counter(row.source for row in read_cohort(each.path / COHORT_PATH)),
            split=planned.plan.split,
            commit=planned.data.commit,
            runs={f"fold-{fold.fold}": fold.run_id for fold in folds},
        ),
        folds=tuple(folds),
    )


@task(name="evaluate", cache_policy=NO_CACHE)
def measure_protocols(run: Run, plans: Sequence[Planned], done: Sequence[CrossValidated]) -> ProtocolTable:
    """Measure each protocol, and hold it against the first."""
    stage_started("evaluate", f"{run.params.evaluate.bootstrap} resamples by patient")
    table = protocol_table(
        [each.dealt for each in done],
        run.params.evaluate,
        cohort=plans[0].plan.cohort,
        synthetic=plans[0].plan.synthetic,
    )
    stage_done("evaluate", " ".join(drop_words(row) for row in table.rows[1:]))
    return table
