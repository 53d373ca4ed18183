"""Plain data and the type it should have in, every fault with its dotted path out: msgspec alone stops at the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["faults_of"]


def faults_of(found: Any, kind: Any, path: str = "") -> Iterator[str]:
    """What does not hold, key by key; nothing where ``msgspec.convert(found, kind)`` succeeds.

    Args:
        found: Dicts, lists, numbers and text, as YAML or JSON give them.
        kind: A ``msgspec.Struct``, or a type that a field of one may have.
        path: Dotted path of ``found``; "" at the top.
    """
    if isinstance(found, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        faults = list(_faults_by_key(found, get_type_hints(kind, include_extras=True), path))
        if not faults and path:
            # A section whose keys all hold one by one may still break a rule between them.
            try:
                msgspec.convert(found, kind)
            except msgspec.ValidationError as error:
                faults = [f"{path}.{error}"]
        yield from faults
    elif isinstance(found, dict) and get_origin(kind) is dict:
        keys, values = get_args(kind)
        yield from _faults_by_key(found, dict.fromkeys(get_args(keys), values), path, all_needed=False)
    else:
        try:
            msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            shown = "" if isinstance(found, dict) else f" (found {found!r})"
            words = str(error)
            if words.startswith("Invalid enum value"):
                words = f"expected one of {', '.join(str(choice) for choice in _choices(kind))}"
            yield f"{path}: {words}{shown}"


def _faults_by_key(
    found: dict[str, Any], kinds: Mapping[str, Any], path: str, *, all_needed: bool = True
) -> Iterator[str]:
    within = f"{path}." if path else ""
    yield from (f"{within}{name}: no such key" for name in found if name not in kinds)
    if all_needed:
        yield from (f"{within}{name}: missing" for name in kinds if name not in found)
    for name in kinds:
        if name in found:
            yield from faults_of(found[name], kinds[name], f"{within}{name}")


def _choices(kind: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, alone or in a sequence."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))
