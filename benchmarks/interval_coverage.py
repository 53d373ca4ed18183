"""How often each printed 95 % interval holds the truth, on simulated cohorts whose truth is known.

    python benchmarks/interval_coverage.py [--json] [--repeats 1000] [--images 60 300 781] [--accuracies 0.7 0.9 0.97]
        [--resamples 300] [--alike 0.5] [--seed 2021] [--at-least SHARE] [--shrink 1]

Cohorts: patients of one image each (``single``) or of one to five, two on average (``several``), each patient of one
class of three. An image's evidence for the classes is normal about its class's mean, and ``--alike`` of its variance is
its patient's. The softmax of it is honest about such images; the classifier that is judged boasts: its scores are
1.5 times as large, so 1.5 is its temperature; of a ``sure`` one they are 4 times as large. Differences are from a model
that is right 3 in 100 less often. ``mean`` is that of a number an image, as maps have them: here the probability of the
first class. Accuracies, their difference and the temperature are known exactly; the others from a million images.

Intervals over images take images for independent, which ``several`` are not: there they show what that costs. The
bootstrap's are of every second cohort, and of fewer samples than an evaluation draws, for they are slow. What is
``rejected`` is not printed by the product (``docs/adr/0014-limits-over-patients-by-formula.md``): the bootstrap's
percentiles of an accuracy, and of a difference of two AUCs the deviation that these images show.

``coverage`` is the share of cohorts whose limits hold the truth, among those that have limits (``refused``: the share
that has none, e.g. a temperature where every image is right); ``error`` is 1.96 standard errors of the simulation.
``judged`` is ``below`` or ``above`` where the coverage is outside 93 to 97 % by more than that. ``width`` is the mean
width. Exit code 1 if ``--at-least`` is given and an interval over patients covers less by more than the error, or none
of its cohorts has limits. ``--shrink 0.7`` makes every interval narrower by design: then nearly all must be ``below``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.simulated import IMAGES_A_PATIENT, Cohort, Design, cohort, truths_of

from cxr_core.errors import EvidenceError
from cxr_core.evaluate.arrays import Arrays
from cxr_core.evaluate.differences import difference
from cxr_core.evaluate.drafts import (
    auc,
    brier,
    calibration_error,
    macro_auc,
    mean_fold_accuracy,
    mean_loss,
    proportion,
)
from cxr_core.stats.bootstrap import cluster_replicates, studentised_interval
from cxr_core.stats.clusters import t_quantile
from cxr_core.stats.intervals import Interval
from cxr_core.stats.temperature import fit_temperature, log_losses, temperature_limits

CONFIDENCE = 0.95
BAND = (0.93, 0.97)
Z = 1.96
# The bootstrap judges every so many-th cohort.
EVERY = 2

Over = Literal["images", "patients", "rejected"]
Key = tuple[str, Over]


@dataclass(kw_only=True, slots=True)
class Tally:
    """How an interval fared so far."""

    held: int = 0
    given: int = 0
    refused: int = 0
    widths: list[float] = field(default_factory=list)

    def count(self, limits: Interval | None, truth: float, shrink: float) -> None:
        """Add one cohort's limits, so many times as wide as they are, or that it has none."""
        if limits is None:
            self.refused += 1
            return
        self.given += 1
        middle, half = (limits.low + limits.high) / 2, (limits.high - limits.low) / 2
        # At a factor of 1 the limits themselves, which a rounding error must not move off a truth of 0.
        low, high = (middle - shrink * half, middle + shrink * half) if shrink != 1 else (limits.low, limits.high)
        self.held += low <= truth <= high
        self.widths.append(high - low)


def main(argv: list[str] | None = None) -> int:
    """Simulate, count, and print."""
    options = _options(argv)
    began = time.process_time()
    rows: list[dict[str, Any]] = []
    for accuracy in options.accuracies:
        truths = truths_of(accuracy, np.random.default_rng([options.seed, 0]))
        for images in options.images:
            for patients in IMAGES_A_PATIENT:
                design = Design(images=images, patients=patients, accuracy=accuracy)
                rows += simulate(design, truths, options)
    report = {
        "schema": 1,
        "benchmark": "interval_coverage",
        "settings": {name: getattr(options, name) for name in ("repeats", "resamples", "alike", "shrink", "seed")},
        "processor_seconds": round(time.process_time() - began, 1),
        "rows": rows,
        "ranges": ranges(rows),
    }
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 1 if options.at_least is not None and missed(rows, options.at_least) else 0


