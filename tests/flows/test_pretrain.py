"""A backbone is trained outside the cohort, a retrain starts from it, and one that has seen the cohort is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxr_core.curate.cohort import COHORT_PATH, read_cohort
from cxr_core.curate.outside import read_outside
from cxr_core.errors import WeightsError
from tasks.data import DataVersion
from tasks.plan import make_plan
from tasks.pretrain import plan_pretraining, pretrain_backbone, register_backbone
from tasks.run import Run, open_run
from tasks.stores import BACKBONE, BACKBONE_IMAGES, check_initial_weights, initial_weights, registry_of, tracker_of
from tests.walk import Place, Retrained

SETTINGS = ("pretrain.validation=0.4", "train.weights=none")


@pytest.fixture
def own(first: Retrained, tmp_path: Path, stand: Callable[[Place], Place]) -> Place:
    return stand(first.place.copy(tmp_path))


def _pretrained(run: Run, commit: str) -> tuple[str, str]:
    data = DataVersion(commit=commit, digest="sha256:" + "0" * 64)
    plan = plan_pretraining.fn(run)
    trained = pretrain_backbone.fn(run, plan, data)
    assert not set(plan.train) & set(plan.validation)
    version = register_backbone.fn(run, trained, data, "newest")
    assert pretrain_backbone.fn(run, plan, data).run_id == trained.run_id
    assert register_backbone.fn(run, trained, data, "champion").version == version.version
    return trained.run_id, version.tags["cxr.weights"]


def test_a_backbone_from_outside_starts_a_retrain_and_is_refused_where_it_has_seen_the_cohort(
    first: Retrained, own: Place, tmp_path: Path
) -> None:
    with open_run((*own.settings, *SETTINGS), program="cxr pretrain", folder=None, unpinned=False) as run:
        run_id, weights = _pretrained(run, first.report["commit"])
        images = read_outside(tracker_of(run.home).fetch(run_id, BACKBONE_IMAGES, tmp_path / BACKBONE_IMAGES))
        cohort = read_cohort(run.path / COHORT_PATH)
        for name in ("name", "sha256", "pixel_sha256", "group", "patient"):
            assert not {getattr(row, name) for row in images} & {getattr(row, name) for row in cohort}
    start = f"train.weights=registry:{BACKBONE}@champion"
    with open_run((*own.settings, start), program="cxr retrain", folder=None, unpinned=False) as run:
        assert make_plan(run).refit.parts["weights"] == f"checkpoint:{weights}"
        assert initial_weights(run)(f"{BACKBONE}@newest").is_file()
        # As when a larger quota takes in what was left over.
        path = run.path / COHORT_PATH
        path.write_text(path.read_text(encoding="utf-8").replace(cohort[0].patient, images[0].patient))
        with pytest.raises(WeightsError) as caught:
            check_initial_weights(run)
    assert caught.value.reason == "weights_saw_cohort"
    assert registry_of(run.home).aliases(BACKBONE) == {"champion": 1, "newest": 1}
