"""Images from elsewhere: figures of the registered model on them alone, bound to every file by digests."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from numpy.typing import NDArray

from cxr_core.classes import CLASSES
from cxr_core.curate.external import ExternalImage, Labelled, LeftOut
from cxr_core.digests import digest_bytes
from cxr_core.errors import EvidenceError
from cxr_core.evaluate.evidence import measure
from cxr_core.evaluate.external import external_csv, external_figures, external_predictions
from cxr_core.evaluate.predictions import digest_predictions
from cxr_core.evaluate.schema import evidence_json, parse_evidence
from cxr_core.evaluate.tables import figures_markdown, flat_metrics
from cxr_core.params import EvaluateParams
from tests.cxr_core.evaluate.examples import context, predictions

PARAMS = EvaluateParams(confidence=0.95, bootstrap=200, seed=1)
LEFT = [
    LeftOut(path="covid/z.png", reason="in_cohort", detail="Same X-ray as github:a.png.", sha256="sha256:" + "f" * 64),
    LeftOut(path="gone.png", reason="file_missing", detail="=1+1"),
]


def images(n: int = 30) -> list[ExternalImage]:
    return [
        ExternalImage(
            of=Labelled(
                path=f"{CLASSES[number % 3]}/{number:02d}.png",
                sha256=digest_bytes(f"file {number}".encode()),
                label=CLASSES[number % 3],
                patient="",
                view="PA",
                sex="",
                age_years=None,
            ),
            sha256=digest_bytes(f"kept {number}".encode()),
            pixel_sha256=digest_bytes(f"pixels {number}".encode()),
            group=f"g{number // 2}",
        )
        for number in range(n)
    ]


def scores(n: int = 30) -> NDArray[np.float64]:
    raw = np.random.default_rng(3).random((n, 3)) + np.eye(3)[np.arange(n) % 3]
    return raw / raw.sum(axis=1, keepdims=True)


def test_the_table_names_every_file_once_used_or_not() -> None:
    rows = list(csv.DictReader(io.StringIO(external_csv("hospital", images(), LEFT))))
    assert [row["name"] for row in rows] == sorted(
        f"hospital:{path}" for path in [*(each.of.path for each in images()), "covid/z.png", "gone.png"]
    )
    assert {row["name"]: row["used"] for row in rows if row["used"] != "yes"} == {
        "hospital:covid/z.png": "in_cohort",
        "hospital:gone.png": "file_missing",
    }
    assert {row["sha256"] for row in rows if row["used"] == "yes"} == {each.of.sha256 for each in images()}
    assert external_csv("hospital", images()[::-1], LEFT[::-1]) == external_csv("hospital", images(), LEFT)


def test_figures_are_counted_on_the_set_and_stand_in_the_evidence_alone() -> None:
    table = external_csv("hospital", images(), LEFT)
    said = external_predictions("hospital", images(), scores())
    one = external_figures(table, said, LEFT, PARAMS)
    assert (one.people.n, one.people.groups) == (30, 15)
    assert one.people.accuracy.k == sum(row.correct for row in said)
    assert one.people.mean_fold_accuracy.value is None
    assert one.left_out == {"file_missing": 1, "in_cohort": 1}
    assert (one.images, one.predictions) == (digest_bytes(table.encode()), digest_predictions(said))

    tested = predictions(60)
    without = measure(tested, PARAMS, context=context())
    evidence = measure(tested, PARAMS, context=context(), external={"hospital": one})
    assert parse_evidence(evidence_json(evidence)) == evidence
    assert (evidence.all, evidence.leak_free) == (without.all, without.leak_free)
    assert evidence.digest != without.digest
    metrics = flat_metrics(evidence)
    assert metrics["external.hospital.accuracy"] == one.people.accuracy.value
    assert metrics["external.hospital.accuracy.n"] == 30
    assert "images of hospital, by the registered model" in figures_markdown(evidence)
    assert "hospital" not in figures_markdown(without)


def test_probabilities_of_other_images_are_refused() -> None:
    with pytest.raises(EvidenceError) as caught:
        external_predictions("hospital", images(), scores(29))
    assert caught.value.reason == "length_mismatch"
    with pytest.raises(EvidenceError) as caught:
        external_figures("", [], LEFT, PARAMS)
    assert caught.value.reason == "no_predictions"
