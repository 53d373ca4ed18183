"""Every fault is told at once, by its dotted path, in words that say what would do."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from cxr_core.faults import faults_of


class _Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    low: Annotated[int, Meta(ge=0)]
    high: int
    names: tuple[Literal["a", "b"], ...]

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low: above high")


class _Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: _Inner
    quota: dict[Literal["x", "y"], Annotated[int, Meta(ge=1)] | None]


GOOD = {"inner": {"low": 1, "high": 2, "names": ["a"]}, "quota": {"x": None}}


@pytest.mark.parametrize(
    ("inner", "quota", "faults"),
    [
        ({}, {}, []),
        (
            {"low": -1, "high": "2"},
            {},
            ["inner.low: Expected `int` >= 0 (found -1)", "inner.high: Expected `int`, got"],
        ),
        ({"low": 3}, {}, ["inner.low: above high"]),
        ({"names": ["a", "c"]}, {}, ["inner.names: expected one of a, b (found ['a', 'c'])"]),
        ({"more": 1}, {"z": 1}, ["inner.more: no such key", "quota.z: no such key"]),
        (
            {},
            {"x": 0, "y": True},
            ["quota.x: Expected `int` >= 1 (found 0)", "quota.y: Expected `int | null`, got `bool`"],
        ),
    ],
)
def test_each_fault_has_its_path(inner: dict[str, object], quota: dict[str, object], faults: list[str]) -> None:
    found = {"inner": GOOD["inner"] | inner, "quota": GOOD["quota"] | quota}
    told = list(faults_of(found, _Outer))
    assert len(told) == len(faults)
    assert all(each.startswith(words) for each, words in zip(told, faults, strict=True))


def test_what_is_missing_is_named() -> None:
    assert list(faults_of({"inner": {}, "quota": {}}, _Outer)) == [
        "inner.low: missing",
        "inner.high: missing",
        "inner.names: missing",
    ]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | st.sampled_from(["a", "x", "low"]),
    lambda parts: (
        st.lists(parts, max_size=2)
        | st.dictionaries(st.sampled_from(["inner", "quota", "low", "high", "names", "x"]), parts, max_size=4)
    ),
    max_leaves=8,
)


_FORMED = st.fixed_dictionaries(
    {
        "inner": st.fixed_dictionaries(
            {"low": st.integers(-2, 3), "high": _VALUES | st.integers(0, 3), "names": st.lists(st.sampled_from("abc"))}
        ),
        "quota": st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(-1, 3) | _VALUES),
    }
)


@given(_VALUES | _FORMED)
def test_there_is_a_fault_wherever_msgspec_refuses(value: object) -> None:
    faults = list(faults_of(value, _Outer))
    try:
        msgspec.convert(value, _Outer)
    except msgspec.ValidationError:
        assert faults
    else:
        assert not faults
