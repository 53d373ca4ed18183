"""A manifest names every object of a data version by our own SHA-256, in one form, which its digest covers."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.audit.lock import Lock, read_lock
from cxr_core.audit.manifest import (
    Entry,
    Manifest,
    Marker,
    manifest_faults,
    manifest_name,
    manifest_of,
    marker_name,
    parse_manifest,
    parse_marker,
)
from cxr_core.audit.objects import Object, objects_of, read_stream
from cxr_core.errors import AuditError
from tests.cxr_core.audit.build import Version, commit, data_files, in_memory


def _lock(version: Version) -> Lock:
    return read_lock(version.committed["dvc.lock"])


def _objects(version: Version) -> list[Object]:
    return [item for part in _lock(version).outputs for item in objects_of(part, version.objects.get(part.md5))]


def _manifest(version: Version) -> Manifest:
    objects = _objects(version)
    remote = in_memory("remote", version.objects, by_md5=True)
    return manifest_of(_lock(version), objects, {item.md5: read_stream(remote.open(item)) for item in objects})


@pytest.fixture(scope="module")
def version() -> Version:
    return commit(data_files())


@pytest.fixture(scope="module")
def manifest(version: Version) -> Manifest:
    return _manifest(version)


def test_it_states_every_file_with_size_md5_and_sha256_as_plain_tools_find_them(
    version: Version, manifest: Manifest
) -> None:
    assert {entry.path for entry in manifest.files} == set(version.files)
    for entry in manifest.files:
        data = version.files[entry.path]
        assert entry.size == len(data)
        assert entry.md5 == hashlib.md5(data).hexdigest()
        assert entry.sha256 == "sha256:" + hashlib.sha256(data).hexdigest()
    assert {entry.path for entry in manifest.entries if entry.is_listing} == {
        part.path for part in _lock(version).outputs
    }
    assert manifest.data == _lock(version).version


def test_the_digest_is_what_sha256sum_says_of_the_file(manifest: Manifest) -> None:
    assert manifest.digest == "sha256:" + hashlib.sha256(manifest.encoded()).hexdigest()
    assert json.loads(manifest.encoded())["schema"] == 1


def test_reading_gives_back_what_was_written(manifest: Manifest) -> None:
    assert parse_manifest(manifest.encoded()) == manifest
    marker = Marker.of(manifest)
    assert parse_marker(marker.encoded()) == marker
    assert (marker.manifest, marker.objects, marker.bytes) == (
        manifest.digest,
        len(manifest.objects),
        sum(entry.size for entry in manifest.objects.values()),
    )


def test_the_order_in_which_objects_come_changes_nothing(version: Version, manifest: Manifest) -> None:
    remote = in_memory("remote", version.objects, by_md5=True)
    objects = _objects(version)[::-1]
    again = manifest_of(_lock(version), objects, {item.md5: read_stream(remote.open(item)) for item in objects})
    assert again.encoded() == manifest.encoded()


def test_files_with_the_same_bytes_are_one_object() -> None:
    files = data_files()
    files["data/raw/sirm/files/caso-1/copy.jpg"] = files["data/raw/sirm/files/caso-1/rx.jpg"]
    manifest = _manifest(commit(files))
    assert len(manifest.files) == len(files)
    assert len(manifest.objects) == len(manifest.entries) - 1


@given(data=st.data())
def test_one_byte_changed_anywhere_is_another_manifest_or_none(data: st.DataObject, manifest: Manifest) -> None:
    text = bytearray(manifest.encoded())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= data.draw(st.integers(1, 255))
    found = None
    with suppress(AuditError):
        found = parse_manifest(bytes(text))
    assert found is None or (found.digest != manifest.digest and found != manifest)


def _changed(manifest: Manifest, **changes: object) -> bytes:
    plain = json.loads(manifest.encoded())
    plain["entries"][0] |= changes
    return (json.dumps(plain, sort_keys=True, separators=(",", ":")) + "\n").encode()


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a//b", "a/./b", "a/../b", "", "a\0b", "data/"])
def test_a_path_that_leaves_the_folder_is_refused(path: str, manifest: Manifest) -> None:
    with pytest.raises(AuditError, match=r"entries\.0\.path") as caught:
        parse_manifest(_changed(manifest, path=path))
    assert caught.value.reason == "bad_manifest"


def test_a_path_stated_twice_is_refused(manifest: Manifest) -> None:
    with pytest.raises(AuditError, match="twice"):
        parse_manifest(_changed(manifest, path=manifest.entries[1].path))


def test_an_output_that_is_not_of_the_stated_data_version_is_refused(manifest: Manifest) -> None:
    (place,) = (i for i, entry in enumerate(manifest.entries) if entry.path == "data/cohort")
    plain = json.loads(manifest.encoded())
    plain["entries"][place]["md5"] = "0" * 32 + ".dir"
    with pytest.raises(AuditError, match="another data version"):
        parse_manifest((json.dumps(plain, sort_keys=True, separators=(",", ":")) + "\n").encode())


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"schema":2}'])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    for parse in (parse_manifest, parse_marker):
        with pytest.raises(AuditError) as caught:
            parse(text)
        assert caught.value.reason == "bad_manifest"


def test_another_spelling_of_the_same_values_is_refused_because_its_digest_differs(manifest: Manifest) -> None:
    spelled = json.dumps(json.loads(manifest.encoded()), indent=1).encode()
    with pytest.raises(AuditError, match="canonical"):
        parse_manifest(spelled)


def test_a_manifest_is_held_against_the_lock_and_listings_of_its_commit(version: Version, manifest: Manifest) -> None:
    lock, objects = _lock(version), _objects(version)
    assert manifest_faults(manifest, lock, objects) == []
    shorter = Manifest(data=manifest.data, entries=manifest.entries[1:])
    assert manifest_faults(shorter, lock, objects) == [
        f"{manifest.entries[0].path} ({manifest.entries[0].md5}) is in the data but not in the manifest"
    ]
    more = Entry(path="data/cohort/more", md5="0" * 32, sha256="sha256:" + "0" * 64, size=0)
    longer = Manifest(data=manifest.data, entries=(*manifest.entries, more))
    assert manifest_faults(longer, lock, objects) == [
        f"data/cohort/more ({'0' * 32}) is in the manifest but not in the data"
    ]
    other = commit(data_files() | {"data/split/split.csv": b"other"})
    assert any("the commit's data is" in fault for fault in manifest_faults(manifest, _lock(other), _objects(other)))


def test_names_follow_from_the_data_version() -> None:
    assert manifest_name("sha256:ab") == "cxr/manifests/ab.json"
    assert marker_name("sha256:ab") == "cxr/complete/ab.json"
