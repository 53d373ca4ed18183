"""Two catalogues of one source in, what happened to each image out. Pure: no file is read here.

An image is followed by its bytes before its path, so that files that trade names show as what they are. Laws: images
before = unchanged + removed + relabelled + reworded + replaced + renamed; images after = the same with added in place
of removed; equal catalogues give an empty difference; swapping the two swaps added and removed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cxr_core.ingest.catalogue import CatalogueRow

__all__ = ["Change", "Changes", "Label", "compare_catalogues"]

Label = Callable[[CatalogueRow], str]
"""What an image is to us, a class or the reason why it has none; words that give one label mean the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What happened to one image.

    Attributes:
        path: Where it lies now; where it lay, if it was removed.
        was: Where the same bytes lay before, if elsewhere; else empty.
        before: Its label before; of bytes that lay elsewhere and had other labels there, one of those. Empty if the
            image is new.
        after: Its label now; empty if it was removed.
        finding_before: The source's words before.
        finding_after: The source's words now.
    """

    path: str
    was: str = ""
    before: str = ""
    after: str = ""
    finding_before: str = ""
    finding_after: str = ""

    @property
    def relabels(self) -> bool:
        """Whether what is known under one label is now said to be another thing."""
        return bool(self.before and self.after and self.before != self.after)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """The difference of two catalogues; lists sorted by path.

    Attributes:
        images_before: Images of the first catalogue.
        images_after: Images of the second.
        unchanged: Images with the same path, bytes and words.
        added: Bytes and path are new, or the bytes have one path more.
        removed: Neither its bytes nor its path are left, or its bytes have one path less.
        relabelled: The same bytes with another label, wherever they lie.
        reworded: The same bytes at the same path in other words that give the same label.
        replaced: The same path with other bytes.
        renamed: The same bytes with the same label at another path.
        other_files: Files that are no images, as ``added``, ``removed`` or ``changed`` and their path.
    """

    images_before: int
    images_after: int
    unchanged: int = 0
    added: tuple[Change, ...] = ()
    removed: tuple[Change, ...] = ()
    relabelled: tuple[Change, ...] = ()
    reworded: tuple[Change, ...] = ()
    replaced: tuple[Change, ...] = ()
    renamed: tuple[Change, ...] = ()
    other_files: tuple[tuple[str, str], ...] = ()

    @property
    def contradicted(self) -> tuple[Change, ...]:
        """Every image that is now said to be something else: relabelled, or replaced or added under another label.

        A picture encoded anew, or put in once more under another class, changes its label as surely as a changed word.
        """
        return (*self.relabelled, *(change for change in (*self.replaced, *self.added) if change.relabels))

    @property
    def relabelled_share(self) -> float:
        """Contradicted images as a share of the images before, at most 1; 0 where there were none."""
        return min(1.0, len(self.contradicted) / self.images_before) if self.images_before else 0.0

    @property
    def moves(self) -> list[tuple[str, str, int]]:
        """Label before, label after, and how many contradicted images went that way; most first."""
        counts = Counter((change.before, change.after) for change in self.contradicted)
        return sorted(((*labels, n) for labels, n in counts.items()), key=lambda move: (-move[2], move))


def compare_catalogues(before: Iterable[CatalogueRow], after: Iterable[CatalogueRow], *, label: Label) -> Changes:
    """What happened between two catalogues of one source."""
    old, new = list(before), list(after)
    match = _match(*([row for row in rows if row.finding is not None] for rows in (old, new)), label=label)
    found: dict[str, list[Change]] = defaultdict(list)
    for was, now in match.same_bytes:
        found[_kind(was, now, label)].append(_change(was, now, label))
    unchanged = len(found.pop("unchanged", []))
    found["replaced"] = [_replaced(was, now, match.labels_by_bytes, label) for was, now in match.same_path]
    found["removed"] = [
        Change(path=row.path, before=label(row), finding_before=row.finding or "") for row in match.gone
    ]
    found["added"] = [_added(row, match.labels_by_bytes, label) for row in match.come]
    return Changes(
        images_before=sum(row.finding is not None for row in old),
        images_after=sum(row.finding is not None for row in new),
        unchanged=unchanged,
        other_files=_other_files(old, new),
        **{kind: tuple(sorted(changes, key=lambda change: change.path)) for kind, changes in found.items()},
    )


@dataclass(kw_only=True, slots=True)
class _Match:
    """Rows of two catalogues brought together, each in one place."""

    same_bytes: list[tuple[CatalogueRow, CatalogueRow]] = field(default_factory=list)
    same_path: list[tuple[CatalogueRow, CatalogueRow]] = field(default_factory=list)
    gone: list[CatalogueRow] = field(default_factory=list)
    come: list[CatalogueRow] = field(default_factory=list)
    labels_by_bytes: dict[str, list[str]] = field(default_factory=dict)


def _match(old: Sequence[CatalogueRow], new: Sequence[CatalogueRow], *, label: Label) -> _Match:
    """Bring together by bytes and path, then by bytes and label, then by bytes, then by path."""
    match = _Match()
    for row in old:
        match.labels_by_bytes.setdefault(row.sha256, []).append(label(row))
    keys: tuple[Callable[[CatalogueRow], object], ...] = (
        lambda row: (row.sha256, row.path),
        lambda row: (row.sha256, label(row)),
        lambda row: row.sha256,
    )
    left, right = list(old), list(new)
    for key in keys:
        pairs, left, right = _pair(left, right, key)
        match.same_bytes += pairs
    match.same_path, match.gone, match.come = _pair(left, right, lambda row: row.path)
    return match


def _pair(
    old: Sequence[CatalogueRow], new: Sequence[CatalogueRow], key: Callable[[CatalogueRow], object]
) -> tuple[list[tuple[CatalogueRow, CatalogueRow]], list[CatalogueRow], list[CatalogueRow]]:
    """Pairs of equal key in the order of their paths, and what is left on either side."""
    waiting: dict[object, list[CatalogueRow]] = defaultdict(list)
    for row in sorted(old, key=lambda row: row.path, reverse=True):
        waiting[key(row)].append(row)
    pairs: list[tuple[CatalogueRow, CatalogueRow]] = []
    unpaired: list[CatalogueRow] = []
    for row in sorted(new, key=lambda row: row.path):
        partners = waiting.get(key(row))
        if partners:
            pairs.append((partners.pop(), row))
        else:
            unpaired.append(row)
    return pairs, [row for rows in waiting.values() for row in rows], unpaired


def _kind(was: CatalogueRow, now: CatalogueRow, label: Label) -> str:
    """What happened to bytes that are still there."""
    if label(was) != label(now):
        return "relabelled"
    if was.path != now.path:
        return "renamed"
    return "unchanged" if was.finding == now.finding else "reworded"


def _change(was: CatalogueRow, now: CatalogueRow, label: Label) -> Change:
    return Change(
        path=now.path,
        was="" if was.path == now.path else was.path,
        before=label(was),
        after=label(now),
        finding_before=was.finding or "",
        finding_after=now.finding or "",
    )


def _replaced(was: CatalogueRow, now: CatalogueRow, known: Mapping[str, Sequence[str]], label: Label) -> Change:
    change = _change(was, now, label)
    return change if change.relabels else replace(change, before=_other_label(now, known, label) or change.before)


def _added(row: CatalogueRow, known: Mapping[str, Sequence[str]], label: Label) -> Change:
    before = _other_label(row, known, label)
    return Change(path=row.path, before=before, after=label(row), finding_after=row.finding or "")


def _other_label(row: CatalogueRow, known: Mapping[str, Sequence[str]], label: Label) -> str:
    """A label that the bytes had before where this one is none of theirs; else empty."""
    labels = known.get(row.sha256, [])
    # A copy of which nothing is said (an archive packed into itself, say) contradicts nothing.
    return labels[0] if labels and row.finding and label(row) not in labels else ""


def _other_files(old: Iterable[CatalogueRow], new: Iterable[CatalogueRow]) -> tuple[tuple[str, str], ...]:
    before, after = ({row.path: row.sha256 for row in rows if row.finding is None} for rows in (old, new))
    fates = dict.fromkeys(after.keys() - before.keys(), "added")
    fates |= dict.fromkeys(before.keys() - after.keys(), "removed")
    fates |= {path: "changed" for path in before.keys() & after.keys() if before[path] != after[path]}
    return tuple((fates[path], path) for path in sorted(fates))
