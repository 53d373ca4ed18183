"""Whether the controls find a mark planted in a corner of one class's films, and stay silent where there is none.

    python benchmarks/planted_shortcut.py [--json] [--seeds 20] [--images 60] [--folds 3] [--epochs 10] [--size 48]
        [--share 1]

Each seed draws phantoms of one source (so that class and source have nothing to do with each other), of patients with
one to three films, deals them into grouped folds and trains a small network a fold, twice: on the films as they are
(``clean``), and with a bright mark burnt into a corner of every film of one class (``marked``). Class, corner, form (a
letter L or a square) and size of the mark are the seed's. What is asked is the product's own: ``measure_controls``, its
verdicts, and the gates of mlflow/promotion_policy.yaml.

``flagged``: a control calls the marked class a shortcut, and its gate refuses the model. ``false_alarm``: a control
calls any class of the clean films one. Networks that prove nothing are refused as well, and rightly, but are no
shortcut: ``refused`` names the gates of picture controls that did not pass, whatever the reason. AUCs are of the marked
class. Exit code 1 unless every marked seed is flagged and no clean one alarms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.small_study import Films, draw, small_training, trained

from cxr_core.classes import CLASSES, ClassSlug
from cxr_core.curate.cohort import CohortRow
from cxr_core.evaluate.control_contests import shortcuts
from cxr_core.evaluate.controls import measure_controls
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.proofs import Controls
from cxr_core.evaluate.schema import Context
from cxr_core.imaging.geometry import resize
from cxr_core.params import EvaluateParams, SplitParams, TrainParams
from cxr_core.promote.control_gates import control_gates
from cxr_core.promote.policy import read_policy
from cxr_core.split.deal import deal
from cxr_core.split.folds import Split

POLICY = Path(__file__).resolve().parents[1] / "mlflow/promotion_policy.yaml"
PICTURES = ("rim", "blanked", "thumbnails")
WHITE, BLACK = 250, 5
SIDES, OFFSETS = (0.06, 0.09), (0.02, 0.04)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """What is burnt in: lengths as shares of the film's height."""

    slug: ClassSlug
    letter: bool
    right: bool
    bottom: bool
    side: float
    offset: float

    @classmethod
    def drawn(cls, seed: int) -> Mark:
        """A seed's mark; classes take turns."""
        rng = np.random.default_rng([seed, 1])
        return cls(
            slug=CLASSES[seed % len(CLASSES)],
            letter=bool(rng.random() < 0.5),
            right=bool(rng.random() < 0.5),
            bottom=bool(rng.random() < 0.5),
            side=float(rng.uniform(*SIDES)),
            offset=float(rng.uniform(*OFFSETS)),
        )

    def burnt(self, film: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The film with the mark: uint8 (H, W)."""
        height, width = film.shape
        side, offset = max(3, round(self.side * height)), round(self.offset * height)
        top = height - offset - side if self.bottom else offset
        left = width - offset - side if self.right else offset
        marked = film.copy()
        # On a dark plate, as labels are: white alone is no mark where the film is white.
        plate = max(1, side // 4)
        marked[max(0, top - plate) : top + side + plate, max(0, left - plate) : left + side + plate] = BLACK
        if self.letter:
            stroke = max(1, side // 3)
            marked[top : top + side, left : left + stroke] = WHITE
            marked[top + side - stroke : top + side, left : left + side] = WHITE
        else:
            marked[top : top + side, left : left + side] = WHITE
        return marked


def main(argv: list[str] | None = None) -> int:
    """Plant, train, ask, and print."""
    options = _options(argv)
    began, rows = time.process_time(), []
    for seed in range(options.first, options.first + options.seeds):
        rows += study(seed, options)
        if not options.json:
            print(_line(rows[-2]), _line(rows[-1]), sep="\n", flush=True)
    report = {
        "schema": 1,
        "benchmark": "planted_shortcut",
        "settings": {
            name: getattr(options, name) for name in ("seeds", "first", "images", "folds", "epochs", "size", "share")
        },
        "processor_seconds": round(time.process_time() - began, 1),
        **summary(rows),
        "rows": rows,
    }
    report["ok"] = report["flagged"] == options.seeds and report["false_alarms"] == 0
    print(json.dumps(report, indent=2) if options.json else _words(report))
    return 0 if report["ok"] else 1


def study(seed: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One seed: what came of the clean films, and of the marked ones."""
    drawn, mark = draw(seed, images=options.images), Mark.drawn(seed)
    dealt = deal(drawn.rows, SplitParams(protocol="grouped", folds=options.folds, holdout=0.0, seed=seed))
    train = small_training(seed=seed, epochs=options.epochs)
    return [
        {"seed": seed, "marked": planted is not None, "class": mark.slug}
        | asked(drawn.rows, store(drawn, planted, options, seed=seed), dealt, mark.slug, train)
        for planted in (None, mark)
    ]


def store(drawn: Films, mark: Mark | None, options: argparse.Namespace, *, seed: int) -> NDArray[np.uint8]:
    """What networks and controls read, uint8 (N, S, S); with a mark, the asked share of its class's films has it."""
    chosen = np.random.default_rng([seed, 2]).random(len(drawn.rows)) < options.share
    return np.stack(
        [
            resize(mark.burnt(film) if mark is not None and row.label == mark.slug and has else film, options.size)
            for row, film, has in zip(drawn.rows, drawn.films, chosen.tolist(), strict=True)
        ]
    )


def asked(
    rows: Sequence[CohortRow], images: NDArray[np.uint8], dealt: Split, slug: ClassSlug, train: TrainParams
) -> dict[str, Any]:
    """Train the folds, run every control, and say what policy and verdicts make of it."""
    evaluate = EvaluateParams(confidence=0.95, bootstrap=1000, seed=train.seed)
    predictions, looks = trained(rows, images, dealt, train)
    controls = measure_controls(images, dealt, predictions, looks, evaluate)
    evidence = measure(predictions, evaluate, context=_CONTEXT, controls=controls)
    wanted = {f"control.{name}" for name in PICTURES}
    gates = control_gates(evidence, read_policy(POLICY.read_text(encoding="utf-8")))
    return {
        "shortcuts": {each.name: list(shortcuts(each)) for each in controls.pictures if each.verdict == "shortcut"},
        "verdicts": {each.name: each.verdict for each in controls.pictures},
        "refused": [gate.name for gate in gates if gate.name in wanted and not gate.passed],
        "auc": _areas(controls, slug),
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts over the seeds, and how strong networks and controls were."""
    marked, clean = ([row for row in rows if row["marked"] is planted] for planted in (True, False))
    return {
        "flagged": sum(_flagged(row) for row in marked),
        "false_alarms": sum(bool(row["shortcuts"]) for row in clean),
        "clean_verdicts": {
            name: {
                verdict: sum(row["verdicts"][name] == verdict for row in clean)
                for verdict in ("beaten", "nothing proven", "shortcut")
            }
            for name in PICTURES
        },
        "median_auc": {
            kind: {name: round(statistics.median(row["auc"][name] for row in those), 3) for name in those[0]["auc"]}
            for kind, those in (("clean", clean), ("marked", marked))
        },
    }


def _flagged(row: dict[str, Any]) -> bool:
    return any(
        row["class"] in found and f"control.{name}" in row["refused"] for name, found in row["shortcuts"].items()
    )


def _areas(controls: Controls, slug: ClassSlug) -> dict[str, float]:
    contests = {each.name: each.per_class[slug] for each in controls.pictures}
    areas = {"networks": contests["rim"].network.value} | {
        name: contest.control.value for name, contest in contests.items()
    }
    return {name: round(area, 3) for name, area in areas.items() if area is not None}


_CONTEXT = Context(
    cohort="",
    split="",
    protocol="grouped",
    synthetic=True,
    weights=None,
    commit="",
    trained_by="benchmark",
    runs={},
)


def _line(row: dict[str, Any]) -> str:
    verdicts = ", ".join(f"{name} {verdict}" for name, verdict in row["verdicts"].items())
    areas = ", ".join(f"{name} {area:.2f}" for name, area in row["auc"].items())
    return f"seed {row['seed']:2} {'marked' if row['marked'] else 'clean':6} {row['class']:6}  {verdicts}; AUC {areas}"


def _words(report: dict[str, Any]) -> str:
    seeds = report["settings"]["seeds"]
    return (
        f"flagged {report['flagged']} of {seeds} marked, {report['false_alarms']} of {seeds} clean; "
        f"{report['processor_seconds']} s of processor"
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--images", type=int, default=60, help="films a class")
    parser.add_argument("--folds", type=int, default=3, help="folds of patients")
    parser.add_argument("--epochs", type=int, default=10, help="epochs a fold")
    parser.add_argument("--size", type=int, default=48, help="side of the network's input, pixels")
    parser.add_argument("--share", type=float, default=1.0, help="share of the class's films that carry the mark")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
