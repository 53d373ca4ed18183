import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr_core.classes import CLASSES
from cxr_core.curate.cohort import COHORT_PATH, EXCLUSIONS_PATH, REPORT_PATH, read_cohort, read_exclusions
from cxr_core.curate.report import IDENTIFIABLE, NOT_IDENTIFIABLE, build_report, cohort_digest
from cxr_core.curate.selection import Selection
from cxr_core.curate.stage import run
from cxr_core.errors import CohortError
from cxr_core.files import read_json
from cxr_core.ingest.record import Exclusion, Quarantined
from tests.cxr_core.curate.build import cohort_row, params, record, write_raw

SMALL = params("curate.quota.covid=3", "curate.quota.viral=2", "curate.quota.normal=2")


def records():
    return [
        *(record(f"sirm:caso-0{i}/rx-1.jpg", licence="") for i in range(2)),
        *(record(f"github:images/{i}.png") for i in range(3)),
        record("github:images/lateral.png", view="L"),
        record("github:images/flu.png", finding="Influenza"),
        *(record(f"kaggle:chest_xray/train/{i}.jpeg", finding="virus", view="AP") for i in range(3)),
        *(record(f"rsna:stage_2_train_images/{i}.dcm") for i in range(2)),
        record("kaggle:chest_xray/train/n.jpeg", finding="NORMAL", view="AP"),
        # A byte-duplicate of a SIRM picture.
        record(
            "github:images/copy.png",
            sha256=record("sirm:caso-00/rx-1.jpg").sha256,
            pixel_sha256=record("sirm:caso-00/rx-1.jpg").pixel_sha256,
            patient="0" * 16,
        ),
    ]


@pytest.fixture
def workspace(tmp_path):
    write_raw(
        tmp_path,
        records(),
        exclusions=(
            Exclusion(
                name="github:metadata.csv#9", path="images/x.png", sha256=None, reason="file_missing", detail="-"
            ),
        ),
        quarantine=(
            Quarantined(
                name="kaggle:half.jpeg", path="half.jpeg", sha256="sha256:00", bytes=9, reason="truncated", detail="-"
            ),
        ),
    )
    return tmp_path


def test_cohort_exclusions_and_report_add_up(workspace):
    summary = run(workspace=workspace, params=SMALL)
    rows, left_out = read_cohort(workspace / COHORT_PATH), read_exclusions(workspace / EXCLUSIONS_PATH)
    report = read_json(workspace / REPORT_PATH)
    assert len(rows) + len(left_out) == len(records()) + 2
    assert [row.sha256 for row in rows] == sorted(row.sha256 for row in rows)
    assert report["images"] == len(rows) == 7
    assert report["exclusions"] == {
        "duplicate": 1,
        "file_missing": 1,
        "lateral_view": 1,
        "over_quota": 5,
    }
    assert report["quarantine"] == {"truncated": 1}
    assert sum(report["exclusions"].values()) + sum(report["quarantine"].values()) == len(left_out)
    assert report["cohort"] == "quota"
    assert report["counts"]["viral"] == {"sirm": 0, "github": 1, "rsna": 0, "kaggle": 1}
    assert report["counts"]["normal"] == {"sirm": 0, "github": 0, "rsna": 1, "kaggle": 1}
    assert report["clusters"] == [["github:images/copy.png", "sirm:caso-00/rx-1.jpg"]]
    assert report["sample_size"]["needed"] == {"0.989": 722, "0.5": 16588}
    assert report["synthetic"] is False
    assert 0 < report["cramers_v"] <= 1
    assert summary == {key: report[key] for key in summary}
    assert report["digest"] == cohort_digest(rows)


def test_the_same_records_give_the_same_bytes(workspace):
    def written():
        run(workspace=workspace, params=SMALL)
        return [(workspace / path).read_bytes() for path in (COHORT_PATH, EXCLUSIONS_PATH, REPORT_PATH)]

    assert written() == written()


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_is_as_it_was_also_after_a_refusal(workspace, collecting):
    was_on = gc.isenabled()
    try:
        gc.enable() if collecting else gc.disable()
        run(workspace=workspace, params=SMALL)
        assert gc.isenabled() is collecting
        with pytest.raises(CohortError):
            run(workspace=workspace, params=params())
        assert gc.isenabled() is collecting
    finally:
        gc.enable() if was_on else gc.disable()


def test_a_source_that_was_not_ingested_is_named(workspace):
    (workspace / "data/raw/rsna/records.jsonl").unlink()
    with pytest.raises(CohortError, match="dvc repro ingest@rsna") as caught:
        run(workspace=workspace, params=SMALL)
    assert caught.value.reason == "not_ingested"


