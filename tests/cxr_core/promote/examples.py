"""Evidence with the numbers a test asks for, and the policy of this repository."""

from functools import cache
from pathlib import Path

from cxr_core.classes import CLASSES
from cxr_core.evaluate.compare import Comparison, Difference
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.parts import Estimate
from cxr_core.evaluate.proofs import (
    Calibrated,
    Calibration,
    Contest,
    Controls,
    Identifiability,
    PermutedLabels,
    PictureControl,
    SourceProbe,
)
from cxr_core.evaluate.schema import digest_of, evidence_json
from cxr_core.params import EvaluateParams
from cxr_core.promote.policy import read_policy
from cxr_core.stats.paired import mcnemar
from tests.cxr_core.evaluate.examples import context, predictions

POLICY_TEXT = (Path(__file__).parents[3] / "mlflow" / "promotion_policy.yaml").read_text(encoding="utf-8")
POLICY = read_policy(POLICY_TEXT)
PARAMS = EvaluateParams(confidence=0.95, bootstrap=1000, seed=7)
FIGURES = ("accuracy", "macro_auc", *(f"{kind}.{slug}" for slug in CLASSES for kind in ("sensitivity", "specificity")))


PICTURES = ("rim", "blanked", "thumbnails")


def between(low, high, *, why=""):
    """An estimate with these limits, 300 images; without a lower one it has no value."""
    known = low is not None
    return Estimate(
        value=(low + high) / 2 if known else None,
        low=low,
        high=high if known else None,
        method="cluster_bootstrap",
        cluster_low=low,
        cluster_high=high if known else None,
        n=300,
        k=None,
        why=why,
    )


def controls(*, advantage=0.3, probe=0.6, permuted="at chance", **by_picture):
    """Controls that fail as they must; ``rim=0.01``, say, is the least advantage over that one, for viral pneumonia."""

    def contest(low):
        return Contest(
            control=between(0.5, 0.6), network=between(0.9, 1.0), advantage=between(low, 0.5, why="Too few.")
        )

    pictures = tuple(
        PictureControl(
            name=name,
            sees="next to nothing",
            n=300,
            groups=150,
            accuracy=between(0.3, 0.4),
            macro_auc=between(0.5, 0.6),
            per_class={
                slug: contest(by_picture.get(name, advantage) if slug == "viral" else advantage) for slug in CLASSES
            },
            verdict="beaten",
            why="Said so.",
        )
        for name in PICTURES
    )
    return Controls(
        pictures=pictures,
        source_probe=SourceProbe(
            n=100,
            groups=50,
            per_class={} if probe is None else {"covid": between(0.5, probe)},
            skipped={},
            verdict="not identifiable" if probe is None else "not readable",
            why="Nothing to ask.",
        ),
        permuted_labels=PermutedLabels(
            permutations=1000,
            n=300,
            groups=150,
            chance=0.33,
            excess=between(-0.05, 0.05),
            excess_all=between(-0.05, 0.05),
            verdict=permuted,
            why="Said so.",
        ),
    )


def calibration(*, error=0.05):
    """A calibration whose error, as served, is at most so much."""
    one = Calibrated(
        log_loss=between(0.2, 0.3),
        brier=between(0.1, 0.2),
        calibration_error=between(0.0 if error is not None else None, error),
        macro_auc=between(0.9, 1.0),
        reliability=(),
    )
    return Calibration(temperature=between(1.1, 1.5), images=300, groups=150, before=one, after=one)


def identifiability(verdict="identifiable", *, cramers_v=0.2):
    return Identifiability(verdict=verdict, cramers_v=cramers_v, apart=(), why="Said so.")


@cache
def base():
    """300 leak-free images, told apart well; every control fails as it must."""
    return measure(
        predictions(300, strength=3.0),
        PARAMS,
        context=context(),
        identifiability=identifiability(),
        calibration=calibration(),
        controls=controls(),
    )


def evidence(*, bounds=None, n=100, groups=150, weights="sha256:new", synthetic=False, proofs=None, **changes):
    """Evidence whose lower limits are ``bounds`` by figure (else 0.95), with ``n`` images a class.

    ``proofs`` stand for base's identifiability, calibration or controls.
    """
    people = base().leak_free
    bounds = bounds or {}
    set_bound = {name: _bounded(_figure(people, name), bounds.get(name, 0.95)) for name in FIGURES}
    per_class = {
        slug: people.per_class[slug].model_copy(
            update={kind: set_bound[f"{kind}.{slug}"] for kind in ("sensitivity", "specificity")} | {"n": n}
        )
        for slug in CLASSES
    }
    people = people.model_copy(
        update={
            "n": 3 * n,
            "groups": groups,
            "accuracy": set_bound["accuracy"],
            "macro_auc": set_bound["macro_auc"],
            "per_class": per_class,
        }
    )
    speaks_of = base().context.model_copy(update={"weights": weights, "synthetic": synthetic} | changes)
    made = base().model_copy(update={"leak_free": people, "context": speaks_of} | (proofs or {}))
    return made.model_copy(update={"digest": digest_of(evidence_json(made))})


def champion(**changes):
    return evidence(**({"weights": "sha256:old"} | changes))


def comparison(*, accuracy=0.0, macro_auc=0.0, more=5, fewer=5, n=150, confidence=0.95):
    """A paired comparison whose differences have these lower limits; ``more`` are right with the champion alone."""
    test = mcnemar([True] * fewer + [False] * more, [False] * fewer + [True] * more) if more + fewer else None

    def difference(low):
        why = "No limit." if low is None else ""
        return Difference(first=0.9, second=0.9, value=0.0, low=low, high=0.1, why=why)

    return Comparison(
        first_predictions=base().predictions,
        second_predictions=base().predictions,
        confidence=confidence,
        shared=n,
        n=n,
        groups=n,
        relabelled=0,
        accuracy=difference(accuracy),
        macro_auc=difference(macro_auc),
        only_first_right=fewer,
        only_second_right=more,
        mcnemar_p=test.p if test else 1.0,
    )


def _figure(people, name):
    kind, _, slug = name.partition(".")
    return getattr(people.per_class[slug], kind) if slug else getattr(people, kind)


def _bounded(estimate, low):
    return estimate.model_copy(update={"value": low, "low": low, "cluster_low": low, "why": "" if low else "Unknown."})
