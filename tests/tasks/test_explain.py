"""What ``explain`` leaves on a run: panels, and what the maps are worth as JSON, figure and metrics."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import COHORT_PATH, write_cohort
from cxr_core.explain.records import parse_saliency
from cxr_core.files import read_json
from cxr_core.model import checkpoint
from cxr_core.model.network import build
from cxr_core.split.deal import deal
from cxr_core.split.folds import members, read_split, write_split
from tasks.adapters.records import Provenance, RunRecord
from tasks.explain import PICTURES_FILE, SALIENCY_FILE, explain
from tasks.run import Run
from tasks.settings import Home
from tasks.stores import tracker_of
from tasks.trained import PROBABILITIES_FILE, WEIGHTS, Trained
from tests.cxr_core.curate.build import cohort_row, params
from tests.cxr_core.prepare.build import write_store

FOLDS, SIZE, N = 3, 64, 18
PARAMS = params(f"split.folds={FOLDS}", "split.protocol=grouped", f"prepare.size={SIZE}", "explain.panels=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A workspace of patients with two pictures each, dealt; nothing trained."""
    root = tmp_path_factory.mktemp("explain")
    rows = [cohort_row(f"kaggle:{n}", label=CLASSES[n % 3], group=f"{n % 3}-{n // 6}") for n in range(N)]
    (root / COHORT_PATH).parent.mkdir(parents=True)
    write_cohort(root / COHORT_PATH, rows)
    pictures = np.random.default_rng(0).integers(0, 256, (N, SIZE, SIZE), dtype=np.uint8)
    write_store(root, rows, pictures, size=SIZE)
    write_split(root, deal(rows, PARAMS.split))
    workspace: Any = SimpleNamespace(path=root, name="one")
    return Run(id="one", program="test", home=Home(root=root / "home"), workspace=workspace, params=PARAMS)


@pytest.fixture(scope="module")
def explained(run: Run) -> RunRecord:
    """The parent run after ``explain``, with networks that nothing has taught: one seed a fold."""
    tracker, dealt = tracker_of(run.home), read_split(run.path)
    said = Provenance(
        commit="0" * 40, data="sha256:" + "0" * 64, protocol="grouped", synthetic=True, program="test", user="ada"
    )
    folds = []
    for fold in range(FOLDS):
        path = run.path / f"{fold}.safetensors"
        about = checkpoint.About(architecture="resnet34", size=SIZE, precision="fp32")
        checkpoint.save(path, build("resnet34", seed=fold), about)
        with tracker.run(f"fold {fold}", kind="fold", provenance=said) as log:
            log.file(WEIGHTS, path)
            tested = len(members(dealt, fold).test)
            log.json(PROBABILITIES_FILE, [[0.5, 0.3, 0.2]] * tested)
        folds.append(Trained(fold=fold, run_id=log.id, reused=False, key="", epochs=1, n=tested, correct=0))
    with tracker.run("retrain", kind="retrain", provenance=said) as log:
        assert explain.fn(run, log.id, folds) == len(CLASSES)
    return tracker.read(log.id)


def test_panels_figures_and_what_the_maps_are_worth_are_logged(run: Run, explained: RunRecord, tmp_path: Path) -> None:
    figures = {f"figures/gradcam-{name}.png" for name in (*CLASSES, "worth")}
    assert {PICTURES_FILE, SALIENCY_FILE, *figures} <= set(explained.digests)
    saliency = parse_saliency(read_json(tracker_of(run.home).fetch(explained.run_id, SALIENCY_FILE, tmp_path / "s")))
    assert (saliency.images, saliency.groups, saliency.agreement.networks) == (N, N // 2, FOLDS)
    assert saliency.cascade.networks == FOLDS
    assert saliency.cascade.steps[0].stage == "fc"
    # Networks from one distribution as another: no map of theirs survives another draw.
    assert saliency.cascade.verdict != "do not depend on the weights"
    metrics, asked = explained.metrics, {}
    for slug in CLASSES:
        asked[f"lung_share.{slug}"] = saliency.lungs.per_class[slug].share
        asked[f"agreement.unseen.{slug}"] = saliency.agreement.per_class[slug].unseen
    # A class whose maps are all flat has no number, and no point.
    known = {name: one for name, one in asked.items() if one.value is not None}
    assert known
    assert {name for name in asked if f"gradcam.{name}" in metrics} == set(known)
    for name, one in known.items():
        found = [metrics[f"gradcam.{name}{suffix}"] for suffix in ("", ".low", ".high", ".n")]
        assert found == pytest.approx([one.value, one.low, one.high, one.n])
    assert metrics["gradcam.randomised_similarity"] == pytest.approx(saliency.cascade.steps[-1].rank.value)
    assert metrics["gradcam.seconds"] > 0


def test_the_cascade_is_a_curve_of_one_point_a_stage(run: Run, explained: RunRecord) -> None:
    points = tracker_of(run.home).history(explained.run_id, "gradcam.cascade.rank")
    assert [point.step for point in points] == list(range(1, 7))
