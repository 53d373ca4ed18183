"""How folds of whole groups hold when one image is added, and how evenly they share the classes: three ways, one run.

    python benchmarks/split_stability.py [--json] [--images 781] [--folds 5] [--cohorts 5] [--additions 30]

Every way deals the same seeded cohorts of the paper's mix of classes and sources, with patients of one to five images:

- ours: ``cxr_core.split.stratified``, rendezvous hashing with bounded loads;
- arcs: each class and source laid round a circle in the order of a hash and cut into equal arcs;
- scikit_learn: ``StratifiedGroupKFold`` with ``shuffle``, rows in the order of their digests.

Then each cohort is dealt again with one image more, of a patient there is or of a new one, as often as ``--additions``
says. ``changed`` is the share of the old images whose fold is another; ``deviation`` the largest distance of a class's
share in a fold from its share in the cohort; seconds are medians of one deal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cxr_core.classes import CLASSES, ClassSlug, Source
from cxr_core.curate.cohort import CohortRow
from cxr_core.digests import digest_bytes
from cxr_core.split.stratified import into_folds

OURS = "ours"
# Images by class and source, as a cohort of the paper's size comes out of the four.
MIX: dict[tuple[ClassSlug, Source], int] = {
    ("covid", "sirm"): 50,
    ("covid", "github"): 190,
    ("viral", "kaggle"): 250,
    ("viral", "github"): 24,
    ("normal", "rsna"): 130,
    ("normal", "kaggle"): 130,
    ("normal", "github"): 7,
}
IMAGES_A_PATIENT = (1, 1, 1, 1, 2, 2, 3, 5)

Folds = np.ndarray[Any, np.dtype[np.int64]]
Way = Callable[[Sequence[CohortRow], int], Folds]


def main(argv: list[str] | None = None) -> int:
    """Deal, add, deal again, and print."""
    options = _options(argv)
    ways: dict[str, Way] = {OURS: ours, "arcs": arcs, "scikit_learn": scikit_learn}
    changed: dict[str, list[float]] = defaultdict(list)
    deviation: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for seed in range(options.cohorts):
        rows = cohort(options.images, seed=seed)
        for name, way in ways.items():
            way(rows, options.folds)  # warm-up
            began = time.perf_counter()
            before = way(rows, options.folds)
            seconds[name].append(time.perf_counter() - began)
            deviation[name].append(_deviation(rows, before, options.folds))
            for number in range(options.additions):
                after = way([*rows, one_more(rows, seed=f"{seed} {number}")], options.folds)
                changed[name].append(float((before != after[:-1]).mean()))
    report = {
        "schema": 1,
        "benchmark": "split_stability",
        "settings": {name: getattr(options, name) for name in ("images", "folds", "cohorts", "additions")},
        "changed": {name: {"mean": statistics.mean(each), "max": max(each)} for name, each in changed.items()},
        "deviation": {name: {"mean": statistics.mean(each), "max": max(each)} for name, each in deviation.items()},
        "seconds": {name: statistics.median(each) for name, each in seconds.items()},
    }
    report["ratios"] = {
        f"{what}_{name}_to_ours": round(_ratio(report[what][name]["mean"], report[what][OURS]["mean"]), 2)
        for what in ("changed", "deviation")
        for name in ways
        if name != OURS
    }
    print(json.dumps(report, indent=2) if options.json else _table(report))
    return 0


def cohort(images: int, *, seed: int) -> list[CohortRow]:
    """About so many images in the paper's mix, patient by patient."""
    rng, rows = random.Random(seed), []
    for (label, source), share in MIX.items():
        number, wanted = 0, max(1, round(share * images / sum(MIX.values())))
        while number < wanted:
            patient = f"{seed}:{source}:{label}:{number}"
            for _ in range(min(wanted - number, rng.choice(IMAGES_A_PATIENT))):
                rows.append(_row(source, label, patient, f"{patient}:{number}"))
                number += 1
    return rows


def one_more(rows: Sequence[CohortRow], *, seed: str) -> CohortRow:
    """An image like one there is, two in five times of the same patient."""
    rng = random.Random(seed)
    like = rng.choice(rows)
    return _row(like.source, like.label, like.group if rng.random() < 0.4 else f"new {seed}", f"new {seed}")


