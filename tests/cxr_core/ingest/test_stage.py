"""The whole stage on phantoms: every file once, the same bytes every time, the previous result safe from a failure."""

import json
from collections import Counter

import numpy as np
import pytest

from cxr_core.classes import SOURCES
from cxr_core.digests import digest_file, digest_value
from cxr_core.errors import SourceError
from cxr_core.files import read_jsonl
from cxr_core.imaging.decode import decode
from cxr_core.imaging.hashing import thumbnail
from cxr_core.imaging.phantom import write_sources
from cxr_core.imaging.phantom_defects import DefectKind
from cxr_core.ingest import recall
from cxr_core.ingest.examine import quarantine_path
from cxr_core.ingest.faults import DecoderFault, IngestFault
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.record import read_exclusions, read_quarantine, read_records
from tests.cxr_core.imaging.pictures import png, ramp
from tests.cxr_core.ingest.build import fill, ingest, params, pinned_workspace
from tests.cxr_core.ingest.work import die

IMAGES = {"covid": 6, "viral": 4, "normal": 6}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    return root, write_sources(root, seed=6, images=IMAGES, size=64)


@pytest.fixture(scope="module")
def ingested(sources, tmp_path_factory):
    root, census = sources
    workspace = pinned_workspace(tmp_path_factory.mktemp("workspace"), root)
    summaries = {source: ingest(source, workspace=workspace, sources=root) for source in SOURCES}
    return workspace / "data" / "raw", census, summaries


def tables(raw, source):
    folder = raw / source
    return (
        read_records(folder / "records.jsonl"),
        read_exclusions(folder / "exclusions.jsonl"),
        read_quarantine(folder / "quarantine.jsonl"),
    )


@pytest.mark.parametrize("source", SOURCES)
def test_every_image_file_is_accounted_for_exactly_once(ingested, source):
    raw, census, summaries = ingested
    summary = summaries[source]
    assert summary == json.loads((raw / source / "summary.json").read_text())
    assert summary["files"] == summary["records"] + summary["excluded"] + summary["quarantined"] == census.files[source]
    names = [row.name for table in tables(raw, source) for row in table]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("source", SOURCES)
def test_copies_are_the_original_bytes_unless_they_are_dicom_and_nothing_else_is_copied(ingested, sources, source):
    raw, _, _ = ingested
    records, _, _ = tables(raw, source)
    files = raw / source / "files"
    assert {record.path for record in records} == {
        path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()
    }
    for record in records:
        assert digest_file(files / record.path) == record.sha256
        assert digest_file(sources[0] / source / record.path) == record.source_sha256
        assert (record.sha256 == record.source_sha256) == (not record.path.endswith(".dcm"))
        assert (files / record.path).stat().st_size == record.bytes


@pytest.mark.parametrize("source", SOURCES)
def test_the_listing_leads_from_each_image_to_the_pin(ingested, sources, source):
    raw, _, summaries = ingested
    rows = list(read_jsonl(raw / source / "listing.jsonl"))
    assert digest_value(rows) == summaries[source]["pin"] == list_source(sources[0] / source).revision
    listed = {path: sha256 for path, _, sha256 in rows}
    assert all(listed[record.path] == record.source_sha256 for record in tables(raw, source)[0])


@pytest.mark.parametrize("source", SOURCES)
def test_row_i_of_the_thumbnails_is_record_i(ingested, source):
    raw, _, _ = ingested
    records, _, _ = tables(raw, source)
    thumbnails = np.load(raw / source / "thumbnails.npy")
    assert (thumbnails.shape, thumbnails.dtype) == ((len(records), 64, 64), np.uint8)
    for record, small in zip(records, thumbnails, strict=True):
        pixels = decode((raw / source / "files" / record.path).read_bytes()).pixels
        assert np.array_equal(thumbnail(pixels), small)
        assert (record.height, record.width) == pixels.shape


def test_defects_of_the_files_get_their_reasons(ingested):
    raw, census, _ = ingested
    by_kind = {defect.kind: defect.name for defect in census.defects}
    records, exclusions, quarantined = tables(raw, "github")
    assert {row.name: row.reason for row in quarantined} == {by_kind[DefectKind.TRUNCATED]: "truncated"}
    assert not (raw / "github" / "quarantine").exists()
    held = quarantine_path(raw.parents[1] / ".cxr" / "quarantine" / "github", quarantined[0].sha256)
    assert digest_file(held) == quarantined[0].sha256
    assert Counter(row.reason for row in exclusions) == {
        IngestFault.NO_METADATA: 1,
        IngestFault.FILE_MISSING: 1,
        IngestFault.DUPLICATE_ROW: 1,
    }
    modes = {record.name: record.mode for record in records + tables(raw, "rsna")[0]}
    assert modes[by_kind[DefectKind.RGBA]] == "RGBA"
    assert modes[by_kind[DefectKind.INVERTED]] == "MONOCHROME1"


def test_the_dicom_file_speaks_where_the_table_is_silent(ingested):
    records, _, _ = tables(ingested[0], "rsna")
    assert {record.view for record in records} <= {"PA", "AP"}
    assert {record.sex for record in records} <= {"M", "F"}
    assert all(record.age_years is not None for record in records)
    assert {record.modality for record in records} == {"X-ray"}


