"""``cxr trace``: from the model that serves to the bytes of every image, in every copy there is."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxr_core.classes import CLASSES, SOURCES
from tests.walk import FOLDS, QUOTA, Ended, Place, Retrained, flip

IMAGE_KEYS = {"name", "source", "sha256", "source_sha256", "label", "label_provenance", "group", "fold"}


@pytest.fixture
def traced(promoted: Retrained, verb: Callable[..., Ended]) -> Ended:
    return verb(promoted.place, "trace", "models:/cxr-resnet34@champion", "--json")


@pytest.fixture(scope="module")
def own(promoted: Retrained, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A copy to break and mend."""
    return promoted.place.copy(tmp_path_factory.mktemp("own"))


def failing(report: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in report["checks"] if not check["ok"]}


def test_a_trace_names_model_run_commit_data_images_and_checks(traced: Ended, promoted: Retrained) -> None:
    report = traced.report
    assert traced.code == 0
    assert set(report) == {"ok", "model", "run", "commit", "data", "images", "checks"}
    assert report["model"] == "models:/cxr-resnet34/2"
    assert report["run"] == promoted.report["run"]
    assert report["commit"] == promoted.report["commit"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", report["data"])
    assert all(set(check) == {"name", "ok", "detail"} and check["ok"] for check in report["checks"])
    assert {"weights", "evidence", "ledger", "copies: remote", "copies: cache", "copies: workspace retrain-1"} <= {
        check["name"] for check in report["checks"]
    }


def test_each_image_has_source_digest_label_provenance_group_and_fold(traced: Ended) -> None:
    images = traced.report["images"]
    assert all(set(image) == IMAGE_KEYS for image in images)
    assert Counter(image["label"] for image in images) == dict.fromkeys(CLASSES, QUOTA)
    assert {image["source"] for image in images} == set(SOURCES)
    assert {image["fold"] for image in images} == set(range(FOLDS))
    assert all(image["name"].startswith(f"{image['source']}:") for image in images)
    assert all(image["label_provenance"] and image["group"] for image in images)


def test_each_digest_is_that_of_the_file_at_the_source_and_of_the_one_kept(traced: Ended, promoted: Retrained) -> None:
    for image in traced.report["images"]:
        source, path = image["name"].split(":", 1)
        content = (promoted.place.sources / source / path).read_bytes()
        assert image["source_sha256"] == f"sha256:{hashlib.sha256(content).hexdigest()}", image["name"]
        kept = (promoted.place.workspace / "data/raw" / source / "files" / path).read_bytes()
        assert image["sha256"] == f"sha256:{hashlib.sha256(kept).hexdigest()}", image["name"]
        # Of a DICOM file another one of the same picture is kept, without the patient.
        assert (image["sha256"] == image["source_sha256"]) == (source != "rsna")


def test_a_patient_is_shown_as_a_digest_never_by_name(traced: Ended, promoted: Retrained) -> None:
    with (promoted.place.sources / "github/metadata.csv").open(encoding="utf-8") as file:
        patients = {row["patientid"] for row in csv.DictReader(file)}
    assert patients
    assert not patients & {image["group"] for image in traced.report["images"]}


def test_one_flipped_byte_in_a_raw_file_fails_the_command_and_names_the_file(
    own: Place, verb: Callable[..., Ended]
) -> None:
    name, path = an_image(own)
    flip(own.workspace / path)
    broken = verb(own, "trace", "--json")
    flip(own.workspace / path)
    mended = verb(own, "trace", "--json")
    assert broken.code == 1
    assert list(failing(broken.report)) == ["copies: workspace retrain-1"]
    assert name in failing(broken.report)["copies: workspace retrain-1"]
    assert (mended.code, failing(mended.report)) == (0, {})


@pytest.mark.parametrize("copy", ["cache", "remote"])
def test_one_flipped_byte_in_an_object_names_the_image_behind_it(
    own: Place, copy: str, stand: Callable[[Place], Place]
) -> None:
    from tasks.audit import trace_model

    stand(own)
    name, path = an_image(own)
    md5 = hashlib.md5((own.workspace / path).read_bytes(), usedforsecurity=False).hexdigest()
    file = own.home / "dvc" / copy / "files/md5" / md5[:2] / md5[2:]
    flip(file)
    broken = trace_model(None)
    flip(file)
    assert broken["ok"] is False
    assert list(failing(broken)) == [f"copies: {copy}"]
    assert name in failing(broken)[f"copies: {copy}"]
    assert trace_model(None)["ok"] is True


def test_a_model_without_a_trace_is_refused_with_what_there_is(own: Place, verb: Callable[..., Ended]) -> None:
    ended = verb(own, "trace", "models:/cxr-resnet34/9", "--json")
    assert ended.code == 1
    assert ended.report["error"]["reason"] == "version_missing"
    assert "Versions: 2, 1" in ended.report["error"]["message"]


def test_in_words_a_trace_shows_each_check_and_the_images_by_source_and_class(
    own: Place, verb: Callable[..., Ended]
) -> None:
    ended = verb(own, "trace")
    assert ended.code == 0
    for word in (*SOURCES, "COVID-19", "copies: remote", f"holds  {QUOTA * len(CLASSES)} images"):
        assert word in ended.out


def an_image(place: Place) -> tuple[str, Path]:
    """An image of the cohort and its file in a workspace."""
    with (place.workspace / "data/cohort/cohort.csv").open(encoding="utf-8") as file:
        name = next(csv.DictReader(file))["name"]
    source, path = name.split(":", 1)
    return name, Path("data/raw", source, "files", path)
