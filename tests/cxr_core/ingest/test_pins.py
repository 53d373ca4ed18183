"""A pin is written and read back without loss, keeps the file's comments, and refuses other bytes by both revisions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_core.classes import SOURCES
from cxr_core.errors import SourceError
from cxr_core.ingest.listing import list_source
from cxr_core.ingest.pins import Pin, check_pin, pin_of, read_pins, with_pin
from tests.cxr_core.ingest.build import NO_PINS, fill

PINS = st.builds(
    Pin,
    kind=st.just("folder"),
    revision=st.from_regex(r"\Asha256:[0-9a-f]{64}\Z"),
    files=st.integers(min_value=1),
    bytes=st.integers(min_value=0),
    licence=st.text(st.characters(codec="utf-8", exclude_categories=["C"])),
    synthetic=st.booleans(),
)


@given(pins=st.dictionaries(st.sampled_from(SOURCES), PINS))
@settings(max_examples=40, deadline=None)
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
        check_pin("sirm", pin, after)
    assert caught.value.reason == "pin_mismatch"
    assert before.revision in str(caught.value)
    assert after.revision in str(caught.value)


def test_a_source_without_a_pin_is_refused(tmp_path):
    with pytest.raises(SourceError) as caught:
        check_pin("rsna", None, list_source(fill(tmp_path, {"a.jpg": "x"})))
    assert caught.value.reason == "not_pinned"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not YAML"),
        ("schema: 2\nsources: {}\n", "schema: 1"),
        ("schema: 1\nsources: {sirm: null}\n", "exactly the sources"),
        (NO_PINS.replace("rsna: null", "rsna: {kind: folder}"), "sources.rsna"),
        (NO_PINS.replace("rsna: null", "rsna: 7"), "sources.rsna"),
    ],
)
def test_a_damaged_lock_file_is_refused_with_its_fault(text, words):
    with pytest.raises(SourceError, match=words) as caught:
        read_pins(text)
    assert caught.value.reason == "bad_pins"
