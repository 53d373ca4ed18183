"""Digests name values, files appear whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_core.digests import canonical_json, digest_bytes, digest_file, digest_value, keyed_digest
from cxr_core.files import read_json, read_jsonl, write_bytes, write_json, write_jsonl

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def test_a_digest_is_algorithm_and_value(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    expected = "sha256:" + hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert digest_file(path) == digest_bytes(b"x" * 3_000_000) == expected


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, int]) -> None:
    assert digest_value(value) == digest_value(dict(reversed(value.items())))


@given(PLAIN)
def test_json_lines_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    write_jsonl(path, [value, value])
    assert list(read_jsonl(path)) == [value, value]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("nan")]}])
def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", value)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_file_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"good": 1})
    with pytest.raises(TypeError):
        write_bytes(path, "text, not bytes")  # type: ignore[arg-type]
    assert read_json(path) == {"good": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@given(st.text(), st.text())
def test_a_patient_appears_as_a_digest_that_needs_the_key(patient: str, other: str) -> None:
    shown = keyed_digest(b"k" * 32, patient)
    assert len(shown) == 16
    assert shown != keyed_digest(b"l" * 32, patient)
    assert (shown == keyed_digest(b"k" * 32, other)) == (patient == other)
