"""An archive becomes exactly its files, or nothing and a reason; nothing is ever written beside the folder."""

import gzip
import io
import os
import stat
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.errors import SourceError
from cxr_core.ingest import archive as archive_module
from cxr_core.ingest import archive_limits
from cxr_core.ingest.archive import Limits, unpack
from cxr_core.ingest.faults import ArchiveFault
from tests.hostile.tars import PACKERS, TARS, info, tarred
from tests.hostile.zips import ZIPS, Part, zipped

FILES = {
    "cases.csv": b"case,file\n",
    "caso-01/rx-1.png": bytes(range(256)) * 700,
    "caso-01/Größe mit Leerzeichen.png": b"x",
    "caso-02/empty": b"",
    ".hidden/" + "a" * 98: b"y" * 513,
}
# Small enough that the corpus can show each limit.
LIMITS = Limits(members=5_000, bytes=2_000_000_000)


def a_zip(*, method: int = zipfile.ZIP_DEFLATED, streamed: bool = False, wide: bool = False) -> bytes:
    out = io.BytesIO()
    target = _Unseekable(out) if streamed else out
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.mkdir("caso-03")
        for name, data in FILES.items():
            with archive.open(name, "w", force_zip64=wide) as member:
                member.write(data)
    return out.getvalue()


class _Unseekable(io.RawIOBase):
    """A pipe: what is written through it has its sizes behind each member."""

    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self._out.write(data)


def a_tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    folder = info("caso-03", type=tarfile.DIRTYPE)
    return tarred([(folder, b""), *((info(f"./{name}"), data) for name, data in FILES.items())], form=form)


GOOD = {
    "zip": a_zip(),
    "zip stored": a_zip(method=zipfile.ZIP_STORED),
    "zip streamed": a_zip(streamed=True),
    "zip of 64 bits": a_zip(wide=True),
    "zip streamed of 64 bits": a_zip(streamed=True, wide=True),
    "tar ustar": tarred([(info(name), data) for name, data in FILES.items()], form=tarfile.USTAR_FORMAT),
    "tar gnu": a_tar(tarfile.GNU_FORMAT),
    **{f"tar pax{suffix}": pack(a_tar()) for suffix, pack in PACKERS.items()},
    "two gzips in a row": gzip.compress(a_tar()[:5000]) + gzip.compress(a_tar()[5000:]) + b"\0" * 300,
}


