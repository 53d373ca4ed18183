"""Protocols side by side: the predictions of each protocol's folds in, one table of what each measures out.

The rows speak of one cohort, dealt in several ways: at random (``paper``), with patients and duplicates kept together
(``grouped``), each source tested by networks that never saw it (``loso``). How far ``grouped`` falls below ``paper`` is
what ``paper`` owes to images that its networks had all but seen; networks of ``loso`` also train on other numbers of
images and classes.

Laws: the same predictions in any order give the same table, digest included; a row is paired with the first on the
images that both test, and on no others; under ``grouped`` and ``loso`` no image leaks, or there is no table; what
cannot be had is null and says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr_core.classes import CLASS_NAMES, CLASSES, SOURCES, ClassSlug
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.compare import settled_differences
from cxr_core.evaluate.drafts import Draft, auc, macro_auc, proportion
from cxr_core.evaluate.estimates import settle
from cxr_core.evaluate.parts import Coverage, Estimate, Leak
from cxr_core.evaluate.population import population
from cxr_core.evaluate.predictions import Prediction, check_predictions, digest_predictions
from cxr_core.evaluate.protocol_parts import (
    Against,
    ProtocolRow,
    ProtocolTable,
    SourceFigures,
    protocols_json,
    table_digest,
)
from cxr_core.params import EvaluateParams, Protocol
from cxr_core.stats.paired import mcnemar

__all__ = ["Dealt", "protocol_table"]

# Their folds are made so that no patient or duplicate cluster is on both sides.
_LEAKS_NOTHING: tuple[Protocol, ...] = ("grouped", "loso")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dealt:
    """One protocol's cross-validation.

    Attributes:
        protocol: How the folds were dealt.
        predictions: One a tested image, from the fold that left it out.
        coverage: How much of the cohort that is.
        sources: Images of the cohort by source, tested or not.
        split: ``sha256:<hex>`` of split.csv.
        commit: Git commit that is the data's version.
        runs: Id of each fold's tracked run, by its name, e.g. ``fold-0``.
    """

    protocol: Protocol
    predictions: Sequence[Prediction]
    coverage: Coverage
    sources: Mapping[str, int]
    split: str
    commit: str
    runs: Mapping[str, str]


def protocol_table(dealt: Sequence[Dealt], params: EvaluateParams, *, cohort: str, synthetic: bool) -> ProtocolTable:
    """Measure each protocol, and hold it against the first.

    Args:
        dealt: One a protocol, at least one; the first is the reference.
        params: Confidence, bootstrap samples and seed.
        cohort: ``sha256:<hex>`` of cohort.csv.
        synthetic: Whether any image is a phantom.

    Raises:
        EvidenceError: Predictions are incomplete or impossible; a protocol stands twice (``doubled_protocol``); images
            leak where the protocol allows none (``leaking_folds``).
    """
    doubled = [name for name, times in Counter(each.protocol for each in dealt).items() if times > 1]
    if doubled or not dealt:
        raise EvidenceError(f"Expected each protocol once, found {doubled or 'none'}.", reason="doubled_protocol")
    reference = dealt[0]
    draft = ProtocolTable(
        schema=1,
        cohort=cohort,
        synthetic=synthetic,
        confidence=params.confidence,
        bootstrap=params.bootstrap,
        seed=params.seed,
        rows=tuple(_row(each, None if each is reference else reference, params) for each in dealt),
        digest="",
    )
    return draft.model_copy(update={"digest": table_digest(protocols_json(draft))})


def _row(dealt: Dealt, reference: Dealt | None, params: EvaluateParams) -> ProtocolRow:
    rows = sorted(dealt.predictions, key=lambda row: row.sha256)
    check_predictions(rows)
    leaking = sum(not row.leak_free for row in rows)
    if leaking and dealt.protocol in _LEAKS_NOTHING:
        raise EvidenceError(
            f"Under {dealt.protocol} no test image may share a patient or duplicate with training; {leaking} do.",
            reason="leaking_folds",
        )
    everyone = population(rows, confidence=params.confidence)
    return ProtocolRow(
        protocol=dealt.protocol,
        split=dealt.split,
        commit=dealt.commit,
        runs=dict(dealt.runs),
        predictions=digest_predictions(rows),
        coverage=dealt.coverage,
        pools=_pools(dealt.protocol, rows),
        leak=Leak(n=len(rows), leaking=leaking, share=leaking / len(rows)),
        people=everyone,
        leak_free_accuracy=_accuracy([row for row in rows if row.leak_free], params) if leaking else everyone.accuracy,
        sources=_sources(rows, dealt, params),
        against=None if reference is None else _against(rows, reference, params),
    )


def _accuracy(rows: Sequence[Prediction], params: EvaluateParams) -> Estimate:
    return _figures(rows, params, auc_of=())["accuracy"]


def _figures(rows: Sequence[Prediction], params: EvaluateParams, *, auc_of: Sequence[ClassSlug]) -> dict[str, Estimate]:
    arrays = Arrays.of(rows)
    drafts = {"accuracy": _share_right(arrays, params)} | {
        slug: auc(arrays, CLASSES.index(slug), confidence=params.confidence) for slug in auc_of
    }
    return settle(drafts)


def _share_right(arrays: Arrays, params: EvaluateParams) -> Draft:
    everyone: NDArray[np.bool_] = np.ones(len(arrays.label), dtype=bool)
    return proportion(arrays.correct, everyone, arrays.patients, confidence=params.confidence)


def _sources(rows: Sequence[Prediction], dealt: Dealt, params: EvaluateParams) -> tuple[SourceFigures, ...]:
    """Each source of the cohort, tested or not."""
    refused = dealt.coverage.not_identifiable
    made: list[SourceFigures] = []
    for source in (each for each in SOURCES if dealt.sources.get(each)):
        mine = [row for row in rows if row.source == source]
        held: dict[ClassSlug, int] = {
            slug: sum(row.label == index for row in mine) for index, slug in enumerate(CLASSES)
        }
        figures = _figures(mine, params, auc_of=CLASSES)
        made.append(
            SourceFigures(
                source=source,
                verdict="tested" if mine else "not identifiable" if source in refused else "not tested",
                n=len(mine),
                groups=len({row.group for row in mine}),
                images=held,
                accuracy=figures["accuracy"],
                auc={slug: figures[slug] for slug in CLASSES},
                why=_one_class(source, held) if mine else refused.get(source, "No fold tests an image of it."),
            )
        )
    return tuple(made)


def _one_class(source: str, held: Mapping[ClassSlug, int]) -> str:
    found: list[ClassSlug] = [slug for slug in CLASSES if held[slug]]
    if len(found) > 1:
        return ""
    name = CLASS_NAMES[found[0]]
    return f"The tested images of {source} hold one class, {name}: accuracy is its sensitivity, and no AUC is defined."


def _pools(protocol: Protocol, rows: Sequence[Prediction]) -> str:
    """E.g. ``40 images of 3 folds, each by the network that left it out: COVID-19 from sirm 10 and github 6; ...``."""
    folds = len({row.fold for row in rows})
    by = "a network that saw no image of its source" if protocol == "loso" else "the network of the fold that tests it"
    held = Counter((row.label, row.source) for row in rows)
    classes: list[str] = []
    for index, name in enumerate(CLASS_NAMES.values()):
        of = [f"{source} {n}" for source in SOURCES if (n := held[index, source])]
        classes.append(f"{name} from {', '.join(of)}" if of else f"no image of {name}")
    many = "" if folds == 1 else ", and an AUC ranks the scores of different networks together"
    return f"{len(rows)} images of {folds} fold{'s' * (folds > 1)}, each by {by}{many}: {'; '.join(classes)}."


def _against(rows: Sequence[Prediction], reference: Dealt, params: EvaluateParams) -> Against:
    theirs = {row.sha256: row for row in reference.predictions}
    mine = [row for row in rows if row.sha256 in theirs]
    sides = Arrays.of(mine), Arrays.of([theirs[row.sha256] for row in mine])
    ours, its = (
        {"accuracy": _share_right(side, params), "macro_auc": macro_auc(side, confidence=params.confidence)}
        | {slug: auc(side, index, confidence=params.confidence) for index, slug in enumerate(CLASSES)}
        for side in sides
    )
    found = settled_differences(
        ours,
        its,
        [row.group for row in mine],
        same=np.array_equal(sides[0].scores, sides[1].scores),
        confidence=params.confidence,
        resamples=params.bootstrap,
        seed=params.seed,
    )
    test = mcnemar(sides[0].correct.tolist(), sides[1].correct.tolist()) if mine else None
    return Against(
        reference=reference.protocol,
        n=len(mine),
        groups=sides[0].patients.n,
        accuracy=found["accuracy"],
        macro_auc=found["macro_auc"],
        auc={slug: found[slug] for slug in CLASSES},
        only_this_right=test.only_first if test else 0,
        only_reference_right=test.only_second if test else 0,
        mcnemar_p=test.p if test else None,
    )
