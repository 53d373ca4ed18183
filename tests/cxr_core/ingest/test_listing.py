"""A revision names the bytes of a folder: the same on every machine, another after any change."""

import os

import pytest

from cxr_core.errors import SourceError
from cxr_core.ingest.listing import Entry, list_source
from tests.cxr_core.ingest.build import fill

FILES = {"b/two.jpg": "22", "a.csv": "1", "b/Three.PNG": "333"}


def test_files_are_listed_sorted_with_size_and_digest(tmp_path):
    listing = list_source(fill(tmp_path, FILES))
    assert [entry.path for entry in listing.entries] == ["a.csv", "b/Three.PNG", "b/two.jpg"]
    assert (listing.files, listing.bytes, listing.synthetic) == (3, 6, False)
    assert listing.entries[0].sha256 == "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_the_revision_is_pinned_for_all_machines(tmp_path):
    listing = list_source(fill(tmp_path, {"a.csv": "1"}))
    # sha256 of [["a.csv",1,"sha256:6b86…5b4b"]], by sha256sum.
    assert listing.revision == "sha256:23e992dd53146181c23f11178f924fffd4d77dd48590ae158a2ec08dfcbf0ea8"


def test_order_of_writing_and_times_do_not_matter(tmp_path):
    first = list_source(fill(tmp_path / "x", FILES))
    second = list_source(fill(tmp_path / "y", dict(reversed(FILES.items()))))
    os.utime(tmp_path / "y" / "a.csv", (0, 0))
    assert first == second == list_source(tmp_path / "y")


@pytest.mark.parametrize(
    "change",
    [{"a.csv": "2"}, {"a.csv": "11"}, {"new.jpg": ""}, {"b/new": "22"}],
    ids=["one byte", "longer", "an empty file more", "a file more"],
)
def test_any_change_gives_another_revision(tmp_path, change):
    before = list_source(fill(tmp_path, FILES)).revision
    assert list_source(fill(tmp_path, change)).revision != before


def test_a_renamed_file_gives_another_revision(tmp_path):
    before = list_source(fill(tmp_path, FILES)).revision
    (tmp_path / "a.csv").rename(tmp_path / "z.csv")
    assert list_source(tmp_path).revision != before


def test_files_of_the_operating_system_are_not_the_source_s(tmp_path):
    before = list_source(fill(tmp_path, FILES))
    litter = {".DS_Store": "x", "b/._two.jpg": "x", ".git/config": "x", "__MACOSX/b/two.jpg": "x"}
    assert list_source(fill(tmp_path, litter)) == before


def test_a_phantom_marker_makes_a_source_synthetic(tmp_path):
    assert list_source(fill(tmp_path, {**FILES, "PHANTOM.txt": "made up"})).synthetic


@pytest.mark.parametrize("target", ["a.csv", "b", "nowhere"])
def test_links_are_refused_by_name(tmp_path, target):
    fill(tmp_path, FILES)
    (tmp_path / "link.jpg").symlink_to(tmp_path / target)
    with pytest.raises(SourceError, match=r"link\.jpg") as caught:
        list_source(tmp_path)
    assert caught.value.reason == "not_a_plain_file"


def test_special_files_are_refused_and_not_waited_for(tmp_path):
    fill(tmp_path, FILES)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(SourceError) as caught:
        list_source(tmp_path)
    assert caught.value.reason == "not_a_plain_file"


def test_a_name_that_is_no_unicode_is_refused(tmp_path):
    fill(tmp_path, FILES)
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    with pytest.raises(SourceError) as caught:
        list_source(tmp_path)
    assert caught.value.reason == "unreadable_name"


def test_an_absent_source_and_an_empty_one_have_their_own_reasons(tmp_path):
    with pytest.raises(SourceError) as absent:
        list_source(tmp_path / "nowhere")
    with pytest.raises(SourceError) as empty:
        list_source(tmp_path)
    assert (absent.value.reason, empty.value.reason) == ("source_missing", "source_empty")


@pytest.mark.parametrize(("path", "image"), [("x.JPG", True), ("a/x.dcm", True), ("x.csv", False), ("x.nii.gz", False)])
def test_image_files_are_told_by_their_suffix(path, image):
    assert Entry(path=path, bytes=1, sha256="sha256:0").is_image is image
