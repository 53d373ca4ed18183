"""One file: its bytes are the listed ones, its copy lies where it belongs."""

import pytest

from cxr_core.digests import digest_bytes
from cxr_core.errors import SourceError
from cxr_core.imaging.faults import ImageFault
from cxr_core.ingest.examine import Examined, Task, Unusable, examine
from cxr_core.ingest.faults import DECODER_DIED
from tests.cxr_core.imaging.pictures import png, ramp
from tests.cxr_core.ingest.build import fill


def task(tmp_path, data: bytes, *, listed: bytes | None = None) -> Task:
    root = fill(tmp_path / "source", {"a/b.png": data})
    sha256 = digest_bytes(data if listed is None else listed)
    return Task(root=root, path="a/b.png", sha256=sha256, out=tmp_path / "out")


def test_a_picture_is_described_and_copied_byte_for_byte(tmp_path):
    data = png(ramp())
    found = examine(task(tmp_path, data))
    assert isinstance(found, Examined)
    assert (found.width, found.height, found.mode, found.dicom) == (56, 40, "L", None)
    assert len(found.phash) == 16
    assert found.thumbnail.shape == (64, 64)
    assert (tmp_path / "out" / "files" / "a" / "b.png").read_bytes() == data


def test_bytes_that_cannot_be_used_go_to_quarantine_under_their_digest(tmp_path):
    data = b"GIF89a"
    assert examine(task(tmp_path, data)) == Unusable(
        reason=ImageFault.NOT_AN_IMAGE, detail="Expected PNG, JPEG or DICOM, found bytes that begin 474946383961."
    )
    held = tmp_path / "out" / "quarantine" / digest_bytes(data).removeprefix("sha256:")
    assert held.read_bytes() == data
    assert not (tmp_path / "out" / "files").exists()


def test_memory_that_runs_out_is_the_picture_s_fault_and_not_the_run_s(tmp_path, monkeypatch):
    def exhausted(_data: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr("cxr_core.ingest.examine.decode", exhausted)
    found = examine(task(tmp_path, png(ramp())))
    assert isinstance(found, Unusable)
    assert found.reason == DECODER_DIED
    assert len(list((tmp_path / "out" / "quarantine").iterdir())) == 1


def test_a_file_that_changed_since_the_listing_stops_the_run(tmp_path):
    with pytest.raises(SourceError, match="changed") as caught:
        examine(task(tmp_path, png(ramp()), listed=b"other"))
    assert caught.value.reason == "source_changed"