def test_thumbnails_of_other_records_are_refused(workspace):
    np.save(workspace / "data/raw/github/thumbnails.npy", np.zeros((2, 64, 64), dtype=np.uint8))
    with pytest.raises(CohortError, match=r"\(6, 64, 64\) of github") as caught:
        run(workspace=workspace, params=SMALL)
    assert caught.value.reason == "damaged_records"


def test_a_refused_quota_leaves_the_cohort_before_it(workspace):
    run(workspace=workspace, params=SMALL)
    before = (workspace / COHORT_PATH).read_bytes()
    with pytest.raises(CohortError):
        run(workspace=workspace, params=params())
    assert (workspace / COHORT_PATH).read_bytes() == before


def described(*rows, quota=None):
    return build_report(
        Selection(rows=tuple(rows), exclusions=(), clusters=()),
        quarantined=[],
        quota=quota or dict.fromkeys(CLASSES),
    )


def test_one_source_tells_nothing_of_association():
    report = described(*(cohort_row(f"kaggle:{label}.jpeg", label=label) for label in CLASSES))
    assert report["cramers_v"] is None
    assert report["verdict"] == IDENTIFIABLE


def test_a_source_a_class_cannot_be_told_apart():
    pairs = zip(CLASSES, ("sirm", "kaggle", "rsna"), strict=True)
    report = described(*(cohort_row(f"{source}:{label}.png", label=label) for label, source in pairs))
    assert report["cramers_v"] == pytest.approx(1)
    assert report["verdict"] == NOT_IDENTIFIABLE
    assert report["shared_sources"] == {"covid-viral": [], "covid-normal": [], "viral-normal": []}


def test_classes_evenly_from_the_same_sources_are_identifiable():
    report = described(
        *(cohort_row(f"{source}:{label}.png", label=label) for label in CLASSES for source in ("github", "kaggle"))
    )
    assert report["cramers_v"] == pytest.approx(0, abs=1e-9)
    assert report["verdict"] == IDENTIFIABLE
    assert set(map(tuple, report["shared_sources"].values())) == {("github", "kaggle")}


def test_two_classes_that_share_no_source_are_not_identifiable_however_weak_the_association():
    rows = [cohort_row("sirm:lonely.png", label="covid")]
    rows += [
        cohort_row(f"{source}:{label}{i}.png", label=label)
        for label in ("viral", "normal")
        for source in ("github", "kaggle")
        for i in range(40)
    ]
    report = described(*rows)
    assert report["shared_sources"]["covid-viral"] == []
    assert report["verdict"] == NOT_IDENTIFIABLE


@pytest.mark.parametrize(
    ("quota", "name"),
    [
        ({"covid": 240, "viral": 274, "normal": 267}, "paper"),
        ({"covid": None, "viral": None, "normal": None}, "whole"),
        ({"covid": 240, "viral": 274, "normal": None}, "quota"),
    ],
)
def test_a_cohort_is_called_by_its_quotas(quota, name):
    assert described(cohort_row("sirm:a.png"), quota=quota)["cohort"] == name


def test_the_quotas_of_params_yaml_are_the_paper_s():
    assert described(cohort_row("sirm:a.png"), quota=params().curate.quota)["cohort"] == "paper"


def test_the_order_of_the_sources_rows_changes_nothing(workspace, tmp_path):
    run(workspace=workspace, params=SMALL)
    other = tmp_path / "other"
    # The same records under names that sort the other way: digests decide what is drawn, names do not.
    renamed = {row.name: f"{row.source}:{999 - i:03}{Path(row.path).suffix}" for i, row in enumerate(records())}
    write_raw(
        other, [replace(row, name=renamed[row.name], path=renamed[row.name].partition(":")[2]) for row in records()]
    )
    run(workspace=other, params=SMALL)
    before, after = (read_cohort(place / COHORT_PATH) for place in (workspace, other))
    assert [(row.sha256, row.label, row.group) for row in before] == [
        (row.sha256, row.label, row.group) for row in after
    ]


def test_the_cohort_digest_names_images_and_labels_and_nothing_else():
    row, other = cohort_row("sirm:a.png"), cohort_row("sirm:b.png")
    assert cohort_digest([row, other]) == cohort_digest([other, row])
    assert cohort_digest([row]) == cohort_digest([cohort_row("sirm:a.png", patient="p", group="g", view="AP")])
    assert cohort_digest([row]) != cohort_digest([cohort_row("sirm:a.png", label="viral")])
    assert cohort_digest([row]) != cohort_digest([cohort_row("sirm:a.png", sha256="sha256:other")])