def held(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, and nothing but plain files and folders."""
    found = {}
    for path in folder.rglob("*"):
        assert stat.S_IFMT(path.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outcome(folder: Path) -> dict[str, bytes] | str:
    """The files, or the reason why there are none."""
    try:
        unpack(folder / "given", folder / "into")
    except SourceError as error:
        return error.reason
    return held(folder / "into")


def refused(data: bytes, tmp_path: Path, *, limits: Limits = LIMITS) -> str:
    """The reason of the refusal, once it is sure that nothing was left anywhere."""
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "bystander").write_bytes(b"as it was")
    (tmp_path / "given").write_bytes(data)
    with pytest.raises(SourceError) as caught:
        unpack(tmp_path / "given", tmp_path / "box" / "into", limits=limits)
    assert held(tmp_path) == {"given": data, "box/bystander": b"as it was"}
    assert not (tmp_path / "box" / "into").exists()
    assert not list((tmp_path / "box").glob(".*"))
    return caught.value.reason


@pytest.mark.parametrize("data", GOOD.values(), ids=list(GOOD))
def test_a_good_archive_becomes_its_files(tmp_path, data):
    (tmp_path / "given").write_bytes(data)
    paths = unpack(tmp_path / "given", tmp_path / "into")
    assert paths == sorted(FILES)
    assert held(tmp_path / "into") == FILES
    assert listed(tmp_path) == ["given", "into"]


@pytest.mark.parametrize("kind", [*ZIPS.values(), *TARS.values()], ids=lambda kind: kind.name)
def test_each_hostile_kind_is_refused_by_its_reason_and_leaves_nothing(tmp_path, kind):
    assert refused(kind.make(np.random.default_rng(7)), tmp_path) == kind.reason


def test_every_reason_of_an_archive_is_shown_by_some_test():
    here = Path(__file__).read_text(encoding="utf-8")
    shown = {kind.reason for kind in (*ZIPS.values(), *TARS.values())}
    assert {fault for fault in ArchiveFault if fault not in shown and f"ArchiveFault.{fault.name}" not in here} == set()


@pytest.mark.parametrize("given_name", ["a.zip", "PK\u0437.zip"])
def test_a_zip_that_other_programs_write_is_read(tmp_path, given_name):
    """Names in UTF-8 that do not say so, as macOS writes them, and in the code page of the first PCs."""
    data = zipped([Part(name="Größe.png".encode(), data=b"1"), Part(name=b"caf\x82.png", data=b"2")])
    (tmp_path / given_name).write_bytes(data)
    assert unpack(tmp_path / given_name, tmp_path / "into") == ["Größe.png", "café.png"]


def test_a_comment_and_bytes_between_members_are_no_fault(tmp_path):
    # A member that was deleted: the next one's offset leaves a gap.
    parts = [Part(name=b"a.png", data=b"1"), Part(name=b"b.png", data=b"2")]
    data = zipped(parts, comment=b"made by somebody")
    (tmp_path / "given").write_bytes(data)
    assert unpack(tmp_path / "given", tmp_path / "into") == ["a.png", "b.png"]


def test_an_archive_within_is_a_plain_file(tmp_path):
    inner = a_zip()
    for _ in range(4):
        inner = zipped([Part(name=b"again.zip", data=inner)])
    (tmp_path / "given").write_bytes(inner)
    assert unpack(tmp_path / "given", tmp_path / "into") == ["again.zip"]


def test_files_are_plain_whatever_the_archive_says(tmp_path):
    wild = (stat.S_IFREG | stat.S_ISUID | stat.S_ISGID | 0o7777) << 16
    (tmp_path / "z").write_bytes(zipped([Part(name=b"a", data=b"x", attributes=wild)]))
    (tmp_path / "t").write_bytes(tarred([(info("a", mode=0o7777, uid=12, mtime=2**31), b"x")]))
    for name in "zt":
        unpack(tmp_path / name, tmp_path / f"into-{name}")
        found = (tmp_path / f"into-{name}" / "a").stat()
        assert stat.S_IMODE(found.st_mode) & ~0o644 == 0
        assert found.st_uid == os.getuid()


def test_an_empty_folder_may_be_there_and_a_full_one_may_not(tmp_path):
    (tmp_path / "given").write_bytes(a_zip())
    (tmp_path / "into").mkdir()
    unpack(tmp_path / "given", tmp_path / "into")
    with pytest.raises(SourceError) as caught:
        unpack(tmp_path / "given", tmp_path / "into")
    assert caught.value.reason == ArchiveFault.FOLDER_NOT_EMPTY
    assert held(tmp_path / "into") == FILES


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".into.partial" / "caso-01").mkdir(parents=True)
    (tmp_path / ".into.partial" / "caso-01" / "rx-1.png").write_bytes(b"half")
    (tmp_path / "given").write_bytes(a_zip())
    unpack(tmp_path / "given", tmp_path / "into")
    assert held(tmp_path) == {"given": a_zip(), **{f"into/{name}": data for name, data in FILES.items()}}


def test_an_archive_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SourceError, match="nowhere") as caught:
        unpack(tmp_path / "nowhere", tmp_path / "into")
    assert caught.value.reason == ArchiveFault.UNREADABLE
    assert not listed(tmp_path)


def test_a_disk_without_room_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "_write", _never)
    assert refused(a_zip(), tmp_path, limits=Limits(reserve_bytes=1 << 60)) == ArchiveFault.DISK_FULL


def test_a_disk_that_fills_up_meanwhile_is_named(tmp_path, monkeypatch):
    def full(path, chunks):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(next(chunks)[:5])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(archive_module, "_write", full)
    assert refused(a_zip(), tmp_path) == ArchiveFault.DISK_FULL


@pytest.mark.parametrize("data", [a_zip(), PACKERS[".tar.gz"](a_tar())], ids=["zip", "tar"])
@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (Limits(members=3), ArchiveFault.TOO_MANY_MEMBERS),
        (Limits(bytes=1000), ArchiveFault.TOO_LARGE),
        (Limits(member_bytes=1000), ArchiveFault.TOO_LARGE),
    ],
)
def test_limits_can_be_set(tmp_path, data, limits, fault):
    assert refused(data, tmp_path, limits=limits) == fault


@pytest.mark.parametrize("made", ["zip", "tar"])
def test_memory_stays_flat_however_much_comes_out(tmp_path, made, monkeypatch):
    monkeypatch.setattr(archive_limits, "_HARMLESS_BYTES", 1 << 40)
    big = b"\0" * 150_000_000
    data = zipped([Part(name=b"big", data=big)]) if made == "zip" else gzip.compress(tarred([(info("big"), big)]))
    (tmp_path / "given").write_bytes(data)
    del data
    tracemalloc.start()
    unpack(tmp_path / "given", tmp_path / "into")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "into" / "big").stat().st_size == len(big)
    assert peak_bytes < 4_000_000


@given(
    data=st.binary(max_size=400),
    magic=st.sampled_from([b"", b"PK\3\4", b"PK\5\6", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"]),
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_source_errors_only(tmp_path_factory, data, magic):
    folder = tmp_path_factory.mktemp("any")
    (folder / "given").write_bytes(magic + data)
    with pytest.raises(SourceError) as caught:
        unpack(folder / "given", folder / "into")
    assert caught.value.reason in set(ArchiveFault)
    assert listed(folder) == ["given"]


@given(place=st.integers(min_value=0), bit=st.integers(0, 7), which=st.sampled_from(sorted(GOOD)))
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_gives_the_same_files_or_a_reason(tmp_path_factory, place, bit, which):
    folder = tmp_path_factory.mktemp("flip")
    data = bytearray(GOOD[which])
    data[place % len(data)] ^= 1 << bit
    (folder / "given").write_bytes(data)
    found = outcome(folder)
    if isinstance(found, str):
        assert found in set(ArchiveFault)
        assert listed(folder) == ["given"]
    # A tar that is not packed keeps no checksum of its members' bytes; in all others only times and owners may differ.
    elif which not in ("tar ustar", "tar gnu", "tar pax.tar"):
        assert found == FILES


def _never(*_given):
    raise AssertionError("written although there is no room")
