"""A pin is written and read back without loss, keeps the file's comments, and refuses other bytes by both revisions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import SOURCES
from cxr_core.errors import SourceError
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import Pin, check_pin, kind_of, pin_of, read_pins, settled_pin, with_pin
from tests.cxr_core.ingest.build import NO_PINS, fill

UPSTREAMS = ("", "git:" + "a" * 40, "kaggle:owner/name/versions/3", "https:sha256:" + "b" * 64, 's3:etag:"c-3"')
# As it stood in lock files before there were other kinds.
OLD_PIN = f"{{kind: folder, revision: 'sha256:{'0' * 64}', files: 1, bytes: 2, licence: any, synthetic: false}}"

PINS = st.builds(
    lambda upstream, **rest: Pin(kind=kind_of(upstream), upstream=upstream, **rest),
    upstream=st.sampled_from(UPSTREAMS),
    revision=st.from_regex(r"\Asha256:[0-9a-f]{64}\Z"),
    files=st.integers(min_value=1),
    bytes=st.integers(min_value=0),
    licence=st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    synthetic=st.booleans(),
)


@given(pins=st.dictionaries(st.sampled_from(SOURCES), PINS))
@settings(max_examples=15, deadline=None)
def test_reading_gives_back_what_was_written(pins):
    text = NO_PINS
    for source, pin in pins.items():
        text = with_pin(text, source, pin)
    assert read_pins(text) == {**dict.fromkeys(SOURCES), **pins}


def test_comments_and_other_pins_stay(tmp_path):
    pin = pin_of(list_source(fill(tmp_path, {"a.jpg": "x"})), licence="CC BY 4.0")
    text = with_pin(NO_PINS, "kaggle", pin)
    assert text.startswith(NO_PINS.removesuffix("  kaggle: null\n"))
    assert with_pin(text, "kaggle", pin) == text


def test_bytes_that_differ_are_refused_naming_both_revisions(tmp_path):
    before = list_source(fill(tmp_path, {"a.jpg": "x"}))
    pin = pin_of(before, licence="any")
    check_pin("sirm", pin, before)
    after = list_source(fill(tmp_path, {"a.jpg": "y"}))
    with pytest.raises(SourceError) as caught:
        check_pin("sirm", pin, after, upstream="")
    assert caught.value.reason == "pin_mismatch"
    assert before.revision in str(caught.value)
    assert after.revision in str(caught.value)


def test_a_source_without_a_pin_is_refused(tmp_path):
    with pytest.raises(SourceError) as caught:
        check_pin("rsna", None, list_source(fill(tmp_path, {"a.jpg": "x"})))
    assert caught.value.reason == "not_pinned"


def test_the_refusal_of_fetched_bytes_names_both_versions_too(tmp_path):
    pin = pin_of(list_source(fill(tmp_path, {"a.jpg": "x"})), licence="any", upstream=UPSTREAMS[1])
    after = list_source(fill(tmp_path, {"a.jpg": "y"}))
    with pytest.raises(SourceError, match=f"{UPSTREAMS[1]}.*; found .*{UPSTREAMS[2]}"):
        check_pin("github", pin, after, upstream=UPSTREAMS[2])


def test_a_pin_written_before_there_were_other_kinds_still_reads_and_is_written_as_it_was():
    text = NO_PINS.replace("rsna: null", f"rsna: {OLD_PIN}")
    pin = read_pins(text)["rsna"]
    assert pin is not None
    assert (pin.kind, pin.upstream) == ("folder", "")
    assert "upstream" not in with_pin(NO_PINS, "rsna", pin)
    # 'folder' is another word for no upstream.
    assert read_pins(text.replace("kind: folder,", "kind: folder, upstream: folder,"))["rsna"] == pin


@given(pin=PINS, upstream=st.sampled_from(UPSTREAMS))
def test_the_same_bytes_move_a_pin_only_where_it_learns_how_to_fetch_them(pin, upstream):
    found = pin.replace(kind=kind_of(upstream), upstream=upstream)
    settled = settled_pin(pin, found)
    assert settled == (found if found.kind not in ("folder", pin.kind) else pin)
    assert settled_pin(settled, found) == settled


@given(pin=PINS, upstream=st.sampled_from(UPSTREAMS))
def test_other_bytes_or_none_before_take_what_was_found(pin, upstream):
    other = {"kind": kind_of(upstream), "upstream": upstream, "revision": "sha256:" + "f" * 64}
    found = pin.replace(**other)
    assert settled_pin(pin.replace(revision="sha256:" + "e" * 64), found) == found
    assert settled_pin(None, found) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not YAML"),
        ("schema: 2\nsources: {}\n", "schema: 1"),
        ("schema: 1\nsources: {sirm: null}\n", "exactly the sources"),
        (NO_PINS.replace("rsna: null", "rsna: {kind: folder}"), "sources.rsna"),
        (NO_PINS.replace("rsna: null", "rsna: 7"), "sources.rsna"),
        (NO_PINS.replace("rsna: null", f"rsna: {OLD_PIN.replace('folder', 'git')}"), "do not agree"),
        (NO_PINS.replace("rsna: null", f"rsna: {OLD_PIN.replace('folder', 'folder, upstream: ftp')}"), "sources.rsna"),
    ],
)
def test_a_damaged_lock_file_is_refused_with_its_fault(text, words):
    with pytest.raises(SourceError, match=words) as caught:
        read_pins(text)
    assert caught.value.reason == "bad_pins"
