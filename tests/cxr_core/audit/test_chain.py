"""Every link from a commit to its images is checked, and whatever breaks one is named."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.audit.chain import Trace, trace_images
from cxr_core.audit.objects import Copies
from cxr_core.errors import AuditError
from tests.cxr_core.audit.build import IMAGES, PINS, Version, commit, data_files, in_memory, md5, places, to_csv

WHOLE = commit(data_files())
FAULTY_TABLES = [
    ("data/cohort/cohort.csv", b"rt_pcr", b"radiologist", "records", "label_provenance"),
    ("data/split/split.csv", b"viral", b"normal", "folds", "label"),
    ("data/split/split.csv", b",0,test,", b",,test,", "folds", "no fold"),
    ("data/split/split.csv", b",0,test,", b",1,test,", "folds", "another than its roles say"),
    ("data/split/split.csv", b",0,test,", b",0,train,", "folds", "another than its roles say"),
    ("data/split/split.csv", b",0,test,", b",holdout,test,", "folds", "another than its roles say"),
    ("data/split/split.csv", b",0,test,", b",0,holdout,", "folds", "another than its roles say"),
    ("data/split/split.csv", b",0,test,", b",none,test,", "folds", "another than its roles say"),
    ("data/split/split.csv", b"caso-1", b"caso-9", "folds", "no split row"),
    ("data/store/index.csv", b"caso-1", b"caso-9", "store", "store row 0"),
    ("data/raw/sirm/records.jsonl", b'"path": "caso-1', b'"path": "caso-9', "tables", "no file"),
    ("data/raw/sirm/records.jsonl", b"sha256:", b"sha256:0", "copies: remote", "recorded sha256:0"),
    ("data/raw/sirm/records.jsonl", b'{"name"', b'"name"', "tables", "records.jsonl"),
    (
        "data/raw/sirm/records.jsonl",
        b'"source_sha256": "sha256:',
        b'"source_sha256": "sha256:0',
        "sources",
        "has sha256:",
    ),
    (
        "data/raw/sirm/listing.jsonl",
        b"caso-1",
        b"caso-9",
        "sources",
        "caso-1/rx.jpg: its file at the source is sha256:",
    ),
    ("data/raw/sirm/listing.jsonl", b'["caso-1', b'[1, "caso-1', "tables", "a line is not path, bytes and digest"),
]


def _trace(version: Version, copies: list[Copies] | None = None) -> Trace:
    return trace_images(committed=version.committed.get, copies=places(version)[2] if copies is None else copies)


def _failing(trace: Trace) -> dict[str, str]:
    return {check.name: check.detail for check in trace.checks if not check.ok}


def test_an_intact_version_gives_every_image_and_no_fault() -> None:
    trace = _trace(WHOLE)
    assert _failing(trace) == {}
    assert trace.ok
    assert [image.name for image in trace.images] == list(IMAGES)
    assert [image.fold for image in trace.images] == [0, 1, 2]
    assert set(trace.images[0].as_dict()) == {
        "name",
        "source",
        "sha256",
        "source_sha256",
        "label",
        "label_provenance",
        "group",
        "fold",
    }


def test_images_that_no_fold_tests_keep_their_place_and_say_which_kind_they_are() -> None:
    files = data_files()
    header, first, second, third = files["data/split/split.csv"].decode().splitlines()
    second = second.rsplit(",", 4)[0] + ",holdout" * 4
    third = third.rsplit(",", 4)[0] + ",none,train,none,train"
    files["data/split/split.csv"] = "\n".join([header, first, second, third, ""]).encode()
    trace = _trace(commit(files))
    assert _failing(trace) == {}
    assert [image.fold for image in trace.images] == [0, "holdout", None]
    assert "1 images are tested by one fold each, 1 are held out of all, 1 are tested by none" in {
        check.detail for check in trace.checks
    }


def test_a_split_from_before_roles_were_written_is_still_read() -> None:
    files = data_files()
    lines = [line.rsplit(",", 3)[0] for line in files["data/split/split.csv"].decode().splitlines()]
    files["data/split/split.csv"] = "\n".join([*lines, ""]).encode()
    trace = _trace(commit(files))
    assert _failing(trace) == {}
    assert [image.fold for image in trace.images] == [0, 1, 2]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_one_changed_byte_in_any_copy_of_any_object_is_found_and_its_file_named(data: st.DataObject) -> None:
    workspace, remote, copies = places(WHOLE)
    copies.append(in_memory("cache", dict(WHOLE.objects), by_md5=True))
    held = data.draw(st.sampled_from([workspace, remote]))
    key = data.draw(st.sampled_from(sorted(held)))
    byte = data.draw(st.integers(0, len(held[key]) - 1))
    damaged = bytearray(held[key])
    damaged[byte] ^= data.draw(st.integers(1, 255))
    held[key] = bytes(damaged)
    trace = _trace(WHOLE, copies)
    failing = _failing(trace)
    assert list(failing) == [f"copies: {'workspace' if held is workspace else 'remote'}"]
    assert key in next(iter(failing.values()))
    # Another copy is whole, so the images are still known.
    assert len(trace.images) == len(IMAGES)


def test_a_changed_image_is_named_as_an_image() -> None:
    workspace, _, copies = places(WHOLE)
    workspace["data/raw/sirm/files/caso-2/rx.jpg"] = b"secone"
    detail = _failing(_trace(WHOLE, copies))["copies: workspace"]
    assert detail.startswith("sirm:caso-2/rx.jpg: workspace/data/raw/sirm/files/caso-2/rx.jpg has MD5 ")


def test_an_object_missing_everywhere_is_lost() -> None:
    workspace, remote, copies = places(WHOLE)
    path = "data/raw/github/files/images/a.png"
    row = next(md5 for md5, data in remote.items() if data == workspace[path])
    del remote[row], workspace[path]
    failing = _failing(_trace(WHOLE, copies))
    assert failing["nothing lost"] == "github:images/a.png: no unchanged copy anywhere"
    assert "not there" in failing["copies: remote"]


def test_a_copy_that_need_not_be_complete_may_lack_objects() -> None:
    workspace, _, copies = places(WHOLE)
    workspace.clear()
    trace = _trace(WHOLE, copies)
    assert trace.ok
    assert any(check.detail.startswith("0 of ") for check in trace.checks)


def test_no_copy_at_all_fails_and_gives_no_image() -> None:
    trace = _trace(WHOLE, [])
    assert {"listings", "nothing lost"} <= set(_failing(trace))
    assert trace.images == ()


def test_a_place_that_is_not_read_is_said_to_be_so() -> None:
    copies = places(WHOLE)[2]
    unread = Copies(name="far", open=lambda _: None, where=lambda _: "", complete=True, unread="only DVC can read it")
    checks = {check.name: check for check in _trace(WHOLE, [*copies, unread]).checks}
    assert checks["copies: far"].detail == "not read: only DVC can read it"


@pytest.mark.parametrize(("path", "old", "new", "check", "words"), FAULTY_TABLES)
def test_a_consistent_version_that_lies_is_caught_by_the_tables(
    path: str, old: bytes, new: bytes, check: str, words: str
) -> None:
    files = data_files()
    assert old in files[path]
    files[path] = files[path].replace(old, new, 1)
    failing = _failing(_trace(commit(files)))
    assert words in failing[check]


def test_a_listing_that_is_not_the_pin_s_is_caught() -> None:
    def change(lock: dict[str, Any]) -> None:
        lock["stages"]["ingest@sirm"]["params"][PINS]["sources.sirm"]["revision"] = "sha256:" + "0" * 64

    failing = _failing(_trace(commit(data_files(), change)))
    assert failing["sources"].startswith("sirm: the listing's digest is sha256:")
    assert "the pin says sha256:000" in failing["sources"]


def test_a_version_from_before_listings_were_kept_is_still_read() -> None:
    files = {path: data for path, data in data_files().items() if not path.endswith("listing.jsonl")}
    for path in [path for path in files if path.endswith("records.jsonl")]:
        rows = [json.loads(line) for line in files[path].splitlines()]
        files[path] = b"".join(json.dumps(_without_source(row)).encode() + b"\n" for row in rows)
    with io.StringIO(files["data/cohort/cohort.csv"].decode(), newline="") as table:
        files["data/cohort/cohort.csv"] = to_csv([_without_source(row) for row in csv.DictReader(table)])
    trace = _trace(commit(files))
    assert _failing(trace) == {}
    assert {image.source_sha256 for image in trace.images} == {""}


def _without_source(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "source_sha256"}


def test_pixels_in_the_store_that_differ_from_the_index_are_named() -> None:
    files = data_files()
    store = bytearray(files["data/store/images.npy"])
    store[-1] ^= 1
    files["data/store/images.npy"] = bytes(store)
    failing = _failing(_trace(commit(files)))
    assert failing == {"store": "github:images/a.png: its pixels in the store differ from the index"}


def test_a_name_that_stands_twice_is_named() -> None:
    files = data_files()
    files["data/cohort/cohort.csv"] += files["data/cohort/cohort.csv"].splitlines(keepends=True)[1]
    failing = _failing(_trace(commit(files)))
    assert "sirm:caso-1/rx.jpg: more than one cohort row" in failing["records"]


def test_an_image_in_the_split_alone_is_named() -> None:
    files = data_files()
    rows = files["data/cohort/cohort.csv"].splitlines(keepends=True)
    files["data/cohort/cohort.csv"] = b"".join(rows[:-1])
    assert "in the split, not in the cohort" in _failing(_trace(commit(files)))["folds"]


def test_a_lock_whose_stage_read_something_else_is_caught() -> None:
    def change(lock: dict[str, Any]) -> None:
        lock["stages"]["split"]["deps"] = [{**lock["stages"]["split"]["deps"][0], "md5": "0" * 32 + ".dir"}]

    assert _failing(_trace(commit(data_files(), change)))["stage inputs"].startswith("split read data/cohort as 000")


def test_code_that_is_not_the_commits_is_caught() -> None:
    version = commit(data_files())
    version.committed["cxr_core/curate.py"] += b"# later\n"
    assert "cxr_core/curate.py ran as" in _failing(_trace(version))["code"]
    del version.committed["cxr_core/curate.py"]
    assert "no such file" in _failing(_trace(version))["code"]


def test_parameters_that_are_not_the_commits_are_caught() -> None:
    version = commit(data_files())
    version.committed["params.yaml"] = version.committed["params.yaml"].replace(b"folds: 3", b"folds: 4")
    assert _failing(_trace(version)) == {"parameters": "split ran with params.yaml:split.folds = 3, the commit has 4"}


def test_the_data_version_changes_with_the_data_alone() -> None:
    files = data_files()
    assert _trace(commit(files)).data == _trace(WHOLE).data
    files["data/split/split.csv"] = to_csv([{"name": "x"}])
    assert _trace(commit(files)).data != _trace(WHOLE).data


def test_a_listing_that_leaves_its_folder_is_refused() -> None:
    files = data_files()
    version = commit(files)
    listing = json.dumps([{"md5": "0" * 32, "relpath": "../../outside"}]).encode()
    old = next(line.split()[-1] for line in version.committed["dvc.lock"].decode().splitlines() if ".dir" in line)
    version.committed["dvc.lock"] = version.committed["dvc.lock"].replace(old.encode(), f"{md5(listing)}.dir".encode())
    version.objects[f"{md5(listing)}.dir"] = listing
    assert "leaves the folder" in _failing(_trace(version))["listings"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no dvc.lock"),
        (b"schema: '1.0'\nstages: {}\n", "schema '2.0'"),
        (b"a: [", "not YAML"),
        (b"schema: '2.0'\nstages: {a: {outs: [{path: x, md5: zz}]}}\n", "stages.a.outs"),
        (b"schema: '2.0'\nstages: {a: {outs: [{path: x, md5: '%s'}]}}\n" % (b"0" * 32), "no plain MD5"),
    ],
)
def test_a_lock_that_cannot_be_read_stops_the_trace(text: bytes | None, words: str) -> None:
    with pytest.raises(AuditError, match=words):
        trace_images(committed={"dvc.lock": text}.get, copies=[])


def test_two_stages_that_write_one_path_are_refused() -> None:
    def change(lock: dict[str, Any]) -> None:
        lock["stages"]["split"]["outs"] = lock["stages"]["curate"]["outs"]

    with pytest.raises(AuditError, match="more than one stage writes data/cohort"):
        _trace(commit(data_files(), change))
