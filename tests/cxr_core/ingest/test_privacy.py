"""Sources full of names, through the real stages: behind ingest there is not one of them.

The names of image files are the one exception: ``source:path`` is how an image is called everywhere, and the published
layouts put their own ids there.
"""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cxr_core.classes import SOURCES
from cxr_core.imaging.decode import decode
from cxr_core.imaging.phantom import write_sources
from cxr_core.ingest.record import read_quarantine, read_records
from cxr_core.params import override_params
from tests.cxr_core.imaging.canaries import CANARY, told, with_words
from tests.cxr_core.imaging.pictures import encoded
from tests.cxr_core.imaging.raw_dicom import J2K_LOSSLESS, JPEG
from tests.cxr_core.imaging.test_codecs import coded
from tests.cxr_core.ingest.build import pinned_workspace

ROOT = Path(__file__).parents[3]
KEY = "a key of the privacy tests"
IMAGES = {"covid": 6, "viral": 6, "normal": 6}
OVERRIDES = (
    *(f"curate.quota.{slug}=null" for slug in IMAGES),
    *("prepare.size=32", "split.folds=3", "split.protocol=grouped"),
)
WIDE = re.compile(rb"(?i)c\x004\x00n\x004\x00r\x00y\x00(?:[0-9]\x00)+")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Phantoms in which everything that can say something says a canary, labels and names of files apart."""
    root = tmp_path_factory.mktemp("sources")
    write_sources(root, seed=11, images=IMAGES, size=96)
    _name_everybody(root / "sirm" / "cases.csv", columns=("case",))
    _name_everybody(
        root / "github" / "metadata.csv",
        columns=("patientid", "offset", "date", "location", "temperature", "clinical_notes", "other_notes", "doi"),
    )
    for place, path in enumerate(sorted(root.rglob("*.*"))):
        data = path.read_bytes()
        if path.suffix == ".dcm":
            path.write_bytes(_told(decode(data).pixels, place))
        elif path.suffix in (".jpg", ".jpeg", ".png") and "truncated" not in path.name:
            pixels = decode(data).pixels
            path.write_bytes(with_words("PNG" if path.suffix == ".png" else "JPEG", pixels, orientation=1))
        elif "truncated" in path.name:
            # Bytes that nobody can look at, and a name in them.
            path.write_bytes(data[: len(data) // 3] + b"C4N4RY555")
    _add_refused(root / "rsna")
    return root


@pytest.fixture(scope="module")
def walked(sources, tmp_path_factory):
    """The workspace after the four stages, and all that they printed; sources are read twice, to meet the memo."""
    home = tmp_path_factory.mktemp("home")
    workspace = pinned_workspace(tmp_path_factory.mktemp("workspace"), sources)
    (workspace / "params.yaml").write_text(override_params((ROOT / "params.yaml").read_text(), OVERRIDES))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CXR_")},
        "CXR_SOURCES": str(sources),
        "CXR_PATIENT_KEY": KEY,
        "CXR_QUARANTINE": str(home / "quarantine"),
        "CXR_CACHE": str(home / "cache"),
        "CXR_PROGRESS": "lines",
    }
    said = b""
    for words in (*(("ingest", source) for source in (*SOURCES, *SOURCES)), ("curate",), ("prepare",), ("split",)):
        command = [sys.executable, "-m", "cxr_core", *words, "--workspace", str(workspace)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr.decode()
        said += done.stdout + done.stderr
    return workspace, home, said


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def canaries_in(folder: Path) -> dict[str, set[bytes]]:
    found = {
        path.relative_to(folder).as_posix(): {
            *CANARY.findall(path.read_bytes()),
            *(match.group() for match in WIDE.finditer(path.read_bytes())),
            *CANARY.findall(str(path.relative_to(folder)).encode()),
        }
        for path in files(folder)
    }
    return {name: words for name, words in found.items() if words}


def test_the_sources_are_full_of_names(sources):
    found = canaries_in(sources)
    images = [path for path in files(sources) if path.suffix in (".dcm", ".png", ".jpg", ".jpeg")]
    assert len(found) == len(images) + 2  # and the two tables
    assert len(set.union(*found.values())) > 2000


def test_no_name_is_found_in_any_file_behind_ingest(walked):
    workspace, _, _ = walked
    assert len(files(workspace / "data")) > 40
    assert canaries_in(workspace / "data") == {}


def test_no_name_is_printed(walked):
    _, _, said = walked
    assert b"ingest" in said
    assert CANARY.findall(said) == []
    assert KEY.encode() not in said


def test_no_name_is_remembered(walked):
    _, home, _ = walked
    assert files(home / "cache")
    assert canaries_in(home / "cache") == {}


def test_what_could_not_be_looked_at_keeps_its_names_on_the_machine(walked):
    workspace, home, _ = walked
    held = {row.sha256.removeprefix("sha256:") for source in SOURCES for row in quarantined(workspace, source)}
    assert len(held) >= 4
    assert {path.name for path in files(home / "quarantine")} == held
    assert len(canaries_in(home / "quarantine")) == len(held)
    assert not list((workspace / "data").rglob("*quarantine*/*"))


def test_refused_files_have_their_reasons(walked):
    workspace, _, _ = walked
    reasons = {row.path.rpartition("/")[2]: row.reason for row in quarantined(workspace, "rsna")}
    assert reasons == {
        "burned.dcm": "burned_in_annotation",
        "cut.dcm": "truncated",
        "program.dcm": "executable_preamble",
    }


def test_counts_add_up_with_quarantine_elsewhere(walked, sources):
    workspace, _, _ = walked
    for source in SOURCES:
        summary = json.loads((workspace / "data/raw" / source / "summary.json").read_text())
        images = [path for path in files(sources / source) if path.suffix in (".dcm", ".png", ".jpg", ".jpeg")]
        assert summary["files"] == len(images)
        assert summary["files"] == summary["records"] + summary["excluded"] + summary["quarantined"]
        assert summary["rewritten"] == summary["records"]


def test_patients_are_keyed_digests_and_their_ids_stand_in_names_alone(walked, sources):
    workspace, _, _ = walked
    records = [
        record for source in SOURCES for record in read_records(workspace / "data/raw" / source / "records.jsonl")
    ]
    assert all(re.fullmatch(r"[0-9a-f]{16}", record.patient) for record in records)
    ids = {path.stem for path in (sources / "rsna" / "stage_2_train_images").iterdir()}
    for record in records:
        words = record.as_dict()
        for column in ("name", "path"):
            del words[column]
        assert not any(one in json.dumps(words) for one in ids)
    with (workspace / "data/cohort/cohort.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10
    for row in rows:
        del row["name"]
        assert not any(one in value for one in ids for value in row.values())


def test_names_that_carry_ids_are_counted(walked):
    workspace, _, _ = walked
    summaries = {
        source: json.loads((workspace / "data/raw" / source / "summary.json").read_text()) for source in SOURCES
    }
    assert summaries["rsna"]["names_carry_ids"] == summaries["rsna"]["records"] > 0
    assert summaries["kaggle"]["names_carry_ids"] > 0
    # A case's id is a column here, and the path another word: nothing leads from one to the other.
    assert summaries["sirm"]["names_carry_ids"] == 0
    assert summaries["github"]["names_carry_ids"] == 0


def quarantined(workspace: Path, source: str):
    return read_quarantine(workspace / "data/raw" / source / "quarantine.jsonl")


def _told(pixels, place: int) -> bytes:
    facts = {"Modality": "CR", "ViewPosition": "PA", "PatientSex": "F ", "PatientAge": "050Y"}
    if place % 3 == 0:
        return told(
            pixels,
            encoded(Image.fromarray(pixels), "JPEG", quality=90, comment=b"C4N4RY777"),
            syntax=JPEG,
            **facts,
        )
    if place % 3 == 1:
        return told(pixels, coded(pixels, J2K_LOSSLESS, bits=8) + b"C4N4RY778", syntax=J2K_LOSSLESS, **facts)
    return told(pixels, **facts)


def _add_refused(folder: Path) -> None:
    """DICOM files that cannot be used, each full of names."""
    images = folder / "stage_2_train_images"
    pixels = decode(next(iter(sorted(images.iterdir()))).read_bytes()).pixels
    for name, data in {
        "burned": told(pixels, BurnedInAnnotation="YES"),
        "cut": told(pixels)[:-4000],
        "program": b"MZ" + told(pixels)[2:],
    }.items():
        (images / f"{name}.dcm").write_bytes(data)
        with (folder / "stage_2_detailed_class_info.csv").open("a") as table:
            table.write(f"{name},Normal\n")


def _name_everybody(path: Path, *, columns: tuple[str, ...]) -> None:
    """Each cell of these columns becomes a canary; equal cells stay equal."""
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    for column in columns:
        place = table[0].index(column)
        known: dict[str, str] = {}
        for row in table[1:]:
            row[place] = known.setdefault(row[place], f"C4N4RY{len(known):05d}{place:03d}")
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(table)
