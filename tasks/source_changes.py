"""What a version of a source would change against its pin, before the pin moves; and whether a person must look first.

In: the standing pin and a version that is here. Out: a ``Comparison``. Laws: a comparison that could not be made is
never an empty one; a pin whose difference is unknown, that holds no image, or that relabels more than
``ingest.max_relabelled`` allows, has a refusal, and the refusal names the command by which a person accepts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cxr_core.classes import Source
from cxr_core.curate.labels import label_of
from cxr_core.errors import SourceError
from cxr_core.ingest.catalogue import Catalogue, CatalogueRow, catalogue_of
from cxr_core.ingest.changes import Changes, Label, compare_catalogues
from cxr_core.ingest.pins import Pin, settled_pin
from tasks.settings import Home
from tasks.source_versions import Found, pinned_catalogue

__all__ = ["Comparison", "compare_with_pin"]

_EXAMPLES = 3

Basis = Literal["first", "same_bytes", "images", "no_catalogue"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A version held against the pin.

    Attributes:
        basis: ``first`` where nothing was pinned, ``same_bytes`` where every byte is the pinned one, ``images`` where
            each image was compared, ``no_catalogue`` where only counts can be.
        pin: The pin to hold; the standing one where the bytes are its own.
        catalogue: What the version says of each image.
        labels: Images by label, in the version.
        changes: What happened to each image; None but for ``images``.
        detail: Why only counts can be compared; else empty.
    """

    basis: Basis
    pin: Pin
    catalogue: Catalogue
    labels: Mapping[str, int]
    changes: Changes | None = None
    detail: str = ""

    def refusal(self, source: Source, *, limit: float) -> SourceError | None:
        """Why a person must look before the pin moves; None where none need.

        Args:
            source: Which of the four.
            limit: ``ingest.max_relabelled``, [0, 1].
        """
        accept = f"`cxr sources update {source} --accept-relabelled`"
        if not self.labels and self.basis != "same_bytes":
            return SourceError(
                f"{source} holds no image: nothing is left of it that could be ingested.",
                reason="no_images",
                hint=f"Check where the source is reached; a person who wants it so accepts it with {accept}.",
            )
        if self.basis == "no_catalogue":
            return SourceError(
                f"What changed in {source}, image by image, cannot be told: {self.detail}.",
                reason="no_catalogue",
                hint=f"A person who knows what changed accepts it with {accept}.",
            )
        if self.changes is None or self.changes.relabelled_share <= limit:
            return None
        return SourceError(
            f"{len(self.changes.contradicted)} of the {self.changes.images_before} pinned images of {source} "
            f"({self.changes.relabelled_share:.1%}) carry another label now; ingest.max_relabelled allows {limit:.1%}. "
            f"For example {'; '.join(_examples(self.changes))}.",
            reason="mass_relabelling",
            hint=f"`cxr sources update {source} --dry-run --json` lists them; a person who has looked accepts them "
            f"with {accept}.",
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: basis, labels, and every change."""
        return {"basis": self.basis, "labels": dict(self.labels), "changes": _as_dict(self.changes)}


def compare_with_pin(source: Source, where: Home, standing: Pin | None, found: Found) -> Comparison:
    """Hold a version that is here against the standing pin.

    Raises:
        SourceError: The version has another layout than the source's published one.
    """
    label, now = _label(source), catalogue_of(found.tree)
    counts = Counter(label(row) for row in now.rows if row.finding is not None)
    labels = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    pin = settled_pin(standing, found.pin)

    def compared(basis: Basis, changes: Changes | None = None, detail: str = "") -> Comparison:
        return Comparison(basis=basis, pin=pin, catalogue=now, labels=labels, changes=changes, detail=detail)

    if standing is None:
        return compared("first")
    if standing.revision == pin.revision:
        return compared("same_bytes")
    before = pinned_catalogue(source, where, standing)
    if isinstance(before, str):
        return compared("no_catalogue", detail=before)
    return compared("images", compare_catalogues(before.rows, now.rows, label=label))


def _label(source: Source) -> Label:
    def label(row: CatalogueRow) -> str:
        return row.excluded or str(label_of(source, row.finding or ""))

    return label


def _examples(changes: Changes) -> list[str]:
    return [
        f"{change.path}: {change.before} → {change.after} ({change.finding_before!r} → {change.finding_after!r})"
        for change in changes.contradicted[:_EXAMPLES]
    ]


def _as_dict(changes: Changes | None) -> dict[str, Any] | None:
    if changes is None:
        return None
    return {
        **asdict(changes),
        "contradicted": [asdict(change) for change in changes.contradicted],
        "relabelled_share": changes.relabelled_share,
        "moves": [{"before": before, "after": after, "images": n} for before, after, n in changes.moves],
        "other_files": [{"change": change, "path": path} for change, path in changes.other_files],
    }
