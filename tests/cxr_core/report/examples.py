"""Material made by code: predictions, a cohort that fits them, epochs, pictures, a network's outline."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.predictions import Prediction
from cxr_core.params import EvaluateParams
from cxr_core.promote.decision import Decision, Gate, sealed
from cxr_core.report.material import Decided, Material, Origin, Picture
from cxr_core.report.outline import Block, Outline, Stage, Step
from cxr_core.stats.samplesize import samplesize
from cxr_core.train.progress import EpochResult
from tests.cxr_core.evaluate.examples import context, prediction, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=100, seed=7)


def material(*, rows: list[Prediction] | None = None, held_out: int = 30, **changes: Any) -> Material:
    rows = predictions(150, leaking=0.2) if rows is None else rows
    holdout = [
        prediction(90_000 + n, fold=None, label=n % 3, group=f"h{n}", probabilities=rows[n].probabilities)
        for n in range(held_out)
    ]
    evidence = measure(rows, PARAMS, context=context(runs=runs()), holdout=holdout)
    values: dict[str, Any] = {
        "evidence": evidence,
        "predictions": rows,
        "cohort": cohort(rows),
        "histories": histories(),
        "pictures": pictures(rows),
        "randomised_similarity": (0.12, 12),
        "outline": outline(),
        "origin": origin(),
    }
    return Material(**(values | changes))


def cohort(rows: list[Prediction]) -> dict[str, Any]:
    counts = {slug: dict.fromkeys(SOURCES, 0) for slug in CLASSES}
    for row in rows:
        counts[CLASSES[row.label]][row.source] += 1
    groups = len({row.group for row in rows})
    return {
        "schema": 1,
        "digest": "sha256:" + "e" * 64,
        "cohort": "quota",
        "images": len(rows),
        "counts": counts,
        "cramers_v": 0.83,
        "shared_sources": {"covid-viral": [], "covid-normal": ["sirm"], "viral-normal": ["kaggle", "rsna"]},
        "verdict": "class and source cannot be told apart",
        "clusters": [["sirm:a.png", "github:b.png"]],
        "groups": {"n": groups, "largest": 3, "with_several_images": 40},
        "exclusions": {"not_frontal": 12, "no_class": 30, "duplicate": 1},
        "quarantine": {"truncated": 2},
        "provenance": {"covid": {"rt_pcr": 40, "stated": 10}, "viral": {"file_name": 50}, "normal": {"folder": 50}},
        "views": {"github": {"AP": 20, "PA": 30}},
        "licences": {"CC BY 4.0": 100, "not stated": 50},
        "sample_size": {
            "confidence": 0.99,
            "margin": 0.01,
            "found_images": len(rows),
            "found_groups": groups,
            "needed": {str(p): samplesize(confidence=0.99, margin=0.01, p=p) for p in (0.989, 0.5)},
        },
        "synthetic": False,
    }


def histories(folds: int = 5, epochs: int = 10) -> dict[int, list[EpochResult]]:
    rng = np.random.default_rng(3)
    return {
        fold: [
            EpochResult(
                epoch=n,
                train_loss=1.1 / n + rng.uniform(0, 0.05),
                val_loss=1.2 / n + rng.uniform(0, 0.2),
                error_rate=min(1.0, 0.6 / n + rng.uniform(0, 0.1)),
                images_per_second=12.0,
                seconds=40.0,
            )
            for n in range(1, epochs + 1)
        ]
        for fold in range(folds)
    }


def pictures(rows: list[Prediction], per_class: int = 4, side: int = 224) -> list[Picture]:
    rng = np.random.default_rng(5)
    made = []
    for index, slug in enumerate(CLASSES):
        for row in [row for row in rows if row.label == index][:per_class]:
            out = io.BytesIO()
            smooth = np.kron(rng.integers(0, 256, (side // 16, side // 8, 3), dtype=np.uint8), np.ones((16, 16, 1)))
            Image.fromarray(smooth.astype(np.uint8)).save(out, format="PNG")
            made.append(
                Picture(
                    name=row.name,
                    label=slug,
                    predicted=CLASSES[row.predicted],
                    probability=max(row.probabilities),
                    png=out.getvalue(),
                )
            )
    return made


def outline() -> Outline:
    """As ``outline_of`` reads it from a ResNet-18, without torch."""
    sizes = ((64, 112, 9_536), (64, 56, 147_968), (128, 28, 525_568), (256, 14, 2_099_712), (512, 7, 8_393_728))
    names = ("conv1, bn1, relu", "maxpool, layer1", "layer2", "layer3", "layer4")
    stages = [
        Stage(name=name, shape=(channels, side, side), convolutions=4, shortcuts=2, parameters=parameters)
        for name, (channels, side, parameters) in zip(names, sizes, strict=True)
    ]
    stages += [
        Stage(name="avgpool", shape=(512, 1, 1), convolutions=0, shortcuts=0, parameters=0),
        Stage(name="fc", shape=(3,), convolutions=0, shortcuts=0, parameters=1_539),
    ]
    convolution = Step(kind="3 × 3 convolution, 64", parameters=36_864)
    norm, relu = Step(kind="batch normalisation", parameters=128), Step(kind="ReLU", parameters=0)
    block = Block(
        name="layer1.0", main=(convolution, norm, relu, convolution, norm), shortcut=(), join="+", after=(relu,)
    )
    return Outline(
        architecture="resnet18",
        input=(3, 224, 224),
        stages=tuple(stages),
        block=block,
        parameters=11_178_051,
        weighted_layers=18,
        features="layer4",
        classes=3,
    )


def runs(folds: int = 5) -> dict[str, str]:
    return {"parent": "1f" * 16, "refit": "ab" * 16, **{f"fold-{n}": f"{n}c" * 16 for n in range(folds)}}


def origin() -> Origin:
    return Origin(
        run="1f" * 16,
        name="retrain 20261123-041200-9f3a",
        started="2026-11-23T04:12:00+00:00",
        data="sha256:" + "d" * 64,
        program="cxr retrain",
        params={"train.architecture": "resnet18", "train.epochs": "10", "split.protocol": "paper"},
        initial_weights={"fold-0": "imagenet resnet18", "refit": "imagenet resnet18"},
        precision="fp32",
        seconds={"fold-0": 300.0, "refit": 400.0},
        software={"Python": "3.11.7", "torch": "2.13.0"},
        machine={"processor": "two cores"},
    )


def decided(outcome: str = "refused") -> Decided:
    gate = {"wanted": 0.55, "found": 0.4, "passed": outcome != "refused", "why": "The lower limit of accuracy is 0.4."}
    decision = Decision(
        schema=1,
        outcome=outcome,
        model="cxr-resnet34",
        candidate=None,
        champion=None,
        evidence="sha256:" + "1" * 64,
        champion_evidence=None,
        comparison=None,
        policy="sha256:" + "2" * 64,
        synthetic=False,
        trained_by="ada",
        approved_by="",
        gates=(Gate(name="accuracy", **gate),),
        reasons=(gate["why"],) if outcome == "refused" else (),
        digest="",
    )
    return Decided(decision=sealed(decision), version="3", ledger="ledger event 7, 2026-11-23, by ada")
