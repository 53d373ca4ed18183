"""What ``cxr sources`` says, as a person reads it: plain mappings in, lines on a console out.

Only a path, an address or a sentence of an error is longer than 100 columns, and none of them is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

__all__ = ["show_check", "show_sources", "show_update"]

_EXAMPLES = 5
_GOOD = frozenset({"as pinned", "unchanged", "moved", "pinned", "would move", "would pin"})
_IDLE = frozenset({"not set", "not there", "not pinned", "not fetched"})
_KINDS = ("added", "removed", "relabelled", "reworded", "replaced", "renamed")
_HEX_SHOWN = 12


def show_sources(console: Console, report: Mapping[str, Any]) -> None:
    """The sources: state, what is here, what the pin says, and where each is reached."""
    for row in report["sources"]:
        here = f"{row['files']} files, {decimal(row['bytes'])}" if row["found"] else ""
        _head(console, row, here)
        if row["at"]:
            _line(console, "reached at", row["at"])
        if row["pinned"]:
            _line(console, "pinned to", f"{_short(row['pinned'])}{_from(row['upstream'])}")
        if row["found"] and row["found"] != row["pinned"]:
            _line(console, "found here", f"{_short(row['found'])}{_from(row['version'])}")
        if row["detail"]:
            _line(console, "", row["detail"])
        _next(console, row)


def show_check(console: Console, report: Mapping[str, Any]) -> None:
    """What upstream has now, a source a line, and what to do where it is something else than pinned."""
    for row in report["sources"]:
        _head(console, row, "")
        if row["pinned"] and row["state"] != "as pinned":
            _line(console, "pinned to", f"{_short(row['pinned'])}{_from(row['upstream'])}")
        if row["newest"] and row["state"] != "as pinned":
            _line(console, "upstream has", _short(row["newest"]))
        if row["detail"]:
            _line(console, "", row["detail"])
        _next(console, row)


def show_update(console: Console, report: Mapping[str, Any]) -> None:
    """What changed in each source, image by image, and what became of its pin."""
    for row in report["sources"]:
        _head(console, row, _from_to(row))
        for name, key in (("pinned to" if row["error"] else "before", "before"), ("found", "after")):
            if row[key] and not (key == "after" and row["state"] == "unchanged"):
                _line(console, name, f"{_short(row[key]['revision'])}{_from(row[key]['upstream'])}")
        if row["labels"] and not row["changes"]:
            _line(console, "labels", " · ".join(f"{label} {n}" for label, n in row["labels"].items()))
        if row["changes"]:
            _changes(console, row["changes"])
        if row["detail"]:
            _line(console, "", row["detail"])
        if row["error"]:
            _line(console, "refused", row["error"]["message"], style="red")
        _next(console, row)
    if report["dry_run"]:
        console.print("[dim]dry run: no pin was moved[/]")


def _changes(console: Console, changes: Mapping[str, Any]) -> None:
    come_and_gone, others = (
        " · ".join(f"{kind} {len(changes[kind])}" for kind in kinds) for kinds in (_KINDS[:2], _KINDS[2:])
    )
    totals = f"{changes['images_before']} → {changes['images_after']}"
    _line(console, "images", f"{totals}: {come_and_gone} · unchanged {changes['unchanged']}")
    _line(console, "", others)
    _worded(console, "relabelled", changes["contradicted"], labels=True)
    _worded(console, "reworded", changes["reworded"], labels=False)
    for kind in ("added", "removed", "replaced", "renamed"):
        _paths(console, kind, [_arrow(change["was"], change["path"]) for change in changes[kind]])
    if changes["other_files"]:
        _line(console, "other files", ", ".join(f"{one['change']} {one['path']}" for one in changes["other_files"]))


def _worded(console: Console, name: str, changes: Sequence[Mapping[str, Any]], *, labels: bool) -> None:
    """Changes of words in groups that say the same, the largest first, each with some of its images."""

    def words(change: Mapping[str, Any]) -> tuple[str, ...]:
        found = tuple(str(change[key]) for key in ("before", "after", "finding_before", "finding_after"))
        return found if labels else found[2:]

    groups = [(key, list(members)) for key, members in groupby(sorted(changes, key=words), key=words)]
    for key, members in sorted(groups, key=lambda group: -len(group[1])):
        said = " → ".join(repr(text) if text else "nothing" for text in key[-2:])
        count = f"{len(members)} image{'s' * (len(members) != 1)}, {said}"
        _line(console, name, f"{_arrow(*key[:2])}: {count}" if labels else count, style="yellow" if labels else "")
        if labels:
            _paths(console, "", [_arrow(change["was"], change["path"]) for change in members])


def _paths(console: Console, name: str, paths: Sequence[str]) -> None:
    for place, path in enumerate(paths[:_EXAMPLES]):
        _line(console, "" if place else name, path, style="dim")
    if len(paths) > _EXAMPLES:
        _line(console, "", f"… and {len(paths) - _EXAMPLES} more (--json lists all)", style="dim")


def _head(console: Console, row: Mapping[str, Any], text: str) -> None:
    # What stands behind the colon is the error's own sentence, which has a line of its own.
    state = str(row["state"]).partition(":")[0]
    colour = "green" if state in _GOOD else "cyan" if state in _IDLE else "yellow"
    words = f"[bold]{row['source']:<8}[/] [{colour}]{escape(state):<22}[/] {escape(text)}"
    console.print(words.rstrip(), soft_wrap=True)


def _line(console: Console, name: str, text: str, *, style: str = "") -> None:
    shown = f"[{style}]{escape(text)}[/]" if style else escape(text)
    console.print(f"  [dim]{name:<12}[/] {shown}", soft_wrap=True)


def _next(console: Console, row: Mapping[str, Any]) -> None:
    if row["hint"]:
        console.print(f"  [bold]{'next':<12}[/] {escape(row['hint'])}", soft_wrap=True)


def _from_to(row: Mapping[str, Any]) -> str:
    files: Iterable[str] = (str(row[name]["files"]) for name in ("before", "after") if row[name])
    counts = list(dict.fromkeys(files))
    return f"{' → '.join(counts)} files" if counts else ""


def _from(upstream: str) -> str:
    return f", {_short(upstream)}" if upstream else ""


def _short(version: str) -> str:
    """A digest or version with as much of its hex as tells it from others."""
    head, colon, tail = version.rpartition(":")
    is_hex = len(tail) > _HEX_SHOWN and not set(tail) - set("0123456789abcdef")
    return head + colon + (tail[:_HEX_SHOWN] if is_hex else tail)


def _arrow(before: str, after: str) -> str:
    return f"{before} → {after}" if before else after
