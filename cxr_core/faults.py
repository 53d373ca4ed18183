"""Plain data and the type it should have in, every fault with its dotted path out: msgspec alone stops at the first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

import msgspec

__all__ = ["Checked", "faults_of", "plain"]


class Checked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that a person may have written: every key is known, and none changes later."""

    def plain(self) -> dict[str, Any]:
        """Dicts, lists, numbers and text: what JSON holds."""
        return msgspec.to_builtins(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values, of which only the rules between keys are checked."""
        return msgspec.structs.replace(self, **changes)


def faults_of(found: Any, kind: Any, path: str = "") -> Iterator[str]:
    """What does not hold, key by key; nothing where ``msgspec.convert(found, kind)`` succeeds.

    Args:
        found: Dicts, lists, numbers and text, as YAML or JSON give them.
        kind: A ``msgspec.Struct``, or a type that a field of one may have.
        path: Dotted path of ``found``; "" at the top.
    """
    if isinstance(found, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        needed = [field.name for field in msgspec.structs.fields(kind) if field.required]
        faults = list(_faults_by_key(found, get_type_hints(kind, include_extras=True), path, needed))
        if not faults:
            # Keys that all hold one by one may still break a rule between them.
            try:
                msgspec.convert(found, kind)
            except msgspec.ValidationError as error:
                faults = [f"{_within(path)}{error}"]
        yield from faults
    elif isinstance(found, dict) and get_origin(kind) is dict:
        keys, values = get_args(kind)
        yield from _faults_by_key(found, dict.fromkeys(get_args(keys), values), path, ())
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
    found: dict[str, Any], kinds: Mapping[str, Any], path: str, needed: Collection[str]
) -> Iterator[str]:
    within = _within(path)
    yield from (f"{within}{name}: no such key" for name in found if name not in kinds)
    yield from (f"{within}{name}: missing" for name in needed if name not in found)
    for name in kinds:
        if name in found:
            yield from faults_of(found[name], kinds[name], f"{within}{name}")


def _within(path: str) -> str:
    return f"{path}." if path else ""


def _choices(kind: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, alone or in a sequence."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))


def plain(node: Any) -> Any:
    """What ruamel loaded, without its own node types, so that strict types hold."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node