def simulate(design: Design, truths: Mapping[str, float], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row an interval: how often it held its truth over the cohorts of a design."""
    kind = list(IMAGES_A_PATIENT).index(design.patients)
    rng = np.random.default_rng([options.seed, design.images, kind, round(1000 * design.accuracy)])
    tallies: dict[Key, Tally] = defaultdict(Tally)
    for number in range(options.repeats):
        made = cohort(design, rng, alike=options.alike)
        found = by_formula(made)
        if number % EVERY == 0:
            found |= by_bootstrap(made, resamples=options.resamples, rng=rng)
        for key, limits in found.items():
            tallies[key].count(limits, truths[key[0]], options.shrink)
    return [
        {"interval": name, "over": over, **asdict(design), **verdict(tally.held, tally.given)}
        | {
            "refused": tally.refused / (tally.refused + tally.given),
            "width": float(np.mean(tally.widths)) if tally.widths else 0.0,
        }
        for (name, over), tally in tallies.items()
    ]


def verdict(held: int, given: int) -> dict[str, Any]:
    """Coverage with its Monte Carlo error, and whether it is outside the band by more than that.

    The error is of (held + 2) of (given + 4), so that it is not 0 where every interval held (Agresti and Coull 1998).
    """
    if given == 0:
        return {"coverage": None, "error": None, "judged": "refused", "cohorts": 0}
    coverage, eased = held / given, (held + 2) / (given + 4)
    error = Z * math.sqrt(eased * (1 - eased) / (given + 4))
    judged = "below" if coverage + error < BAND[0] else "above" if coverage - error > BAND[1] else ""
    return {"coverage": coverage, "error": error, "judged": judged, "cohorts": given}


def ranges(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Lowest and highest coverage of each interval over the designs, and in how many it was judged outside."""
    grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        # Over images only where images are independent, which is all that such an interval says.
        if row["cohorts"] and (row["over"] != "images" or row["patients"] == "single"):
            grouped[f"{row['interval']}, {row['over']}"].append(row)
    return {
        name: {
            "lowest": min(row["coverage"] for row in each),
            "highest": max(row["coverage"] for row in each),
            "below": sum(row["judged"] == "below" for row in each),
            "above": sum(row["judged"] == "above" for row in each),
            "designs": len(each),
        }
        for name, each in grouped.items()
    }


def missed(rows: Sequence[Mapping[str, Any]], mark: float) -> list[Mapping[str, Any]]:
    """The printed intervals over patients that cover less than the mark by more than the error, or never are given."""
    return [
        row
        for row in rows
        if row["over"] == "patients" and (row["coverage"] is None or row["coverage"] + row["error"] < mark)
    ]


def by_formula(made: Cohort) -> dict[Key, Interval | None]:
    """The intervals that a formula gives, as an evaluation prints them."""
    arrays, everyone = made.boastful, np.ones(len(made.boastful.label), dtype=bool)
    share = proportion(arrays.correct, everyone, arrays.patients, confidence=CONFIDENCE)
    areas, means = (
        [of(side) for side in (arrays, made.worse)]
        for of in (
            lambda side: auc(side, 0, confidence=CONFIDENCE),
            lambda side: macro_auc(side, confidence=CONFIDENCE),
        )
    )
    losses = mean_loss(log_losses(arrays.scores), arrays, confidence=CONFIDENCE)
    return {
        ("accuracy", "images"): share.limits,
        ("accuracy", "patients"): share.clustered,
        ("mean_fold_accuracy", "patients"): mean_fold_accuracy(arrays, confidence=CONFIDENCE).clustered,
        ("auc", "images"): areas[0].limits,
        ("auc", "patients"): areas[0].clustered,
        ("auc_difference", "patients"): difference(*areas, arrays.patients, confidence=CONFIDENCE).clustered,
        ("macro_auc", "patients"): means[0].clustered,
        ("macro_auc_difference", "patients"): difference(*means, arrays.patients, confidence=CONFIDENCE).clustered,
        ("calibration_error", "patients"): calibration_error(arrays, confidence=CONFIDENCE).clustered,
        ("sure_calibration_error", "patients"): calibration_error(made.sure, confidence=CONFIDENCE).clustered,
        ("honest_calibration_error", "patients"): calibration_error(made.honest, confidence=CONFIDENCE).clustered,
        ("temperature", "patients"): _temperature(arrays),
        ("brier", "patients"): brier(arrays, confidence=CONFIDENCE).clustered,
        ("log_loss", "patients"): losses.clustered,
    }


def by_bootstrap(made: Cohort, *, resamples: int, rng: np.random.Generator) -> dict[Key, Interval | None]:
    """The intervals that samples of whole patients give, and those that were turned down."""
    arrays, worse = made.boastful, made.worse
    right, less, numbers = arrays.correct.astype(np.float64), worse.correct.astype(np.float64), arrays.scores[:, 0]
    lines = cluster_replicates(
        [str(each) for each in arrays.patients.of],
        [
            lambda drawn: drawn @ (right - less) / drawn.sum(axis=1),
            lambda drawn: drawn @ numbers / drawn.sum(axis=1),
            lambda drawn: drawn @ right / drawn.sum(axis=1),
        ],
        resamples=resamples,
        rng=rng,
    )
    low, high = np.quantile(lines[2], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        ("accuracy_difference", "patients"): _drawn(float((right - less).mean()), lines[0], made),
        ("mean", "patients"): _drawn(float(numbers.mean()), lines[1], made),
        ("accuracy", "rejected"): Interval(low=float(low), high=float(high)),
        ("auc_difference", "rejected"): _plain(made),
    }


def _drawn(value: float, line: NDArray[np.float64], made: Cohort) -> Interval:
    return studentised_interval(value, line, groups=made.boastful.patients.n, confidence=CONFIDENCE)


def _plain(made: Cohort) -> Interval | None:
    """The difference of two AUCs and t times its own deviation over patients."""
    mine, theirs = (auc(side, 0, confidence=CONFIDENCE) for side in (made.boastful, made.worse))
    if mine.value is None or theirs.value is None or mine.influence is None or theirs.influence is None:
        return None
    patients, value = made.boastful.patients, mine.value - theirs.value
    half = t_quantile(CONFIDENCE, patients.n) * math.sqrt(patients.variance(mine.influence - theirs.influence))
    return Interval(low=value - half, high=value + half)


def _temperature(arrays: Arrays) -> Interval | None:
    try:
        found = fit_temperature(arrays.scores, arrays.label)
    except EvidenceError:
        return None
    return temperature_limits(found, arrays.scores, arrays.label, arrays.patients, confidence=CONFIDENCE)


def _table(report: dict[str, Any]) -> str:
    used = report["settings"]
    lines = [
        f"{used['repeats']} cohorts a design, {used['alike']:.0%} of the variance a patient's, seed {used['seed']}; "
        f"bootstrap: every {EVERY}th cohort, {used['resamples']} samples; {report['processor_seconds']} s of processor",
        "",
        f"{'interval':26}{'over':>9}{'images':>8}{'patients':>10}{'accuracy':>10}{'coverage':>10}{'error':>8}"
        f"{'refused':>9}{'width':>8}  outside {BAND[0]:.0%} to {BAND[1]:.0%}",
    ]
    order = sorted(report["rows"], key=lambda row: (row["interval"], row["over"], row["accuracy"]))
    lines += [
        f"{row['interval']:26}{row['over']:>9}{row['images']:8}{row['patients']:>10}{row['accuracy']:10}"
        f"{_share(row['coverage']):>10}{_share(row['error']):>8}{row['refused']:9.1%}"
        f"{row['width']:8.3f}  {row['judged']}"
        for row in order
    ]
    lines += ["", f"{'over all designs':36}{'lowest':>8}{'highest':>9}{'below':>7}{'above':>7}{'designs':>9}"]
    lines += [
        f"{name:36}{each['lowest']:8.1%}{each['highest']:9.1%}{each['below']:7}{each['above']:7}{each['designs']:9}"
        for name, each in report["ranges"].items()
    ]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--repeats", type=int, default=1000, help="cohorts a design")
    parser.add_argument("--images", type=int, nargs="+", default=[60, 300, 781], help="images a cohort")
    parser.add_argument("--accuracies", type=float, nargs="+", default=[0.7, 0.9, 0.97], help="true accuracies")
    parser.add_argument("--resamples", type=int, default=300, help="samples of the bootstrap")
    parser.add_argument("--alike", type=float, default=0.5, help="a patient's share of the variance, in [0, 1]")
    parser.add_argument("--seed", type=int, default=2021, help="of everything")
    parser.add_argument("--shrink", type=float, default=1.0, help="factor on every width, to try the judge")
    parser.add_argument("--at-least", type=float, help="coverage that every interval over patients must reach")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
