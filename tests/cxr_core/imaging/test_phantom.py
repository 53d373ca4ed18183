"""Phantoms: the published layouts and their defects, the asked number of distinct X-rays, the same bytes each time."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cxr_core.classes import CLASSES, SOURCES
from cxr_core.digests import digest_file
from cxr_core.errors import CohortError, SettingError
from cxr_core.imaging.decode import decode
from cxr_core.imaging.hashing import perceptual_hash, thumbnail
from cxr_core.imaging.phantom import MIN_IMAGES, write_sources
from cxr_core.imaging.phantom_defects import DefectKind
from cxr_core.imaging.phantom_studio import Studio

IMAGES = {"covid": 7, "viral": 5, "normal": 8}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    return root, write_sources(root, seed=1, images=IMAGES, size=96)


def digests(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): digest_file(path) for path in root.rglob("*.*") if path.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_seed_gives_the_same_bytes_and_another_seed_other_bytes(written, tmp_path):
    root, census = written
    assert write_sources(tmp_path / "again", seed=1, images=IMAGES, size=96) == census
    assert digests(tmp_path / "again") == digests(root)
    write_sources(tmp_path / "other", seed=2, images=dict.fromkeys(CLASSES, MIN_IMAGES), size=64)
    mine = {digest for path, digest in digests(root).items() if not path.endswith(".csv")}
    assert not mine & set(digests(tmp_path / "other").values())


def test_the_census_adds_up_to_what_was_asked(written):
    _, census = written
    assert {slug: sum(census.usable[slug].values()) for slug in CLASSES} == IMAGES
    assert all(count >= 1 for spread in census.usable.values() for count in spread.values())


def test_the_census_counts_the_files_of_every_source(written):
    root, census = written
    for source in SOURCES:
        files = [path for path in (root / source).rglob("*") if path.is_file() and path.suffix not in {".csv", ".txt"}]
        assert census.files[source] == len(files)
        assert (root / source / "PHANTOM.txt").is_file()


def test_every_kind_of_defect_is_there_and_in_the_census(written):
    root, census = written
    by_kind = {defect.kind: defect for defect in census.defects}
    assert set(by_kind) == set(DefectKind)
    for kind, defect in by_kind.items():
        source, _, path = defect.name.partition(":")
        assert (root / source / path).is_file() == (kind is not DefectKind.ROW_WITHOUT_FILE)


def test_the_near_duplicate_is_near_and_not_equal(written):
    root, census = written
    [twin] = [defect for defect in census.defects if defect.kind is DefectKind.NEAR_DUPLICATE]
    assert twin.original is not None
    first, second = (decode((root / name.replace(":", "/")).read_bytes()).pixels for name in (twin.original, twin.name))
    assert first.shape != second.shape
    assert (perceptual_hash(first) ^ perceptual_hash(second)).bit_count() <= 4
    assert np.corrcoef(thumbnail(first).ravel(), thumbnail(second).ravel())[0, 1] > 0.99


def test_the_byte_duplicate_stands_under_another_patient(written):
    root, census = written
    [twin] = [defect for defect in census.defects if defect.kind is DefectKind.BYTE_DUPLICATE]
    assert twin.original is not None
    assert digest_file(root / twin.name.replace(":", "/")) == digest_file(root / twin.original.replace(":", "/"))
    assert twin.name.split("/")[-1].split("_")[0] != twin.original.split("/")[-1].split("_")[0]


def test_the_inverted_dicom_shows_air_black(written):
    root, census = written
    [inverted] = [defect for defect in census.defects if defect.kind is DefectKind.INVERTED]
    decoded = decode((root / inverted.name.replace(":", "/")).read_bytes())
    assert decoded.mode == "MONOCHROME1"
    height, width = decoded.pixels.shape
    # The middle of the picture is spine and heart, its upper corners are air or shoulder.
    assert decoded.pixels[height // 3 :, width // 2 - 3 : width // 2 + 3].mean() > np.median(decoded.pixels)


def test_patients_have_several_images(written):
    root, _ = written
    cases = Counter(row["case"] for row in rows(root / "sirm" / "cases.csv"))
    patients = Counter(row["patientid"] for row in rows(root / "github" / "metadata.csv"))
    persons = Counter(path.name.split("_")[0] for path in (root / "kaggle").rglob("person*"))
    assert all(max(counts.values()) >= 2 for counts in (cases, patients, persons))


def test_the_challenge_s_tables_repeat_a_patient_with_two_boxes(written):
    root, _ = written
    boxes = Counter(row["patientId"] for row in rows(root / "rsna" / "stage_2_train_labels.csv"))
    assert max(boxes.values()) == 2
    assert {row["Target"] for row in rows(root / "rsna" / "stage_2_train_labels.csv")} == {"0", "1"}


def test_no_two_pictures_of_a_studio_are_near_duplicates():
    studio = Studio(seed=9, size=64)
    shots = studio.patients("kaggle", "viral", images=40, first=1) + studio.patients(
        "rsna", "normal", images=40, first=500
    )
    hashes = [perceptual_hash(shot.pixels) for shot in shots]
    faces = np.corrcoef([thumbnail(shot.pixels).ravel() for shot in shots])
    near = [
        (i, j) for i in range(80) for j in range(i) if (hashes[i] ^ hashes[j]).bit_count() <= 12 and faces[i, j] > 0.96
    ]
    assert near == []


def test_class_shows_in_the_lungs_and_is_not_read_off_the_mean():
    studio = Studio(seed=3, size=64)
    means = {
        slug: [shot.pixels.mean() for shot in studio.patients("github", slug, images=40, first=1000 * n)]
        for n, slug in enumerate(CLASSES, 1)
    }
    spread = np.std(list(means.values()))
    gaps = [abs(np.mean(means[a]) - np.mean(means[b])) for a in CLASSES for b in CLASSES if a < b]
    assert max(gaps) < spread


@pytest.mark.parametrize("images", [{"covid": 9, "viral": 9}, {"covid": 9, "viral": 2, "normal": 9}])
def test_too_few_images_of_a_class_are_refused_by_name(images, tmp_path):
    with pytest.raises(CohortError) as caught:
        write_sources(tmp_path, seed=1, images=images)
    assert caught.value.reason == "too_few_phantoms"


def test_a_folder_in_use_is_refused(written):
    root, _ = written
    with pytest.raises(SettingError, match="sirm, github, rsna, kaggle"):
        write_sources(root, seed=1, images=IMAGES)