def test_provenance_and_phantom_mark_stand_in_every_record(ingested):
    raw, _, _ = ingested
    provenance = {source: {r.label_provenance for r in tables(raw, source)[0]} for source in SOURCES}
    assert provenance["rsna"] == {"radiologist"}
    assert provenance["kaggle"] == {"file_name"}
    assert provenance["sirm"] == {"case_report"}
    assert provenance["github"] == {"rt_pcr", "case_report"}
    assert all(record.synthetic for source in SOURCES for record in tables(raw, source)[0])


def test_a_patient_is_one_keyed_digest_in_all_their_images(ingested, sources, tmp_path):
    raw, _, _ = ingested
    records, _, _ = tables(raw, "sirm")
    by_case = {(record.path.split("/")[0], record.patient) for record in records}
    assert len(by_case) == len({case for case, _ in by_case}) == len({patient for _, patient in by_case})
    workspace = pinned_workspace(tmp_path, sources[0])
    ingest("sirm", workspace=workspace, sources=sources[0], key=b"another key of sixteen or more")
    others, _, _ = tables(workspace / "data" / "raw", "sirm")
    assert not {record.patient for record in others} & {record.patient for record in records}


def test_a_second_run_gives_the_same_bytes_and_clears_what_a_killed_one_left(ingested, sources, tmp_path):
    raw, _, _ = ingested
    workspace = pinned_workspace(tmp_path, sources[0])
    fill(workspace / "data" / "raw", {".rsna.partial/files/half.dcm": "x", "rsna/files/old.dcm": "x"})
    ingest("rsna", workspace=workspace, sources=sources[0])
    assert _digests(workspace / "data" / "raw" / "rsna") == _digests(raw / "rsna")
    assert not (workspace / "data" / "raw" / ".rsna.partial").exists()


def test_a_source_left_out_gives_empty_tables_and_is_not_looked_for(tmp_path):
    summary = ingest(
        "kaggle", workspace=tmp_path, sources=tmp_path / "nowhere", params=params("ingest.sources=[sirm, github]")
    )
    assert (summary["files"], summary["pin"]) == (0, None)
    assert tables(tmp_path / "data" / "raw", "kaggle") == ([], [], [])
    assert np.load(tmp_path / "data" / "raw" / "kaggle" / "thumbnails.npy").shape == (0, 64, 64)


def test_progress_counts_to_the_end(sources, tmp_path):
    workspace, seen = pinned_workspace(tmp_path, sources[0]), []
    summary = ingest("sirm", workspace=workspace, sources=sources[0], progress=lambda *step: seen.append(step))
    assert seen == [(n, summary["files"]) for n in range(1, summary["files"] + 1)]


def test_bytes_that_differ_from_the_pin_are_refused_and_the_last_result_stays(tmp_path):
    source = fill(tmp_path / "sources" / "sirm", _one_case())
    workspace = pinned_workspace(tmp_path / "w", tmp_path / "sources")
    ingest("sirm", workspace=workspace, sources=tmp_path / "sources")
    before = _digests(workspace / "data" / "raw" / "sirm")
    (source / "caso-01" / "rx-1.png").write_bytes(png(255 - ramp()))
    with pytest.raises(SourceError) as caught:
        ingest("sirm", workspace=workspace, sources=tmp_path / "sources")
    assert caught.value.reason == "pin_mismatch"
    assert _digests(workspace / "data" / "raw" / "sirm") == before


@pytest.mark.timeout(120)
def test_a_file_that_kills_its_decoder_is_quarantined_by_name(tmp_path, monkeypatch):
    fill(tmp_path / "sources" / "sirm", _one_case())
    workspace = pinned_workspace(tmp_path / "w", tmp_path / "sources")
    # A worker process that really dies; no picture is known that kills today's decoders.
    monkeypatch.setattr(recall, "examine", die)
    summary = ingest("sirm", workspace=workspace, sources=tmp_path / "sources")
    [row] = read_quarantine(workspace / "data" / "raw" / "sirm" / "quarantine.jsonl")
    assert (summary["quarantined"], row.reason, row.name) == (1, DecoderFault.DIED, "sirm:caso-01/rx-1.png")
    held = quarantine_path(workspace / ".cxr" / "quarantine" / "sirm", row.sha256)
    assert digest_file(held) == row.sha256


def test_a_workspace_without_a_lock_file_says_so(tmp_path):
    with pytest.raises(SourceError, match=r"sources\.lock\.yaml") as caught:
        ingest("sirm", workspace=tmp_path, sources=tmp_path)
    assert caught.value.reason == "no_pins"


def _one_case() -> dict[str, bytes | str]:
    table = "case,file,finding,view,sex,age,url,license\n1,caso-01/rx-1.png,COVID-19,PA,M,60,,\n"
    return {"cases.csv": table, "caso-01/rx-1.png": png(ramp())}


def _digests(root) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): digest_file(path) for path in root.rglob("*") if path.is_file()}
