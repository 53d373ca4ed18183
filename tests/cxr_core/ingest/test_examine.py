"""One file: its bytes are the listed ones, what is kept names nobody, what cannot be used stays on the machine."""

import io
import os
import stat

import numpy as np
import pytest
from PIL import Image

from cxr_core.digests import digest_bytes, keyed_digest
from cxr_core.errors import SourceError
from cxr_core.imaging.decode import MAX_BYTES, decode
from cxr_core.imaging.faults import ImageFault
from cxr_core.ingest.examine import Examined, Facts, Task, Unusable, examine, hold, quarantine_path
from tests.cxr_core.imaging.pictures import dicom, encoded, png, ramp
from tests.cxr_core.ingest.build import KEY, fill


def task(tmp_path, data: bytes, *, listed: bytes | None = None, path: str = "a/b.png") -> Task:
    root = fill(tmp_path / "source", {path: data})
    sha256 = digest_bytes(data if listed is None else listed)
    return Task(root=root, path=path, sha256=sha256, source="rsna", files=tmp_path / "files", patient_key=KEY)


def test_a_picture_is_described_and_copied_byte_for_byte(tmp_path):
    data = png(ramp())
    found = examine(task(tmp_path, data))
    assert isinstance(found, Examined)
    assert (found.width, found.height, found.mode, found.dicom) == (56, 40, "L", None)
    assert (found.sha256, found.bytes) == (digest_bytes(data), len(data))
    assert len(found.phash) == 16
    assert found.thumbnail.shape == (64, 64)
    assert (tmp_path / "files" / "a" / "b.png").read_bytes() == data


def test_of_a_dicom_file_another_file_of_the_same_picture_is_kept(tmp_path):
    data = dicom(ramp(), PatientID="p-17", PatientName="Doe^Jane", ViewPosition="PA", PatientAge="061Y", PatientSex="F")
    found = examine(task(tmp_path, data, path="a/b.dcm"))
    kept = (tmp_path / "files" / "a" / "b.dcm").read_bytes()
    assert isinstance(found, Examined)
    assert (found.sha256, found.bytes) == (digest_bytes(kept), len(kept))
    assert np.array_equal(decode(kept).pixels, decode(data).pixels)
    assert b"Doe" not in kept
    assert found.dicom == Facts(
        modality="CR", view="PA", patient=keyed_digest(KEY, "rsna:p-17"), sex="F", age_years=61.0
    )


def test_of_a_photograph_s_description_only_which_way_is_up_is_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Jane Doe"
    data = encoded(Image.fromarray(ramp()), "JPEG", exif=exif.tobytes())
    found = examine(task(tmp_path, data, path="a/b.jpg"))
    kept = (tmp_path / "files" / "a" / "b.jpg").read_bytes()
    assert isinstance(found, Examined)
    assert found.sha256 == digest_bytes(kept) != digest_bytes(data)
    assert b"Jane" in data
    assert b"Jane" not in kept
    assert Image.open(io.BytesIO(kept)).getexif() == {0x0112: 6}
    assert (found.height, found.width) == (56, 40)


def test_neither_key_nor_patient_stands_in_what_a_worker_says(tmp_path):
    given = task(tmp_path, dicom(ramp(), PatientID="p-17"), path="a/b.dcm")
    assert repr(KEY) not in repr(given)
    assert "p-17" not in repr(examine(given))


def test_bytes_that_cannot_be_used_leave_a_reason_and_no_file(tmp_path):
    assert examine(task(tmp_path, b"GIF89a")) == Unusable(
        reason=ImageFault.NOT_AN_IMAGE, detail="Expected PNG, JPEG or DICOM, found bytes that begin 474946383961."
    )
    assert not (tmp_path / "files").exists()


def test_a_file_larger_than_any_picture_is_not_read(tmp_path):
    given = task(tmp_path, b"")
    os.truncate(given.root / given.path, MAX_BYTES + 1)  # a hole: no byte is on the disk
    found = examine(given)
    assert isinstance(found, Unusable)
    assert found.reason == ImageFault.TOO_LARGE
    assert not (tmp_path / "files").exists()


def test_a_file_that_changed_since_the_listing_stops_the_run(tmp_path):
    with pytest.raises(SourceError, match="changed") as caught:
        examine(task(tmp_path, png(ramp()), listed=b"other"))
    assert caught.value.reason == "source_changed"


def test_quarantine_holds_the_bytes_under_their_digest_for_their_owner_alone(tmp_path):
    root, quarantine = fill(tmp_path / "source", {"a.png": b"no picture"}), tmp_path / "home" / "quarantine" / "rsna"
    sha256 = digest_bytes(b"no picture")
    for _ in range(2):
        hold(quarantine, root=root, path="a.png", sha256=sha256)
    place = quarantine_path(quarantine, sha256)
    assert place.read_bytes() == b"no picture"
    assert [path.name for path in quarantine.iterdir()] == [place.name]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (quarantine.parent, quarantine, place)]
    assert modes == [0o700, 0o700, 0o600]


def test_bytes_that_change_on_their_way_to_quarantine_stop_the_run(tmp_path):
    root = fill(tmp_path / "source", {"a.png": b"later"})
    with pytest.raises(SourceError, match="changed"):
        hold(tmp_path / "quarantine" / "rsna", root=root, path="a.png", sha256=digest_bytes(b"earlier"))
    assert not list((tmp_path / "quarantine" / "rsna").iterdir())
