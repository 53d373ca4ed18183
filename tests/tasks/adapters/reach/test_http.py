"""One archive on a web server that cuts, stalls, redirects, refuses and lies: the whole of it, or a named reason."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cxr_core.errors import SourceError
from cxr_core.ingest.address import HttpAddress
from cxr_core.ingest.listing import list_source
from tasks.adapters.reach.reach import Fetched, fetch, newest
from tests.tasks.adapters.reach.build import QUICK, Watch, files_of, noise, tarred, versions_in, zipped
from tests.tasks.adapters.reach.servers import Thing, Web, serve

FILES = {"cases.csv": b"case,file\n1,caso-01/rx.jpg\n", "caso-01/rx.jpg": noise(300_000), "caso-02/rx.jpg": noise(9)}
ARCHIVE = zipped(FILES)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
MODIFIED = "Tue, 03 Mar 2020 10:00:00 GMT"


@pytest.fixture
def web() -> Iterator[Web]:
    with serve() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sources" / "sirm"


def bring(url: str, store: Path, *, sha256: str | None = None, **options: object) -> Fetched:
    options.setdefault("terms", QUICK)
    return fetch("sirm", HttpAddress(url=url, sha256=sha256), store=store, **options)  # type: ignore[arg-type]


def refused(url: str, store: Path, **options: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        bring(url, store, **options)
    assert caught.value.hint
    assert not store.exists() or versions_in(store) == []
    return caught.value


@pytest.mark.parametrize("archive", [ARCHIVE, tarred(FILES), tarred(FILES, "xz")], ids=["zip", "tar.gz", "tar.xz"])
def test_an_archive_becomes_a_folder_of_its_files(web: Web, store: Path, archive: bytes) -> None:
    watch = Watch()
    fetched = bring(web.put("/a.zip", Thing(archive)), store, progress=watch)
    assert files_of(fetched.folder) == FILES
    assert fetched.upstream == f"https:sha256:{hashlib.sha256(archive).hexdigest()}"
    assert fetched.folder.parent == store
    assert watch.last == (len(archive), len(archive))
    assert {entry.path for entry in list_source(fetched.folder).entries} == set(FILES)


def test_the_listing_is_that_of_the_same_files_in_a_folder(web: Web, store: Path, tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_bytes(data)
    fetched = bring(web.put("/a.zip", Thing(ARCHIVE)), store)
    assert list_source(fetched.folder).revision == list_source(tmp_path / "mirror").revision


def test_a_folder_that_wraps_the_layout_is_left_out(web: Web, store: Path) -> None:
    wrapped = zipped({f"export-2020/sirm/{name}": data for name, data in FILES.items()} | {"__MACOSX/._x": b"x"})
    assert files_of(bring(web.put("/a.zip", Thing(wrapped)), store).folder) == FILES


def test_a_cut_download_goes_on_where_it_was_cut(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000, 90_000]))
    assert files_of(bring(url, store).folder) == FILES
    ranges = [asked.headers.get("Range") for asked in web.gets()]
    assert ranges[0] is None
    starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in ranges[1:] if text]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] <= 190_000
    assert all(asked.headers.get("If-Range") == web.things["/a.zip"].tag for asked in web.gets()[1:])


def test_a_download_that_failed_goes_on_in_the_next_run(web: Web, store: Path) -> None:
    thing = Thing(ARCHIVE, cuts=[100_000, 0, 0, 0])
    error = refused(web.put("/a.zip", thing), store)
    assert error.reason == "download_incomplete"
    assert "are kept" in error.message
    thing.cuts.clear()
    web.asked.clear()
    assert files_of(bring(web.url + "/a.zip", store).folder) == FILES
    assert [bool(asked.headers.get("Range")) for asked in web.gets()] == [True]


def test_a_line_that_stands_is_left_and_taken_up_again(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, stalls=[150_000]))
    assert files_of(bring(url, store, terms=replace(QUICK, stall_seconds=0.5)).folder) == FILES
    assert len(web.gets()) == 2


def test_a_server_that_only_stalls_is_given_up_on(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, stalls=[0] * 9))
    error = refused(url, store, terms=replace(QUICK, stall_seconds=0.2, tries=2))
    assert error.reason == "source_stalled"


def test_a_server_that_ignores_ranges_is_read_from_the_start_again(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000], ranges=False))
    assert files_of(bring(url, store).folder) == FILES
    assert web.gets()[1].headers["Range"]


def test_a_server_that_ignores_ranges_and_always_cuts_does_not_hold_us_for_ever(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000] * 99, ranges=False))
    assert refused(url, store).reason == "download_incomplete"
    assert len(web.gets()) == 1 + QUICK.tries


def test_bytes_of_two_versions_are_never_joined(web: Web, store: Path) -> None:
    thing = Thing(ARCHIVE, cuts=[100_000, 0, 0, 0])
    url = web.put("/a.zip", thing)
    refused(url, store)
    other = zipped({**FILES, "caso-01/rx.jpg": noise(300_000, seed=2)})
    web.put("/a.zip", Thing(other))
    assert files_of(bring(url, store).folder)["caso-01/rx.jpg"] == noise(300_000, seed=2)


def test_without_a_word_for_the_version_a_cut_download_begins_anew(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000], etag=None))
    assert files_of(bring(url, store).folder) == FILES
    assert [asked.headers.get("Range") for asked in web.gets()] == [None, None]


def test_with_a_checksum_it_goes_on_even_then(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000], etag=None))
    assert files_of(bring(url, store, sha256=SHA256).folder) == FILES
    assert web.gets()[1].headers["Range"]


@pytest.mark.parametrize("etag", ['W/"weak"', None], ids=["weak tag", "no tag"])
def test_the_time_serves_where_there_is_no_strong_tag(web: Web, store: Path, etag: str | None) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, cuts=[100_000], etag=etag, modified=MODIFIED))
    assert files_of(bring(url, store).folder) == FILES
    assert web.gets()[1].headers["If-Range"] == MODIFIED


def test_a_length_that_is_too_long_is_seen(web: Web, store: Path) -> None:
    # The server promises more than it has, and after the end says that there is nothing more: then it is whole.
    url = web.put("/a.zip", Thing(ARCHIVE, claims=[5_000]))
    assert files_of(bring(url, store).folder) == FILES
    # One that keeps to the lie and knows no ranges is not believed.
    stubborn = web.put("/b.zip", Thing(ARCHIVE, claims=[5_000] * 9, ranges=False))
    with pytest.raises(SourceError) as caught:
        bring(stubborn, store)
    assert caught.value.reason == "download_incomplete"


def test_a_length_that_is_too_short_gives_no_half_archive(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, claims=[-5_000]))
    assert refused(url, store).reason.startswith("archive_")
    # What was refused is not gone on from.
    assert files_of(bring(url, store).folder) == FILES


def test_an_answer_in_chunks_without_a_length(web: Web, store: Path) -> None:
    watch = Watch()
    fetched = bring(web.put("/a.zip", Thing(ARCHIVE, chunked=True, cuts=[100_000])), store, progress=watch)
    assert files_of(fetched.folder) == FILES
    assert watch.calls[0][1] is None


def test_a_login_page_under_an_archives_name_is_no_archive(web: Web, store: Path) -> None:
    page = b"\n<!DOCTYPE html><html><body>Please sign in</body></html>"
    error = refused(web.put("/a.zip", Thing(page, content_type="application/zip")), store)
    assert error.reason == "web_page_not_archive"
    assert "login" in error.message


def test_bytes_that_are_no_archive_are_refused(web: Web, store: Path) -> None:
    error = refused(web.put("/a.zip", Thing(noise(5_000))), store)
    assert error.reason == "not_an_archive"
    assert "/a.zip" in error.message


def test_an_archive_that_climbs_out_is_refused_whole(web: Web, store: Path) -> None:
    hostile = tarred({"cases.csv": b"case\n", "../../escaped.txt": b"x"})
    assert refused(web.put("/a.zip", Thing(hostile)), store).reason == "member_parent_path"
    assert not list(store.parent.parent.rglob("escaped.txt"))


def test_the_checksum_of_the_address_is_held_to(web: Web, store: Path) -> None:
    assert bring(web.put("/a.zip", Thing(ARCHIVE)), store, sha256=SHA256).upstream == f"https:sha256:{SHA256}"
    web.put("/b.zip", Thing(zipped({"cases.csv": b"other"})))
    with pytest.raises(SourceError) as caught:
        bring(web.url + "/b.zip", store, sha256="0" * 64)
    assert caught.value.reason == "wrong_checksum"
    assert "0" * 64 in caught.value.message


@pytest.mark.parametrize(
    "header",
    [
        {"Repr-Digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"},
        {"Digest": "SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        {"x-goog-hash": "crc32c=n03x6A==,md5=AAAAAAAAAAAAAAAAAAAAAA=="},
    ],
    ids=lambda header: next(iter(header)),
)
def test_the_checksum_that_the_server_states_is_held_to(web: Web, store: Path, header: dict[str, str]) -> None:
    assert refused(web.put("/a.zip", Thing(ARCHIVE, headers=header)), store).reason == "wrong_checksum"


def test_the_pinned_version_is_held_to_and_used_without_the_network_once_it_is_here(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    first = bring(url, store)
    web.asked.clear()
    assert bring(url, store, upstream=first.upstream) == first
    assert bring(url, store, sha256=SHA256) == first
    assert web.asked == []


def test_a_pinned_version_that_is_gone_is_named_and_what_is_there_is_not_downloaded_twice(
    web: Web, store: Path
) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    error = refused(url, store, upstream=f"https:sha256:{'1' * 64}")
    assert error.reason == "version_gone"
    assert "1" * 64 in error.message
    assert SHA256 in error.message
    web.asked.clear()
    assert files_of(bring(url, store).folder) == FILES
    assert [asked.headers["Range"] for asked in web.gets()] == [f"bytes={len(ARCHIVE)}-"]


def test_an_unchanged_archive_is_not_downloaded_again(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    first = bring(url, store)
    web.asked.clear()
    assert bring(url, store) == first
    assert [asked.method for asked in web.asked] == ["HEAD"]
    web.put("/a.zip", Thing(zipped({"cases.csv": b"new"})))
    second = bring(url, store)
    assert second.upstream != first.upstream
    assert len(versions_in(store)) == 2


def test_newest_downloads_nothing_and_knows_what_was_fetched(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    address = HttpAddress(url=url)
    assert newest("sirm", address, terms=QUICK) == f"https:etag:{web.things['/a.zip'].tag}"
    assert web.gets() == []
    fetched = bring(url, store)
    assert newest("sirm", address, store=store, terms=QUICK) == fetched.upstream
    web.put("/a.zip", Thing(b"other"))
    assert newest("sirm", address, store=store, terms=QUICK).startswith("https:etag:")


def test_newest_where_the_server_knows_get_alone(web: Web) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, modified=MODIFIED, etag=None, statuses=[405]))
    assert newest("sirm", HttpAddress(url=url), terms=QUICK) == f"https:etag:{MODIFIED}"
    web.put("/a.zip", Thing(ARCHIVE, etag=None))
    with pytest.raises(SourceError) as caught:
        newest("sirm", HttpAddress(url=url), terms=QUICK)
    assert caught.value.reason == "version_unknown"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "upstream_denied"),
        (403, "upstream_denied"),
        (404, "upstream_not_found"),
        (410, "upstream_not_found"),
        (418, "upstream_refused"),
        (429, "upstream_busy"),
        (500, "upstream_busy"),
        (503, "upstream_busy"),
    ],
)
def test_a_refusal_has_a_name(web: Web, store: Path, status: int, reason: str) -> None:
    error = refused(web.put("/a.zip", Thing(ARCHIVE, statuses=[status] * 99)), store)
    assert error.reason == reason
    assert str(status) in error.message
    tries = QUICK.tries if reason == "upstream_busy" else 1
    assert len(web.gets()) == tries


def test_a_busy_server_is_asked_again(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, statuses=[(503, {"Retry-After": "1"}), 500]))
    assert files_of(bring(url, store).folder) == FILES


def test_a_server_that_asks_for_a_long_wait_is_not_asked_before(web: Web, store: Path) -> None:
    error = refused(web.put("/a.zip", Thing(ARCHIVE, statuses=[(429, {"Retry-After": "3600"})] * 9)), store)
    assert error.reason == "upstream_busy"
    assert "3600 s" in error.message
    assert len(web.gets()) == 1


def test_redirects_are_followed_to_their_end_and_no_further(web: Web, store: Path) -> None:
    web.put("/a.zip", Thing(ARCHIVE))
    assert files_of(bring(web.put("/here", Thing(location="/a.zip")), store).folder) == FILES
    loop = web.put("/loop", Thing(location="/loop"))
    with pytest.raises(SourceError) as caught:
        bring(loop, store)
    assert caught.value.reason == "bad_redirect"
    # By HEAD, since a version that came earlier might be what the address has now.
    assert [asked.path for asked in web.asked].count("/loop") == QUICK.redirects + 1


def test_too_many_bytes_are_refused_before_and_while_they_come(web: Web, store: Path) -> None:
    small = replace(QUICK, max_bytes=200_000)
    assert refused(web.put("/a.zip", Thing(ARCHIVE)), store, terms=small).reason == "download_too_large"
    chunked = web.put("/b.zip", Thing(ARCHIVE, chunked=True))
    assert refused(chunked, store, terms=small).reason == "download_too_large"
    assert not [path for path in store.rglob("data") if path.stat().st_size]


def test_nobody_there(store: Path) -> None:
    with serve() as gone:
        url = gone.url + "/a.zip"
    error = refused(url, store)
    assert error.reason == "source_unreachable"
    assert url in error.message


def test_a_query_is_asked_and_never_shown(web: Web, store: Path) -> None:
    url = web.put("/a.zip?key=secret", Thing(ARCHIVE, statuses=[403]))
    assert "secret" not in str(refused(url, store))
    assert files_of(bring(url, store).folder) == FILES
    marks = [path.read_text() for path in store.rglob(".cxr-version.json")]
    assert marks
    assert not any("secret" in mark for mark in marks)


def test_a_version_that_lost_a_file_is_fetched_again(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    first = bring(url, store)
    (first.folder / "caso-02/rx.jpg").unlink()
    again = bring(url, store, upstream=first.upstream)
    assert again == first
    assert files_of(again.folder) == FILES


def _bring_in_a_process(url: str, store: str, out: str) -> None:
    fetched = bring(url, Path(store))
    Path(out).write_text(f"{os.getpid()} {fetched.folder}")


def test_two_processes_wait_for_each_other_and_download_once(web: Web, store: Path, tmp_path: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE))
    context = multiprocessing.get_context("spawn")
    outs = [tmp_path / f"out-{number}" for number in range(2)]
    processes = [context.Process(target=_bring_in_a_process, args=(url, str(store), str(out))) for out in outs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    (first, folder), (second, same) = (out.read_text().split() for out in outs)
    assert first != second
    assert folder == same
    assert len(web.gets()) == 1


def test_what_a_killed_process_left_is_cleared_and_its_download_taken_up(web: Web, store: Path) -> None:
    url = web.put("/a.zip", Thing(ARCHIVE, stalls=[120_000]))
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_bring_in_a_process, args=(url, str(store), os.devnull))
    process.start()
    while not [path for path in store.rglob("data") if path.stat().st_size >= 100_000]:
        assert process.is_alive()
        process.join(timeout=0.02)
    process.kill()
    process.join(timeout=60)
    (store / ".staging-left").mkdir()
    assert versions_in(store) == []
    assert files_of(bring(url, store).folder) == FILES
    assert web.gets()[-1].headers["Range"]
    assert not (store / ".staging-left").exists()