def ours(rows: Sequence[CohortRow], folds: int) -> Folds:
    """What ``split.protocol: grouped`` does."""
    return into_folds(rows, folds=folds, words="grouped:2021")


def arcs(rows: Sequence[CohortRow], folds: int) -> Folds:
    """Each class and source once round a circle, every group as long as it has images; equal arcs are folds."""
    strata: dict[tuple[str, str], list[tuple[int, list[int]]]] = defaultdict(list)
    for numbers in _groups(rows):
        counts = Counter((rows[number].label, rows[number].source) for number in numbers)
        order = min(_hash(f"arcs:{rows[number].sha256}") for number in numbers)
        strata[min(counts, key=lambda each: (-counts[each], each))].append((order, numbers))
    fold = np.empty(len(rows), dtype=np.int64)
    for stratum, groups in strata.items():
        turn = 2 * sum(len(numbers) for _, numbers in groups)
        # The same fraction of the turn, however long it is.
        at = _hash(f"begins:{stratum}") * turn >> 256
        for _, numbers in sorted(groups):
            fold[numbers] = (at + len(numbers)) % turn * folds // turn
            at += 2 * len(numbers)
    return fold


def scikit_learn(rows: Sequence[CohortRow], folds: int) -> Folds:
    """``StratifiedGroupKFold``; a stratum too small for every fold joins the class's largest."""
    sizes = Counter((row.label, row.source) for row in rows)
    largest = {label: max((n, source) for (of, source), n in sizes.items() if of == label)[1] for label in CLASSES}
    order = sorted(range(len(rows)), key=lambda row: rows[row].sha256)
    strata = [
        f"{row.label}:{row.source if sizes[row.label, row.source] >= folds else largest[row.label]}"
        for row in (rows[number] for number in order)
    ]
    numbers: dict[str, int] = {}
    groups = [numbers.setdefault(rows[number].group, len(numbers)) for number in order]
    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=2021)
    fold = np.empty(len(rows), dtype=np.int64)
    with warnings.catch_warnings():
        # It warns of strata with fewer groups than folds; a small benchmark has some.
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, test) in enumerate(dealer.split(np.zeros(len(rows)), strata, groups)):
            fold[[order[row] for row in test]] = number
    return fold


def _groups(rows: Sequence[CohortRow]) -> list[list[int]]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        members[row.group].append(number)
    return [*members.values()]


def _row(source: Source, label: ClassSlug, group: str, name: str) -> CohortRow:
    facts: dict[str, Any] = dict.fromkeys(CohortRow.__dataclass_fields__, "")
    digest = digest_bytes(name.encode())
    own: dict[str, Any] = {"name": name, "source": source, "label": label, "group": group, "sha256": digest}
    return CohortRow(**(facts | own | {"age_years": None, "synthetic": True}))


def _deviation(rows: Sequence[CohortRow], fold: Folds, folds: int) -> float:
    counts = np.zeros((len(CLASSES), folds))
    np.add.at(counts, ([CLASSES.index(row.label) for row in rows], fold), 1)
    shares = counts / np.maximum(1, counts.sum(axis=0))
    return float(np.abs(shares - (counts.sum(axis=1) / len(rows))[:, None]).max())


def _ratio(value: float, base: float) -> float:
    return value / base if base else 0.0


def _hash(words: str) -> int:
    return int.from_bytes(hashlib.sha256(words.encode()).digest())


def _table(report: dict[str, Any]) -> str:
    used = report["settings"]
    lines = [
        f"{used['images']} images, {used['folds']} folds, {used['cohorts']} cohorts, {used['additions']} additions",
        "",
        f"{'':14}{'changed, mean':>15}{'worst':>9}{'deviation, mean':>18}{'worst':>9}{'seconds':>10}",
    ]
    for name in report["seconds"]:
        changed, deviation = report["changed"][name], report["deviation"][name]
        lines.append(
            f"{name:14}{changed['mean']:15.2%}{changed['max']:9.2%}{deviation['mean']:18.2%}{deviation['max']:9.2%}"
            f"{report['seconds'][name]:10.3f}"
        )
    return "\n".join(lines)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=781, help="images a cohort, about")
    parser.add_argument("--folds", type=int, default=5, help="folds")
    parser.add_argument("--cohorts", type=int, default=5, help="cohorts")
    parser.add_argument("--additions", type=int, default=30, help="images added to each, one at a time")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
