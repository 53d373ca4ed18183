"""The key's identity: one a key, leading nowhere, written without touching anything else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.digests import keyed_digest
from cxr_core.errors import SettingError
from cxr_core.ingest.key import check_key, key_identity, with_key_identity
from cxr_core.ingest.pins import Pin, read_pins, with_pin
from tests.cxr_core.ingest.build import KEY, NO_PINS

KEYS = st.binary(min_size=16, max_size=64)
SHIPPED = NO_PINS + "# under which key\npatient_key: null\n"


@given(KEYS, KEYS)
def test_two_keys_have_two_identities(first, second):
    assert (key_identity(first) == key_identity(second)) == (first == second)


@given(KEYS)
def test_an_identity_is_no_patient_s_digest(key):
    assert key_identity(key) not in {keyed_digest(key, f"sirm:{patient}") for patient in ("", "1", "caso-01")}


@pytest.mark.parametrize(
    "text", [SHIPPED, NO_PINS, SHIPPED.replace("null\n", "\n")], ids=["shipped", "absent", "empty"]
)
@given(KEYS, KEYS)
def test_writing_it_keeps_the_rest_and_the_last_one_stands(text, first, second):
    once = with_key_identity(text, first)
    assert once.replace(f'patient_key: "{key_identity(first)}"\n', "") == text.replace(
        "patient_key: null\n", ""
    ).replace("patient_key: \n", "").replace("patient_key:\n", "")
    assert with_key_identity(once, first) == once
    twice = with_key_identity(once, second)
    check_key(twice, second)
    assert twice == with_key_identity(text, second)


def test_it_survives_a_pin_and_a_pin_survives_it():
    pin = Pin(kind="folder", revision="sha256:" + "0" * 64, files=1, bytes=1, licence="any", synthetic=False)
    text = with_pin(with_key_identity(SHIPPED, KEY), "sirm", pin)
    check_key(text, KEY)
    assert read_pins(with_key_identity(text, b"another key of sixteen"))["sirm"] == pin
    assert with_pin(text, "sirm", pin) == text


@pytest.mark.parametrize("text", [SHIPPED, NO_PINS])
def test_a_file_that_names_no_key_takes_any(text):
    check_key(text, KEY)


def test_another_key_is_refused_with_both_identities_and_neither_key():
    with pytest.raises(SettingError) as caught:
        check_key(with_key_identity(SHIPPED, KEY), b"another key of sixteen")
    assert caught.value.reason == "patient_key_differs"
    assert key_identity(KEY) in caught.value.message
    assert "another key" not in str(caught.value)
