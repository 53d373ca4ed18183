"""A registered model says what it sees in files; a file that cannot be used says why and costs no other its row."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.walk import Ended, Retrained

Verb = Callable[..., Ended]


@pytest.fixture
def files(first: Retrained, tmp_path: Path) -> Path:
    """Two JPEGs and a DICOM."""
    folder, sources = tmp_path / "files", first.place.sources
    folder.mkdir()
    for number, path in enumerate(sorted((sources / "sirm").rglob("*.jpg"))[:2]):
        shutil.copyfile(path, folder / f"film-{number}.jpg")
    shutil.copyfile(min((sources / "rsna").rglob("*.dcm")), folder / "film.dcm")
    return folder


def test_files_of_every_kind_get_probabilities_and_maps(
    first: Retrained, verb: Verb, files: Path, tmp_path: Path
) -> None:
    ended = verb(first.place, "predict", str(files), "--model", "1", "--explain", str(tmp_path / "maps"), "--json")
    assert ended.code == 0, ended.err
    report = ended.report
    assert [Path(row["file"]).name for row in report["images"]] == ["film-0.jpg", "film-1.jpg", "film.dcm"]
    for row in report["images"]:
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].__getitem__)
        with Image.open(row["map"]) as picture:
            assert picture.size == (64, 32)  # the image, and beside it the same under its map


def test_a_broken_file_is_refused_by_name_beside_the_others_rows(first: Retrained, verb: Verb, files: Path) -> None:
    broken = files / "film-0.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    ended = verb(first.place, "predict", str(broken), str(files / "film-1.jpg"), "--json")
    assert ended.code == 1
    one, other = json.loads(ended.out)["images"]
    assert one["error"]["reason"] == "truncated"
    assert "probabilities" not in one
    assert other["label"] in other["probabilities"]
    words = verb(first.place, "predict", str(broken), str(files / "film-1.jpg"))
    assert "refused" in words.out
    assert "film-0.jpg" in words.out


def test_what_is_not_there_is_said_before_a_model_is_loaded(first: Retrained, verb: Verb, tmp_path: Path) -> None:
    absent = verb(first.place, "predict", str(tmp_path / "no.png"), "--json")
    assert (absent.code, absent.report["error"]["reason"]) == (1, "file_not_found")
    empty = verb(first.place, "predict", str(tmp_path), "--json")
    assert (empty.code, empty.report["error"]["reason"]) == (1, "no_image_file")
